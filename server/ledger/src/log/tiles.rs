//! Tiles wherever they are, and what a proof asks of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::tlog::{self, leaf_hash};

use super::edge::Edge;
use super::tile::{Kind, Tile, WIDTH, parse_bundle, parse_hashes};
use super::tree::Tree;
use crate::{Error, Result};

/// Trees that a reader keeps between two proofs, 16 KiB each; beyond that number all are forgotten.
/// Kept are the trees above level 0, of which a log of 10 million entries has 154, and the last one
/// of level 0.
const MOST_TREES: usize = 1024;

/// Source of tiles: the directory, or the writer with what it has not published yet.
pub(super) trait Tiles {
    /// The bytes of a file that holds at least this tile's items, and its path.
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)>;

    /// The tile's hashes.
    fn hashes(&self, tile: Tile) -> Result<Vec<Digest>> {
        let (path, bytes) = self.read(tile)?;
        parse_hashes(&path, &bytes, tile.width)
    }

    /// The tree over the tile's hashes.
    fn tree(&self, tile: Tile) -> Result<Arc<Tree>> {
        Ok(Arc::new(Tree::new(self.hashes(tile)?)))
    }

    fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>> {
        let mut nodes = Nodes::new(self, size);
        tlog::inclusion_proof(index, size, &mut |level, n| nodes.get(level, n))
    }

    fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>> {
        let mut nodes = Nodes::new(self, new);
        tlog::consistency_proof(old, new, &mut |level, n| nodes.get(level, n))
    }

    /// Root of the first `size` entries of a tree of `of` entries.
    fn root(&self, size: u64, of: u64) -> Result<Digest> {
        let mut nodes = Nodes::new(self, of);
        tlog::root_of(size, &mut |level, n| nodes.get(level, n))
    }

    /// One entry, checked against its leaf hash in the level-0 tile.
    fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>> {
        let out_of_range = || Error::OutOfRange {
            what: "entry",
            asked: index,
            size,
        };
        let end = index.checked_add(1).ok_or_else(out_of_range)?;
        self.some(index..end, size)?.pop().ok_or_else(out_of_range)
    }

    /// Entries of a range in order, each checked as [`Tiles::entry`] does. A bundle is read once.
    fn some(&self, range: Range<u64>, size: u64) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let out_of_range = || Error::OutOfRange {
                what: "entry",
                asked: from,
                size,
            };
            let n = from / WIDTH;
            let bundle = Kind::Entries.tile(n, size).ok_or_else(out_of_range)?;
            let tile = Kind::Level(0).tile(n, size).ok_or_else(out_of_range)?;
            let (path, bytes) = self.read(bundle)?;
            let entries = parse_bundle(&path, &bytes, bundle.width)?;
            let hashes = self.hashes(tile)?;
            let to = range.end.min((n + 1) * WIDTH);
            for index in from..to {
                let at = (index % WIDTH) as usize;
                let (Some(entry), Some(expected)) = (entries.get(at), hashes.get(at)) else {
                    return Err(Error::OutOfRange {
                        what: "entry",
                        asked: index,
                        size,
                    });
                };
                let got = leaf_hash(entry);
                if got != *expected {
                    return Err(Error::DigestMismatch {
                        path,
                        item: format!("entry {index}"),
                        expected: *expected,
                        got,
                    });
                }
                found.push(entry.to_vec());
            }
            from = to;
        }
        Ok(found)
    }

    /// All entries, checked one by one as [`Tiles::entry`] does, and together against the root.
    fn entries(&self, size: u64, root: Digest, dir: &Path) -> Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        let mut edge = Edge::default();
        for bundle in Kind::Entries.tiles(size) {
            let (path, bytes) = self.read(bundle)?;
            let hashes = self.hashes(Tile {
                kind: Kind::Level(0),
                ..bundle
            })?;
            for (entry, expected) in parse_bundle(&path, &bytes, bundle.width)?
                .into_iter()
                .zip(hashes)
            {
                let got = leaf_hash(entry);
                if got != expected {
                    return Err(Error::DigestMismatch {
                        path,
                        item: format!("entry {}", out.len()),
                        expected,
                        got,
                    });
                }
                edge.push(got, |_, _| ());
                out.push(entry.to_vec());
            }
        }
        let got = edge.root().unwrap_or_else(tlog::empty_root);
        if got != root {
            return Err(Error::DigestMismatch {
                path: dir.to_owned(),
                item: format!("root of {size} entries"),
                expected: root,
                got,
            });
        }
        Ok(out)
    }
}

/// The nodes that one proof asks for: every tile is read and hashed once.
pub(super) struct Nodes<'a, T: Tiles + ?Sized> {
    tiles: &'a T,
    size: u64,
    trees: BTreeMap<Tile, Arc<Tree>>,
}

impl<'a, T: Tiles + ?Sized> Nodes<'a, T> {
    /// Nodes of the tree of `size` entries.
    pub(super) fn new(tiles: &'a T, size: u64) -> Self {
        Nodes {
            tiles,
            size,
            trees: BTreeMap::new(),
        }
    }

    /// The hash of the complete subtree `(level, n)`.
    pub(super) fn get(&mut self, level: u8, n: u64) -> Result<Digest> {
        let (tile_level, inside) = (level / 8, level % 8);
        let first = n << inside;
        let out_of_range = || Error::OutOfRange {
            what: "tree size",
            asked: first,
            size: self.size,
        };
        let tile = Kind::Level(tile_level)
            .tile(first / WIDTH, self.size)
            .ok_or_else(out_of_range)?;
        let tree = match self.trees.get(&tile) {
            Some(tree) => tree.clone(),
            None => {
                let tree = self.tiles.tree(tile)?;
                self.trees.insert(tile, tree.clone());
                tree
            }
        };
        tree.node(inside, (first % WIDTH) >> inside)
            .ok_or_else(out_of_range)
    }
}

/// Tiles, and trees that were hashed before. For a log that stays at one checkpoint: its tiles do
/// not change.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    pub(super) tiles: T,
    trees: Arc<Mutex<BTreeMap<Tile, Arc<Tree>>>>,
}

impl<T> Kept<T> {
    pub(super) fn new(tiles: T) -> Self {
        Kept {
            tiles,
            trees: Arc::default(),
        }
    }
}

impl<T: Tiles> Tiles for Kept<T> {
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
        self.tiles.read(tile)
    }

    fn tree(&self, tile: Tile) -> Result<Arc<Tree>> {
        // Level 0 is too large to be kept, and its tiles are seldom asked for twice. The exception
        // is its last tile, which is not full and of which most proofs want the root.
        if tile.kind == Kind::Level(0) && tile.width == WIDTH {
            return self.tiles.tree(tile);
        }
        let lock = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = lock().get(&tile) {
            return Ok(tree.clone());
        }
        let tree = self.tiles.tree(tile)?;
        let mut trees = lock();
        if trees.len() >= MOST_TREES {
            trees.clear();
        }
        trees.insert(tile, tree.clone());
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tile::{hash_bytes, subtree_root};
    use fedseal_client_sdk::tlog::leaf_hash;
    use std::cell::Cell;

    /// A log of `size` entries at one level of tiles; counts what is read.
    struct Counted {
        leaves: Vec<Digest>,
        reads: Cell<usize>,
    }

    impl Tiles for Counted {
        fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
            self.reads.set(self.reads.get() + 1);
            let all: Vec<Digest> = match tile.kind {
                Kind::Level(0) => self.leaves.clone(),
                _ => {
                    let full = self.leaves.chunks_exact(256);
                    full.filter_map(subtree_root).collect()
                }
            };
            let first = (tile.n * WIDTH) as usize;
            let hashes = &all[first..first + tile.width as usize];
            Ok((tile.path(), hash_bytes(hashes)))
        }
    }

    #[test]
    fn a_proof_reads_each_tile_once_and_later_ones_read_less() {
        let leaves: Vec<Digest> = (0..1000_u32).map(|i| leaf_hash(&i.to_le_bytes())).collect();
        let counted = Counted {
            leaves: leaves.clone(),
            reads: Cell::new(0),
        };
        let kept = Kept::new(counted);
        let root = |low: usize, high: usize| subtree_root(&leaves[low..high]).unwrap();
        let mut nodes = Nodes::new(&kept, 1000);
        assert_eq!(nodes.get(0, 300).unwrap(), leaves[300]);
        assert_eq!(nodes.get(3, 40).unwrap(), root(320, 328));
        assert_eq!(nodes.get(7, 3).unwrap(), root(384, 512));
        assert_eq!(kept.tiles.reads.get(), 1);
        assert_eq!(nodes.get(8, 2).unwrap(), root(512, 768));
        assert_eq!(nodes.get(9, 0).unwrap(), root(0, 512));
        assert_eq!(kept.tiles.reads.get(), 2);
        // The incomplete right edge has the subtrees that are complete, and no others.
        assert_eq!(nodes.get(5, 30).unwrap(), root(960, 992));
        assert!(nodes.get(5, 31).is_err());
        assert!(nodes.get(8, 3).is_err());
        let before = kept.tiles.reads.get();
        let mut again = Nodes::new(&kept, 1000);
        assert_eq!(again.get(9, 0).unwrap(), root(0, 512));
        // So is the last tile of level 0; the full ones are not.
        assert_eq!(again.get(5, 30).unwrap(), root(960, 992));
        assert_eq!(kept.tiles.reads.get(), before);
        assert_eq!(again.get(0, 300).unwrap(), leaves[300]);
        assert_eq!(kept.tiles.reads.get(), before + 1);
    }
}

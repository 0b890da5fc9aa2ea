//! The right edge of the tree, in memory: the incomplete tile of every level. With it, an append
//! costs one hash and the root needs no reading.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::tlog::root_of;

use super::tile::{Kind, Tile, WIDTH, hash_bytes, subtree_root};

/// The hashes of the incomplete tiles.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    /// `levels[l]`: the hashes of level `l`'s incomplete tile, fewer than 256. Held between
    /// calls; a tile that fills leaves its root in the level above.
    pub levels: Vec<Vec<Digest>>,
    pub size: u64,
}

impl Edge {
    /// Appends a leaf hash; hands over every tile that it completes.
    pub(super) fn push(&mut self, leaf: Digest, mut full: impl FnMut(Tile, Vec<u8>)) {
        let n = self.size;
        self.size += 1;
        let mut hash = leaf;
        for level in 0..8u8 {
            if self.levels.len() <= level.into() {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else {
                return;
            };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                return;
            }
            let tile = Tile {
                kind: Kind::Level(level),
                n: n >> (8 * (u32::from(level) + 1)),
                width: WIDTH,
            };
            full(tile, hash_bytes(hashes));
            // 256 hashes: there is a root.
            let Some(root) = subtree_root(hashes) else {
                return;
            };
            hashes.clear();
            hash = root;
        }
    }

    /// The partial tiles, with their bytes.
    pub(super) fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> + '_ {
        (0u8..).zip(&self.levels).filter_map(|(level, hashes)| {
            let kind = Kind::Level(level);
            let tile = kind.tile(kind.items(self.size) / WIDTH, self.size)?;
            Some((tile, hash_bytes(hashes)))
        })
    }

    /// The hashes of a tile, when it is one of the incomplete ones.
    pub(super) fn tile(&self, level: u8, n: u64) -> Option<&[Digest]> {
        let hashes = self.levels.get(usize::from(level))?;
        (n == Kind::Level(level).items(self.size) / WIDTH).then_some(hashes)
    }

    /// The root of the whole tree: every complete subtree that it is made of is in the edge. None
    /// when the edge is not one of `size` entries.
    pub(super) fn root(&self) -> Option<Digest> {
        root_of(self.size, &mut |level, n| {
            let (tile_level, inside) = (level / 8, level % 8);
            let first = n << inside;
            let hashes = self.tile(tile_level, first / WIDTH).ok_or(())?;
            let low = (first % WIDTH) as usize;
            let hashes = hashes.get(low..low + (1 << inside)).ok_or(())?;
            subtree_root(hashes).ok_or(())
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::tlog::{empty_root, leaf_hash, node_hash};

    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let half = 1 << (leaves.len() - 1).ilog2();
                node_hash(&mth(&leaves[..half]), &mth(&leaves[half..]))
            }
        }
    }

    #[test]
    fn roots_and_tiles() {
        let mut edge = Edge::default();
        assert_eq!(edge.root(), Some(empty_root()));
        let mut leaves = Vec::new();
        let mut full = Vec::new();
        for i in 0..66_000u32 {
            let leaf = leaf_hash(&i.to_le_bytes());
            leaves.push(leaf);
            edge.push(leaf, |tile, bytes| full.push((tile, bytes)));
            let size = leaves.len();
            if size < 600 || (65_500..65_560).contains(&size) && size % 7 == 0 || size == 65_536 {
                assert_eq!(edge.root(), Some(mth(&leaves)), "size {size}");
            }
        }
        assert_eq!(edge.root(), Some(mth(&leaves)));
        assert_eq!(full.len(), 257 + 1);
        let (tile, bytes) = &full[256];
        assert_eq!((tile.kind, tile.n), (Kind::Level(1), 0));
        assert_eq!(bytes[..32], mth(&leaves[..256]).0);
        let partial: Vec<Tile> = edge.partial().map(|(tile, _)| tile).collect();
        assert_eq!(
            partial,
            [(0, 257, 208), (1, 1, 1), (2, 0, 1)].map(|(level, n, width)| Tile {
                kind: Kind::Level(level),
                n,
                width
            })
        );
    }
}

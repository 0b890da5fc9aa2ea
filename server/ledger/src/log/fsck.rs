//! Checking a whole log: every tile and the root are derived again from the entries. The log is gone through once,
//! bundle by bundle: of its hashes those of one bundle and of the tree's right edge are in memory, and the names
//! of its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{Checkpoint, empty_root, leaf_hash};

use super::edge::Edge;
use super::read::{Directory, read_checkpoint};
use super::tile::{Kind, Tile, WIDTH, parse_bundle, parse_hashes, push_entry};
use super::tiles::Tiles;
use crate::{Error, Result, files};

/// Result of a check. It exists only when everything that the checkpoint covers is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckReport {
    /// The checkpoint, its signature verified.
    pub checkpoint: Checkpoint,
    /// How many entries were hashed; equals the checkpoint's size.
    pub entries: u64,
    /// How many files of hashes and entries were compared.
    pub tiles: u64,
    /// Files that the checkpoint does not cover, relative to the log's directory: leftovers of a
    /// publish that did not end. [`crate::Log::open`] removes tiles and temporary files.
    pub extra: Vec<PathBuf>,
}

/// Checks a log directory against its own checkpoint, signed by this key.
///
/// # Errors
/// The first thing that is wrong, with file, item and both digests: [`Error::Verify`] (the
/// checkpoint), [`Error::Corrupt`] (a file missing or malformed), [`Error::DigestMismatch`] (an
/// entry, a hash in a tile, or the root).
pub fn fsck(dir: impl AsRef<Path>, key: &PublicKey) -> Result<FsckReport> {
    let dir = dir.as_ref();
    let (_, checkpoint) = read_checkpoint(dir, key)?;
    let size = checkpoint.size;
    let mut found = Found::list(dir, size)?;
    let mut edge = Edge::default();
    // An entry that is not the one whose hash is in its level-0 tile.
    let mut entry = None;
    // The first file that is not what the entries make it. It counts where they lead to the root: else they are
    // what changed.
    let mut file = Ok(());
    for bundle in Kind::Entries.tiles(size) {
        let (path, bytes) = found.directory.read(bundle)?;
        let leaves = parse_bundle(&path, &bytes, bundle.width)?.into_iter();
        let leaves: Vec<Digest> = leaves.map(leaf_hash).collect();
        if entry.is_none() {
            entry = found.other_entry(bundle, &path, &leaves);
        }
        let above = above(&mut edge, &leaves)?;
        file = file.and_then(|()| {
            found.compare(Kind::Entries, bundle.n, &leaves)?;
            found.compare(Kind::Level(0), bundle.n, &leaves)?;
            let mut above = above.iter();
            above.try_for_each(|(tile, hashes)| found.compare(tile.kind, tile.n, hashes))
        });
    }
    for (tile, bytes) in edge.partial() {
        // Level 0 was compared with its bundle.
        if tile.kind != Kind::Level(0) {
            let hashes = parse_hashes(&tile.path(), &bytes, tile.width)?;
            file = file.and_then(|()| found.compare(tile.kind, tile.n, &hashes));
        }
    }
    let got = edge.root().unwrap_or_else(empty_root);
    if got != checkpoint.root {
        return Err(entry.unwrap_or_else(|| Error::DigestMismatch {
            path: dir.join("checkpoint"),
            item: format!("root of {size} entries"),
            expected: checkpoint.root,
            got,
        }));
    }
    file?;
    Ok(FsckReport {
        entries: size,
        checkpoint,
        tiles: found.compared,
        extra: found.extra,
    })
}

/// Files of a log, as far as they were not compared yet.
struct Found {
    directory: Directory,
    /// Widths of the files of each tile: the one that the checkpoint needs, and those of earlier checkpoints.
    widths: BTreeMap<(Kind, u64), Vec<u64>>,
    compared: u64,
    extra: Vec<PathBuf>,
}

impl Found {
    fn list(dir: &Path, size: u64) -> Result<Found> {
        let mut found = Found {
            directory: Directory(dir.to_owned()),
            widths: BTreeMap::new(),
            compared: 0,
            extra: Vec::new(),
        };
        for path in files::walk(dir)? {
            let relative = path.strip_prefix(dir).unwrap_or(&path);
            match Tile::parse(relative) {
                Some(tile) if tile.within(size) => {
                    let widths = found.widths.entry((tile.kind, tile.n)).or_default();
                    widths.push(tile.width);
                }
                _ if relative == Path::new("checkpoint") || relative == Path::new("lock") => {}
                _ => found.extra.push(relative.to_owned()),
            }
        }
        Ok(found)
    }

    /// The first entry of a bundle whose hash is another than the one in the level-0 tile.
    fn other_entry(&self, bundle: Tile, path: &Path, leaves: &[Digest]) -> Option<Error> {
        let tile = Tile {
            kind: Kind::Level(0),
            ..bundle
        };
        // Unreadable hashes are reported as what they are.
        let hashes = self.directory.hashes(tile).unwrap_or_default();
        let mut pairs = (bundle.n * WIDTH..).zip(leaves.iter().zip(hashes));
        let (number, (got, expected)) = pairs.find(|(_, (leaf, hash))| *leaf != hash)?;
        Some(Error::DigestMismatch {
            path: path.to_owned(),
            item: format!("entry {number}"),
            expected,
            got: *got,
        })
    }

    /// Compares the files of a tile with what the entries say they must hold: its hashes, or those of its entries.
    fn compare(&mut self, kind: Kind, n: u64, hashes: &[Digest]) -> Result<()> {
        let widths = self.widths.remove(&(kind, n)).unwrap_or_default();
        let whole = Tile {
            kind,
            n,
            width: hashes.len() as u64,
        };
        if !widths.contains(&whole.width) {
            // A full tile that a later checkpoint covers may stand for it.
            self.directory.read(whole)?;
        }
        for width in widths {
            check_tile(&self.directory, Tile { kind, n, width }, hashes)?;
            self.compared += 1;
        }
        Ok(())
    }
}

/// Appends a bundle's leaves to the edge; gives the tiles above level 0 that they complete, with their hashes.
fn above(edge: &mut Edge, leaves: &[Digest]) -> Result<Vec<(Tile, Vec<Digest>)>> {
    let mut full = Vec::new();
    for leaf in leaves {
        edge.push(*leaf, |tile, bytes| full.push((tile, bytes)));
    }
    let above = full.into_iter();
    let above = above.filter(|(tile, _)| tile.kind != Kind::Level(0));
    above
        .map(|(tile, bytes)| Ok((tile, parse_hashes(&tile.path(), &bytes, tile.width)?)))
        .collect()
}

/// Compares one file with the hashes of the whole tile, of which it may hold the first ones.
fn check_tile(directory: &Directory, tile: Tile, hashes: &[Digest]) -> Result<()> {
    let dir = &directory.0;
    let bytes = match files::read(dir, &tile.path(), tile.most_bytes()) {
        // A writer takes a partial tile away once the full one is there.
        Err(error) if error.is_not_found() => return directory.read(tile).map(|_| ()),
        other => other?,
    };
    let path = &dir.join(tile.path());
    let first = tile.n * WIDTH;
    let expected = hashes
        .get(..tile.width as usize)
        .ok_or_else(|| Error::corrupt(path, "beyond the tree"))?;
    let (name, got): (_, Vec<Digest>) = match tile.kind {
        Kind::Entries => {
            let entries = parse_bundle(path, &bytes, tile.width)?;
            let mut again = Vec::with_capacity(bytes.len());
            for entry in &entries {
                push_entry(&mut again, entry)?;
            }
            if again != bytes {
                return Err(Error::corrupt(
                    path,
                    format!("more than {} entries", tile.width),
                ));
            }
            (
                "entry".to_owned(),
                entries.into_iter().map(leaf_hash).collect(),
            )
        }
        Kind::Level(level) => {
            if bytes.len() as u64 != tile.width * 32 {
                return Err(Error::corrupt(
                    path,
                    format!(
                        "{} bytes instead of {} (32 a hash)",
                        bytes.len(),
                        tile.width * 32
                    ),
                ));
            }
            let hashes = parse_hashes(path, &bytes, tile.width)?;
            (
                format!("hash of node level {}, number", 8 * u32::from(level)),
                hashes,
            )
        }
    };
    for ((number, expected), got) in (first..).zip(expected).zip(got) {
        if *expected != got {
            return Err(Error::DigestMismatch {
                path: path.to_owned(),
                item: format!("{name} {number}"),
                expected: *expected,
                got,
            });
        }
    }
    Ok(())
}

//! Checking a whole log: every tile and the root are derived again from the entries.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{Checkpoint, empty_root, leaf_hash};

use super::edge::Edge;
use super::read::{Directory, read_checkpoint};
use super::tile::{Kind, Tile, WIDTH, kinds, parse_bundle, parse_hashes, push_entry, subtree_root};
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
    let directory = Directory(dir.to_owned());

    // levels[l]: the hashes of level l, derived from the entries alone.
    let mut levels = vec![read_leaves(&directory, &checkpoint)?];
    while let Some(below) = levels.last()
        && below.len() as u64 >= WIDTH
    {
        let above = below
            .chunks_exact(WIDTH as usize)
            .filter_map(subtree_root)
            .collect();
        levels.push(above);
    }

    // Every tile that the checkpoint needs is there...
    for kind in kinds(size) {
        for tile in kind.tiles(size) {
            directory.read(tile)?;
        }
    }
    // ...and every file that is there is right, older partial tiles included.
    let mut tiles = 0;
    let mut extra = Vec::new();
    for path in files::walk(dir)? {
        let relative = path.strip_prefix(dir).unwrap_or(&path);
        match Tile::parse(relative) {
            Some(tile) if tile.within(size) => {
                check_tile(dir, tile, &levels)?;
                tiles += 1;
            }
            _ if relative == Path::new("checkpoint") || relative == Path::new("lock") => {}
            _ => extra.push(relative.to_owned()),
        }
    }
    Ok(FsckReport {
        entries: size,
        checkpoint,
        tiles,
        extra,
    })
}

/// The leaf hashes of all entries, checked against the root. When they do not lead to it, but
/// the hashes in the level-0 tiles do, the entry is what changed; otherwise the first difference
/// between the two is named all the same.
fn read_leaves(directory: &Directory, checkpoint: &Checkpoint) -> Result<Vec<Digest>> {
    let mut leaves = Vec::new();
    let mut edge = Edge::default();
    let mut found: Option<Error> = None;
    for bundle in Kind::Entries.tiles(checkpoint.size) {
        let (path, bytes) = directory.read(bundle)?;
        let tile = Tile {
            kind: Kind::Level(0),
            ..bundle
        };
        // Unreadable hashes are reported later, as what they are.
        let hashes = directory.hashes(tile).unwrap_or_default();
        for (i, entry) in parse_bundle(&path, &bytes, bundle.width)?
            .into_iter()
            .enumerate()
        {
            let leaf = leaf_hash(entry);
            if let Some(expected) = hashes.get(i)
                && *expected != leaf
                && found.is_none()
            {
                found = Some(Error::DigestMismatch {
                    path: path.clone(),
                    item: format!("entry {}", leaves.len()),
                    expected: *expected,
                    got: leaf,
                });
            }
            edge.push(leaf, |_, _| ());
            leaves.push(leaf);
        }
    }
    let got = edge.root().unwrap_or_else(empty_root);
    if got == checkpoint.root {
        return Ok(leaves);
    }
    Err(found.unwrap_or_else(|| Error::DigestMismatch {
        path: directory.0.join("checkpoint"),
        item: format!("root of {} entries", checkpoint.size),
        expected: checkpoint.root,
        got,
    }))
}

/// Compares one file with what the entries say it must hold.
fn check_tile(dir: &Path, tile: Tile, levels: &[Vec<Digest>]) -> Result<()> {
    let bytes = files::read(dir, &tile.path(), tile.most_bytes())?;
    let path = &dir.join(tile.path());
    let first = tile.n * WIDTH;
    let level = match tile.kind {
        Kind::Entries => 0,
        Kind::Level(level) => level,
    };
    let expected = levels
        .get(usize::from(level))
        .and_then(|hashes| hashes.get(first as usize..(first + tile.width) as usize))
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

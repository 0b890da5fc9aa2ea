//! Reading tiles: entries, proofs, and the same directory without its lock.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{self, Checkpoint, Fork, ProofFile, leaf_hash};

use super::remote::{Remote, RemoteTiles};
use super::tile::{Tile, WIDTH};
use super::tiles::{Kept, Tiles};
use crate::{Error, Result, files};

/// The tiles of a directory.
#[derive(Clone, Debug)]
pub(super) struct Directory(pub PathBuf);

impl Tiles for Directory {
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
        // A partial tile may be gone once the full one is there, also in the middle of this.
        let full = Tile {
            width: WIDTH,
            ..tile
        };
        for tile in [tile, full] {
            let path = tile.path();
            match files::read(&self.0, &path, tile.most_bytes()) {
                Err(e) if e.is_not_found() => {}
                other => return other.map(|bytes| (self.0.join(path), bytes)),
            }
        }
        Err(Error::corrupt(
            &self.0.join(tile.path()),
            "missing, though the checkpoint covers it",
        ))
    }
}

/// Longest checkpoint that is read, bytes: more witnesses than any policy asks for have room in it.
pub(crate) const MAX_CHECKPOINT: u64 = 1 << 20;

/// Reads `checkpoint` of a log directory: the note and what it says. The origin is the one that
/// it names.
pub(super) fn read_checkpoint(dir: &Path, key: &PublicKey) -> Result<(String, Checkpoint)> {
    let path = dir.join("checkpoint");
    let bytes = files::read(dir, Path::new("checkpoint"), MAX_CHECKPOINT).map_err(|e| {
        if e.is_not_found() {
            Error::NotFound {
                path: dir.to_owned(),
            }
        } else {
            e
        }
    })?;
    parse_checkpoint(&path, bytes, key)
}

pub(super) fn parse_checkpoint(
    path: &Path,
    bytes: Vec<u8>,
    key: &PublicKey,
) -> Result<(String, Checkpoint)> {
    let note = String::from_utf8(bytes).map_err(|_| Error::corrupt(path, "not UTF-8"))?;
    let checkpoint = Checkpoint::parse(&note)
        .and_then(|c| Checkpoint::verify(&note, &c.origin, key))
        .map_err(|e| Error::verify(path, e))?;
    Ok((note, checkpoint))
}

/// Source of a reader's tiles.
#[derive(Clone, Debug)]
enum Source {
    Here(Directory),
    Elsewhere(Arc<RemoteTiles>),
}

impl Source {
    fn place(&self) -> &Path {
        match self {
            Source::Here(directory) => &directory.0,
            Source::Elsewhere(remote) => &remote.place,
        }
    }
}

impl Tiles for Source {
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
        match self {
            Source::Here(directory) => directory.read(tile),
            Source::Elsewhere(remote) => remote.read(tile),
        }
    }
}

/// A log for reading: no lock, also while another process writes. It stays at the checkpoint
/// that it was opened at.
#[derive(Clone, Debug)]
pub struct LogReader {
    tiles: Kept<Source>,
    note: String,
    checkpoint: Checkpoint,
}

impl LogReader {
    /// Opens a log directory at its current checkpoint, which must be signed by this key.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Verify`], [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>, key: &PublicKey) -> Result<LogReader> {
        let dir = dir.as_ref();
        let (note, checkpoint) = read_checkpoint(dir, key)?;
        Ok(LogReader {
            tiles: Kept::new(Source::Here(Directory(dir.to_owned()))),
            note,
            checkpoint,
        })
    }

    /// Opens a log whose files are elsewhere, as [`LogReader::open`] does; `place` is what errors
    /// call it. What it hands over is believed only where a hash under the checkpoint says so;
    /// tiles that were read once are kept.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Verify`], [`Error::Io`].
    pub fn open_remote(
        remote: Arc<dyn Remote>,
        place: impl AsRef<Path>,
        key: &PublicKey,
    ) -> Result<LogReader> {
        let place = place.as_ref();
        let bytes = remote.get("checkpoint")?.ok_or_else(|| Error::NotFound {
            path: place.to_owned(),
        })?;
        let (note, checkpoint) = parse_checkpoint(&place.join("checkpoint"), bytes, key)?;
        Ok(LogReader {
            tiles: Kept::new(Source::Elsewhere(Arc::new(RemoteTiles::new(remote, place)))),
            note,
            checkpoint,
        })
    }

    /// One entry with proof: its bytes hash to a leaf that is under the checkpoint's root. Unlike
    /// [`LogReader::entry`] it does not rely on the level-0 tile.
    ///
    /// # Errors
    /// As [`LogReader::entry`]; [`Error::Verify`] when the proof does not lead to the root.
    pub fn proved_entry(&self, index: u64) -> Result<Vec<u8>> {
        let entry = self.entry(index)?;
        let Checkpoint { size, root, .. } = self.checkpoint;
        let proof = self.prove_inclusion(index, size)?;
        tlog::verify_inclusion(leaf_hash(&entry), index, size, &proof, root)
            .map_err(|e| Error::verify(self.tiles.tiles.place(), e))?;
        Ok(entry)
    }

    /// Checks that this log begins with all that an earlier checkpoint covers.
    ///
    /// # Errors
    /// [`Error::OtherLog`] for another origin; [`Error::SplitView`] when it does not: fewer entries,
    /// another root for the same size, or no consistency proof that leads from one root to the other.
    pub fn continues(&self, earlier: &Checkpoint) -> Result<()> {
        let now = &self.checkpoint;
        let split = |detail: fedseal_client_sdk::Source| Error::SplitView {
            path: self.tiles.tiles.place().to_owned(),
            detail,
        };
        if now.origin != earlier.origin {
            return Err(Error::OtherLog {
                path: self.tiles.tiles.place().to_owned(),
                pinned: earlier.origin.clone(),
                found: now.origin.clone(),
            });
        }
        if now.size < earlier.size {
            let both = format!(
                "{} entries were seen before (root {}), now it shows {} (root {})",
                earlier.size, earlier.root, now.size, now.root
            );
            return Err(split(both.into()));
        }
        let proof = self.prove_consistency(earlier.size, now.size)?;
        tlog::verify_consistency(earlier.size, earlier.root, now.size, now.root, &proof)
            .map_err(|e| split(e.into()))
    }

    /// Evidence that this log does not continue an earlier checkpoint, a signed note: for whoever has the
    /// log's key. None where it continues it, and where this log has fewer entries: such a checkpoint may
    /// be an old one.
    ///
    /// # Errors
    /// [`Error::Verify`] for a note that cannot be read; tiles that cannot be had.
    pub fn fork(&self, earlier: &str) -> Result<Option<Fork>> {
        let place = self.tiles.tiles.place();
        let before = Checkpoint::parse(earlier).map_err(|e| Error::verify(place, e))?;
        let now = &self.checkpoint;
        if before.size > now.size || before.origin != now.origin {
            return Ok(None);
        }
        let root = self.tiles.root(before.size, now.size)?;
        if root == before.root {
            return Ok(None);
        }
        Ok(Some(Fork {
            earlier: earlier.to_owned(),
            later: self.note.clone(),
            root,
            proof: self.prove_consistency(before.size, now.size)?,
        }))
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as it was signed.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// How many entries the checkpoint covers.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// One entry, checked against its leaf hash.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`], [`Error::DigestMismatch`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        self.tiles.entry(index, self.checkpoint.size)
    }

    /// Entries of a range in order, each checked against its leaf hash. Files are read once.
    ///
    /// # Errors
    /// As [`LogReader::entry`].
    pub fn some(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>> {
        self.tiles.some(range, self.checkpoint.size)
    }

    /// All entries in order, checked against the checkpoint's root.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::DigestMismatch`].
    pub fn entries(&self) -> Result<Vec<Vec<u8>>> {
        let Checkpoint { size, root, .. } = self.checkpoint;
        self.tiles.entries(size, root, self.tiles.tiles.place())
    }

    /// The proof that entry `index` is in the tree of `size` entries.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`].
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>> {
        check_range("entry", index.saturating_add(1), size)?;
        check_range("tree size", size, self.size())?;
        self.tiles.prove_inclusion(index, size)
    }

    /// A self-contained proof that entry `index` is under this checkpoint, to be kept as a
    /// `.tlog-proof` file and verified offline.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`].
    pub fn proof_file(&self, index: u64) -> Result<ProofFile> {
        Ok(ProofFile {
            extra: None,
            index,
            proof: self.prove_inclusion(index, self.size())?,
            checkpoint: self.note.clone(),
        })
    }

    /// The proof that the tree of `new` entries begins with that of `old` entries.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`].
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>> {
        check_range("tree size", old, new)?;
        check_range("tree size", new, self.size())?;
        self.tiles.prove_consistency(old, new)
    }
}

pub(super) fn check_range(what: &'static str, asked: u64, size: u64) -> Result<()> {
    if asked > size {
        return Err(Error::OutOfRange { what, asked, size });
    }
    Ok(())
}

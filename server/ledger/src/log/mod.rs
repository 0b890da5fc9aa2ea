//! The append-only Merkle log: C2SP tlog-tiles on disk, one writer.
//!
//! Under the log's directory: `checkpoint` (a signed note), `tile/<L>/<N>[.p/<W>]` (hashes),
//! `tile/entries/<N>[.p/<W>]` (entries), and `lock`. While a checkpoint is being published it is
//! `checkpoint.next` first: whatever a reader has ever seen is durable before it is shown, and a
//! writer that finds it after a crash shows it and goes on from there.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_client_sdk::tlog::{self, Checkpoint, empty_root, leaf_hash};

use crate::files::{self, Disk, Inject};
use crate::{Error, Result};

mod edge;
mod fsck;
mod read;
mod remote;
mod tile;
mod tiles;
mod tree;

use edge::Edge;
use read::{Directory, check_range, parse_checkpoint, read_checkpoint};

pub(crate) use read::MAX_CHECKPOINT;
use tile::{
    Kind, MAX_ENTRY, Tile, WIDTH, hash_bytes, kinds, parse_bundle, parse_hashes, push_entry,
};
use tiles::Tiles;

pub use fsck::{FsckReport, fsck};
pub use read::LogReader;
pub use remote::Remote;

/// The signed checkpoint that is about to be shown.
const NEXT: &str = "checkpoint.next";

/// The log, open for writing.
///
/// Entries are buffered by [`Log::append`] and exist for others from [`Log::publish`] on. After a
/// crash, [`Log::open`] goes back to the last checkpoint that may have been shown: what was appended
/// later is gone, and the caller appends it again.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    key: SigningKey,
    /// Locked for as long as this value lives: so nobody else appends, and what is in memory is
    /// what is on disk plus `pending`.
    _lock: File,
    disk: Disk,
    /// The last checkpoint on disk. Its entries are durable: publish writes it after them.
    published: Checkpoint,
    note: String,
    /// The right edge of the tree over all entries, published or not.
    edge: Edge,
    /// The bytes of the incomplete entry bundle, and where each entry's bytes end in it.
    bundle: Vec<u8>,
    /// Full tiles and bundles that are not on disk yet.
    pending: BTreeMap<Tile, Vec<u8>>,
}

impl Log {
    /// Makes a new, empty log and publishes its checkpoint of size 0.
    ///
    /// # Errors
    /// [`Error::Exists`] when the directory holds a log or tiles; [`Error::Locked`],
    /// [`Error::Io`]; [`Error::Verify`] when the origin cannot be a key name.
    pub fn create(dir: impl AsRef<Path>, origin: &str, key: SigningKey) -> Result<Log> {
        Log::create_on(Disk::default(), dir.as_ref(), origin, key)
    }

    /// As [`Log::create`], with a disk that tests let fail.
    #[doc(hidden)]
    pub fn create_injected(
        fault: Arc<dyn Inject>,
        dir: &Path,
        origin: &str,
        key: SigningKey,
    ) -> Result<Log> {
        Log::create_on(Disk { fault: Some(fault) }, dir, origin, key)
    }

    /// As [`Log::open`], with a disk that tests let fail.
    #[doc(hidden)]
    pub fn open_injected(
        fault: Arc<dyn Inject>,
        dir: &Path,
        origin: &str,
        key: SigningKey,
    ) -> Result<Log> {
        Log::open_on(Disk { fault: Some(fault) }, dir, origin, key)
    }

    fn create_on(disk: Disk, dir: &Path, origin: &str, key: SigningKey) -> Result<Log> {
        disk.make_dir(dir)?;
        let lock = lock(&disk, dir)?;
        if dir.join("checkpoint").exists() || dir.join("tile").exists() {
            return Err(Error::Exists {
                path: dir.to_owned(),
            });
        }
        let published = Checkpoint {
            origin: origin.to_owned(),
            size: 0,
            root: empty_root(),
        };
        let path = dir.join("checkpoint");
        let note = published.sign(&key).map_err(|e| Error::verify(&path, e))?;
        disk.write(&path, note.as_bytes())?;
        Ok(Log {
            dir: dir.to_owned(),
            key,
            _lock: lock,
            disk,
            published,
            note,
            edge: Edge::default(),
            bundle: Vec::new(),
            pending: BTreeMap::new(),
        })
    }

    /// Opens a log at its last checkpoint, which must be of this origin and key. Files beyond the
    /// checkpoint (of a publish that did not end) are removed; files that it covers are not
    /// touched.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Locked`], [`Error::Io`]; [`Error::Verify`] for the
    /// checkpoint; [`Error::Corrupt`] and [`Error::DigestMismatch`] when the right edge of the
    /// tree does not lead to its root.
    pub fn open(dir: impl AsRef<Path>, origin: &str, key: SigningKey) -> Result<Log> {
        Log::open_on(Disk::default(), dir.as_ref(), origin, key)
    }

    fn open_on(disk: Disk, dir: &Path, origin: &str, key: SigningKey) -> Result<Log> {
        let path = dir.join("checkpoint");
        if !path.exists() {
            return Err(Error::NotFound {
                path: dir.to_owned(),
            });
        }
        let lock = lock(&disk, dir)?;
        // A writer that was killed may have shown its checkpoint, or made directories, without
        // making the names durable; from here on entries are added to what is there.
        disk.sync_tree(dir)?;
        let (mut note, mut published) = read_checkpoint(dir, &key.public())?;
        if published.origin != origin {
            return Err(Error::corrupt(
                &path,
                format!(
                    "a checkpoint of {:?}, expected {origin:?}",
                    published.origin
                ),
            ));
        }
        let next = read_next(dir, &key.public(), &published)?;
        if let Some((text, checkpoint)) = &next {
            (note, published) = (text.clone(), checkpoint.clone());
        }
        // Read and checked first: a damaged log is reported as it is, nothing in it is removed.
        let (edge, bundle) = load_edge(dir, &published)?;
        if next.is_some() {
            disk.show(&dir.join(NEXT), &path)?;
        }
        let log = Log {
            dir: dir.to_owned(),
            key,
            _lock: lock,
            disk,
            published,
            note,
            edge,
            bundle,
            pending: BTreeMap::new(),
        };
        log.heal()?;
        Ok(log)
    }

    /// Appends an entry in memory and returns its index. Nobody sees it before
    /// [`Log::publish`]. Costs one hash; no file is touched.
    ///
    /// # Errors
    /// [`Error::EntryTooLong`] for more than 65,535 bytes.
    pub fn append(&mut self, entry: &[u8]) -> Result<u64> {
        if entry.len() > MAX_ENTRY {
            return Err(Error::EntryTooLong { bytes: entry.len() });
        }
        let index = self.edge.size;
        push_entry(&mut self.bundle, entry)?;
        let pending = &mut self.pending;
        self.edge.push(leaf_hash(entry), |tile, bytes| {
            pending.insert(tile, bytes);
        });
        if self.edge.size.is_multiple_of(WIDTH) {
            let bundle = Tile {
                kind: Kind::Entries,
                n: index / WIDTH,
                width: WIDTH,
            };
            self.pending
                .insert(bundle, std::mem::take(&mut self.bundle));
        }
        Ok(index)
    }

    /// Makes everything appended durable, then the signed checkpoint, and only then shows it: what a
    /// reader sees, no crash takes back. When it returns, a crash loses nothing. When it fails,
    /// nothing is lost from memory and it may be called again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(&mut self) -> Result<Checkpoint> {
        let before = self.published.size;
        let size = self.edge.size;
        if size == before {
            return Ok(self.published.clone());
        }
        // 1. Data. A partial tile that the last checkpoint has too is there already.
        let on_disk = |tile: &Tile| tile.kind.tile(tile.n, before) == Some(*tile);
        let partial = self.partial();
        let full = self.pending.iter().map(|(tile, bytes)| (*tile, bytes));
        let all: Vec<(PathBuf, &Vec<u8>)> = partial
            .iter()
            .map(|(tile, bytes)| (*tile, bytes))
            .filter(|(tile, _)| !on_disk(tile))
            .chain(full)
            .map(|(tile, bytes)| (self.dir.join(tile.path()), bytes))
            .collect();
        self.disk.write_many(
            all.iter()
                .map(|(path, bytes)| (path.as_path(), bytes.as_slice())),
        )?;

        // 2. The checkpoint, once the data is durable; shown once it is durable itself.
        let path = self.dir.join("checkpoint");
        let checkpoint = Checkpoint {
            origin: self.published.origin.clone(),
            size,
            root: self.root()?,
        };
        let note = checkpoint
            .sign(&self.key)
            .map_err(|e| Error::verify(&path, e))?;
        let next = self.dir.join(NEXT);
        self.disk.write(&next, note.as_bytes())?;
        self.disk.show(&next, &path)?;
        self.published = checkpoint.clone();
        self.note = note;

        // 3. Partial tiles of the tiles that are full now. Those of incomplete ones stay: "Logs
        // MUST serve partial tiles corresponding to tree sizes for which a checkpoint was
        // produced, but MAY delete any partial tile once the corresponding full tile is [...]
        // available" (tlog-tiles). Failing to remove one harms nobody.
        for tile in std::mem::take(&mut self.pending).into_keys() {
            remove_partial(&self.disk, &self.dir, tile);
        }
        Ok(checkpoint)
    }

    /// Appends one entry and publishes.
    ///
    /// # Errors
    /// As [`Log::append`] and [`Log::publish`].
    pub fn append_publish(&mut self, entry: &[u8]) -> Result<u64> {
        let index = self.append(entry)?;
        self.publish()?;
        Ok(index)
    }

    /// How many entries there are, published or not.
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The last published checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.published
    }

    /// The last published checkpoint as it was signed.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// One entry, published or not, checked against its leaf hash.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`], [`Error::DigestMismatch`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        Tiles::entry(self, index, self.size())
    }

    /// All entries in order, published or not, checked against the root.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::DigestMismatch`].
    pub fn entries(&self) -> Result<Vec<Vec<u8>>> {
        Tiles::entries(self, self.size(), self.root()?, &self.dir)
    }

    /// The proof that entry `index` is in the tree of `size` entries.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`].
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>> {
        check_range("entry", index.saturating_add(1), size)?;
        check_range("tree size", size, self.size())?;
        Tiles::prove_inclusion(self, index, size)
    }

    /// The proof that the tree of `new` entries begins with that of `old` entries.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`].
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>> {
        check_range("tree size", old, new)?;
        check_range("tree size", new, self.size())?;
        Tiles::prove_consistency(self, old, new)
    }

    /// The incomplete tiles and the incomplete bundle, with their bytes.
    fn partial(&self) -> Vec<(Tile, Vec<u8>)> {
        let size = self.edge.size;
        let bundle = Kind::Entries.tile(size / WIDTH, size);
        let bundle = bundle.map(|tile| (tile, self.bundle.clone()));
        self.edge.partial().chain(bundle).collect()
    }

    /// Removes what the checkpoint does not cover: temporary files and tiles beyond its size; and
    /// partial tiles whose full tile is there. Files with other names are left alone.
    fn heal(&self) -> Result<()> {
        let size = self.published.size;
        // The right edge may have been read from tiles that go now.
        for (tile, bytes) in self.partial() {
            let path = self.dir.join(tile.path());
            if !path.exists() {
                self.disk.write(&path, &bytes)?;
            }
        }
        for path in files::walk(&self.dir)? {
            let relative = path.strip_prefix(&self.dir).unwrap_or(&path);
            let extra = match Tile::parse(relative) {
                Some(tile) => {
                    let full = Tile {
                        width: WIDTH,
                        ..tile
                    };
                    !tile.within(size) || (tile.width < WIDTH && full.within(size))
                }
                None => files::is_temporary(&path),
            };
            if extra {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }

    fn root(&self) -> Result<Digest> {
        self.edge
            .root()
            .ok_or_else(|| Error::corrupt(&self.dir, "the right edge in memory is not whole"))
    }
}

impl Tiles for Log {
    fn read(&self, tile: Tile) -> Result<(PathBuf, Vec<u8>)> {
        let path = || self.dir.join(tile.path());
        let full = Tile {
            width: WIDTH,
            ..tile
        };
        if let Some(bytes) = self.pending.get(&full) {
            return Ok((path(), bytes.clone()));
        }
        match tile.kind {
            Kind::Entries if tile.n == self.edge.size / WIDTH => Ok((path(), self.bundle.clone())),
            Kind::Level(level) => match self.edge.tile(level, tile.n) {
                Some(hashes) => Ok((path(), hash_bytes(hashes))),
                None => Directory(self.dir.clone()).read(tile),
            },
            Kind::Entries => Directory(self.dir.clone()).read(tile),
        }
    }
}

/// Writes a log's current checkpoint anew with further signature lines (cosignatures of
/// witnesses). Who may add them is for the caller to check.
///
/// # Errors
/// [`Error::Locked`] while the log is being written; [`Error::Corrupt`] when the log is at another
/// checkpoint than `note`'s by now, or has no room for the lines; [`Error::Verify`], [`Error::Io`].
pub fn add_cosignatures(
    dir: impl AsRef<Path>,
    key: &PublicKey,
    note: &str,
    lines: &str,
) -> Result<String> {
    let dir = dir.as_ref();
    let path = dir.join("checkpoint");
    let _lock = lock(&Disk::default(), dir)?;
    let (current, checkpoint) = read_checkpoint(dir, key)?;
    let signed = Checkpoint::parse(note).map_err(|e| Error::verify(&path, e))?;
    if signed != checkpoint {
        return Err(Error::corrupt(
            &path,
            format!(
                "the log is at {} entries, the cosignatures are on {}",
                checkpoint.size, signed.size
            ),
        ));
    }
    let cosigned = tlog::add_signatures(&current, lines).map_err(|e| Error::verify(&path, e))?;
    if cosigned.len() as u64 > MAX_CHECKPOINT {
        // Nobody could read the log any more.
        let text = format!(
            "would have {} bytes with these lines, at most {MAX_CHECKPOINT} are read",
            cosigned.len()
        );
        return Err(Error::corrupt(&path, text));
    }
    Disk::default().write(&path, cosigned.as_bytes())?;
    Ok(cosigned)
}

pub(crate) fn lock(disk: &Disk, dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = disk.open_lock(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
        Err(TryLockError::Error(e)) => Err(Error::io(&path, e)),
    }
}

/// The checkpoint that a writer was about to show when it died, if it goes beyond what is shown.
/// Its tiles were durable before it.
fn read_next(
    dir: &Path,
    key: &PublicKey,
    published: &Checkpoint,
) -> Result<Option<(String, Checkpoint)>> {
    let path = dir.join(NEXT);
    let bytes = match files::read(dir, Path::new(NEXT), MAX_CHECKPOINT) {
        Err(e) if e.is_not_found() => return Ok(None),
        other => other?,
    };
    let (note, next) = parse_checkpoint(&path, bytes, key)?;
    if next.origin != published.origin || next.size < published.size {
        let text = format!(
            "a checkpoint of {:?} with {} entries, the one shown is of {:?} with {}",
            next.origin, next.size, published.origin, published.size
        );
        return Err(Error::corrupt(&path, text));
    }
    Ok(Some((note, next)))
}

/// Removes `<N>.p` beside a full tile, as far as that succeeds.
fn remove_partial(disk: &Disk, dir: &Path, full: Tile) {
    let one = dir.join(Tile { width: 1, ..full }.path());
    let Some(partial) = one.parent() else { return };
    for path in files::walk(partial).unwrap_or_default() {
        let _ = disk.remove(&path);
    }
    let _ = std::fs::remove_dir(partial);
}

/// Reads the partial tiles and the partial bundle, and checks them against the root.
fn load_edge(dir: &Path, published: &Checkpoint) -> Result<(Edge, Vec<u8>)> {
    let size = published.size;
    let mut edge = Edge {
        levels: Vec::new(),
        size,
    };
    let mut bundle = Vec::new();
    let directory = Directory(dir.to_owned());
    for kind in kinds(size) {
        let Some(tile) = kind.tile(kind.items(size) / WIDTH, size) else {
            // The last tile is full: the incomplete one is empty.
            if let Kind::Level(_) = kind {
                edge.levels.push(Vec::new());
            }
            continue;
        };
        let (path, bytes) = directory.read(tile)?;
        match kind {
            Kind::Level(_) => edge.levels.push(parse_hashes(&path, &bytes, tile.width)?),
            Kind::Entries => {
                for entry in parse_bundle(&path, &bytes, tile.width)? {
                    push_entry(&mut bundle, entry)?;
                }
            }
        }
    }
    let got = edge.root().unwrap_or_else(empty_root);
    if got != published.root {
        return Err(Error::DigestMismatch {
            path: dir.join("checkpoint"),
            item: format!("root of {size} entries, from the right edge of the tiles"),
            expected: published.root,
            got,
        });
    }
    let path = dir.join("tile/entries");
    let leaves = edge.levels.first().map_or(&[][..], Vec::as_slice);
    let first = size - leaves.len() as u64;
    let entries = parse_bundle(&path, &bundle, leaves.len() as u64)?;
    for ((index, entry), expected) in (first..).zip(entries).zip(leaves) {
        let got = leaf_hash(entry);
        if got != *expected {
            return Err(Error::DigestMismatch {
                path,
                item: format!("entry {index}"),
                expected: *expected,
                got,
            });
        }
    }
    Ok((edge, bundle))
}

#[cfg(test)]
mod tests;

//! Byte strings under their SHA-256: each a file `<dir>/<first two hex digits>/<64 hex digits>`, or,
//! where many small ones came at once, a member of that name in `<dir>/packs/<64 hex digits>.tar`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::outside;

use crate::files::{self, Disk, Inject};
use crate::opened::OpenBlob;
use crate::packs::{PACK_FROM, PACK_UP_TO, PACKED_BYTES, Pack, Packs, member};
use crate::{Error, Result};

/// Longest blob, bytes.
pub const MAX_BLOB: u64 = 1 << 30;

/// Length, bytes, from which on a blob is hashed in pieces before memory is taken for it.
const HASHED_FIRST: u64 = 16 << 20;

/// A directory of blobs. Any number of threads and processes may use one at the same time.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: PathBuf,
    disk: Disk,
    packs: Arc<Packs>,
}

impl Blobs {
    /// Opens the store, creating its directory when there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Blobs> {
        Blobs::open_on(Disk::default(), dir.as_ref())
    }

    /// Opens a store that is there, to read it: nothing is made or written.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is no directory, or a link to one.
    pub fn existing(dir: impl AsRef<Path>) -> Result<Blobs> {
        let dir = dir.as_ref();
        match dir.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(Blobs::on(Disk::default(), dir)),
            Ok(found) => {
                let kind = outside::kind(found.file_type());
                let problem = format!("{kind}, where the folder of blobs belongs");
                Err(Error::corrupt(dir, problem))
            }
            Err(_) => Err(Error::corrupt(dir, "no such directory")),
        }
    }

    /// As [`Blobs::open`], on a disk that tests let fail.
    #[doc(hidden)]
    pub fn open_injected(fault: Arc<dyn Inject>, dir: &Path) -> Result<Blobs> {
        Blobs::open_on(Disk { fault: Some(fault) }, dir)
    }

    fn open_on(disk: Disk, dir: &Path) -> Result<Blobs> {
        disk.make_dir(dir)?;
        // A directory in it may have been made by somebody who died before its name was durable.
        disk.sync_dir(dir)?;
        Ok(Blobs::on(disk, dir))
    }

    fn on(disk: Disk, dir: &Path) -> Blobs {
        let dir = dir.to_owned();
        let packs = Arc::new(Packs::new(dir.join("packs")));
        Blobs { dir, disk, packs }
    }

    /// Open file of a blob that is in no pack, and its length in bytes.
    fn alone(&self, digest: &Digest) -> Result<(File, u64)> {
        let below = member(digest);
        outside::open(&self.dir, &below)
            .and_then(|file| {
                let length = outside::length(&file, MAX_BLOB)?;
                Ok((file, length))
            })
            .map_err(|e| Error::io(&self.dir.join(below), e))
    }

    /// Path of a blob that is in no pack, whether it is there or not.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(member(digest))
    }

    /// Stores bytes durably and returns their digest. Storing them again is cheap; a stored copy
    /// that has changed on disk is replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digests = self.put_many([bytes])?;
        Ok(digests
            .first()
            .copied()
            .unwrap_or_else(|| Digest::of(bytes)))
    }

    /// As [`Blobs::put`] for several, in little more time than for one; returns their digests in
    /// order. A crash in between leaves some of them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put_many<'a>(&self, all: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Digest>> {
        let all = all.into_iter().map(|bytes| (Digest::of(bytes), bytes));
        let all: Vec<(Digest, &[u8])> = all.collect();
        self.put_named(all.iter().copied())?;
        Ok(all.iter().map(|(digest, _)| *digest).collect())
    }

    /// As [`Blobs::put_many`], of bytes that were hashed before, on other threads for example.
    ///
    /// # Errors
    /// As [`Blobs::put_many`].
    pub fn put_hashed<'a>(&self, all: impl IntoIterator<Item = &'a Hashed>) -> Result<()> {
        self.put_named(all.into_iter().map(|it| (it.digest(), it.bytes())))
    }

    /// Stores bytes under their digests.
    fn put_named<'a>(&self, all: impl Iterator<Item = (Digest, &'a [u8])>) -> Result<()> {
        self.packs.look()?;
        let mut missing = BTreeMap::new();
        let mut found = BTreeSet::new();
        for (digest, bytes) in all {
            if missing.contains_key(&digest) {
                continue;
            }
            if bytes.len() as u64 > MAX_BLOB {
                let problem = format!("{} bytes, at most {MAX_BLOB} are stored", bytes.len());
                return Err(Error::corrupt(&self.path(&digest), problem));
            }
            match self.stored(&digest, bytes.len() as u64)? {
                // Whoever wrote it may have died before its name, or that of the directory which
                // it made for it, was durable.
                Some((path, stored)) if stored == bytes => {
                    let dirs = path.ancestors().skip(1).take(2);
                    found.extend(dirs.map(Path::to_owned));
                }
                _ => {
                    missing.insert(digest, bytes);
                }
            }
        }
        self.disk.sync_dirs(&found)?;
        self.write(missing)
    }

    /// The bytes of a blob of this length and the file that they are in, as far as is known without
    /// looking for other processes' packs.
    fn stored(&self, digest: &Digest, length: u64) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let path = self.path(digest);
        // One look: most blobs that are put are new.
        let there = path.symlink_metadata().is_ok();
        let found = there.then(|| files::read(&self.dir, &member(digest), length));
        match found {
            None => {}
            Some(Err(e)) if e.is_not_found() => {}
            // Something else, or something longer, is in its place: it is replaced.
            Some(Err(e)) if e.is_unfit() => return Ok(None),
            Some(other) => return Ok(Some((path, other?))),
        }
        let Some(place) = self.packs.known(digest) else {
            return Ok(None);
        };
        match place.read() {
            Err(e) if e.is_not_found() => Ok(None),
            other => Ok(Some((place.pack.to_path_buf(), other?))),
        }
    }

    /// Writes blobs durably: many small ones as a pack, the others as files.
    fn write(&self, missing: BTreeMap<Digest, &[u8]>) -> Result<()> {
        // A copy that has changed on disk is replaced where it is looked for first.
        let small = |digest: &Digest, bytes: &[u8]| {
            bytes.len() <= PACKED_BYTES && self.packs.known(digest).is_none()
        };
        let (mut small, mut alone): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|(digest, bytes)| small(digest, bytes));
        if small.len() < PACK_FROM {
            alone.append(&mut small);
        }
        // Many bytes are two packs, one for each of two threads.
        let bytes: usize = small.iter().map(|(_, bytes)| bytes.len()).sum();
        let parts = if bytes < files::APART { 1 } else { 2 };
        let most = small.len().div_ceil(parts).clamp(1, PACK_UP_TO);
        let parts: Vec<_> = small.chunks(most).collect();
        let least = files::shared_from(bytes);
        let packs = files::halves(least, &parts, |parts| {
            let packs = parts.iter().map(|small| self.packs.pack(small));
            packs.collect::<Result<Vec<_>>>()
        });
        let packs: Vec<Vec<Pack>> = packs.into_iter().collect::<Result<_>>()?;
        let packs: Vec<Pack> = packs.into_iter().flatten().collect();
        let paths: Vec<PathBuf> = alone.iter().map(|(digest, _)| self.path(digest)).collect();
        let alone = paths.iter().zip(&alone);
        let alone = alone.map(|(path, (_, bytes))| (path.as_path(), *bytes));
        let packed = packs.iter();
        let packed = packed.map(|pack| (pack.path.as_path(), pack.bytes.as_slice()));
        self.disk.write_many(alone.chain(packed))?;
        for pack in packs {
            self.packs.add(pack);
        }
        Ok(())
    }

    /// Reads a blob and hashes it again.
    ///
    /// # Errors
    /// [`Error::NoBlob`]; [`Error::DigestMismatch`] with the path and both digests;
    /// [`Error::Io`], also for what is no regular file or longer than [`MAX_BLOB`].
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let (path, bytes) = match self.alone(digest) {
            Err(e) if e.is_not_found() => match self.packs.find(digest)? {
                Some(place) => (place.pack.to_path_buf(), place.read()?),
                None => {
                    return Err(Error::NoBlob {
                        path,
                        digest: *digest,
                    });
                }
            },
            other => {
                let (file, length) = other?;
                // Memory is taken for what a digest names, not for a file full of holes.
                if length > HASHED_FIRST {
                    self.check(digest)?;
                }
                let bytes = outside::contents(file, MAX_BLOB).map_err(|e| Error::io(&path, e))?;
                (path, bytes)
            }
        };
        same(path, digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Opens a blob that is read in parts: it is hashed now, and not at each part.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub fn opened(&self, digest: &Digest) -> Result<OpenBlob> {
        let file = match self.alone(digest) {
            Err(e) if e.is_not_found() => return Ok(OpenBlob::bytes(self.get(digest)?)),
            other => other?.0,
        };
        let path = self.path(digest);
        let io = |e| Error::io(&path, e);
        let hashed = file.try_clone().map_err(io)?;
        // What changes it has from here on shows.
        let opened = OpenBlob::file(file).map_err(io)?;
        let got = outside::digest_of(hashed, MAX_BLOB).map_err(io)?;
        same(path, digest, got)?;
        Ok(opened)
    }

    /// Hashes a blob that has a file of its own, in pieces. Gives its length, bytes.
    fn check(&self, digest: &Digest) -> Result<u64> {
        let path = self.path(digest);
        let (file, length) = self.alone(digest)?;
        let got = outside::digest_of(file, MAX_BLOB).map_err(|e| Error::io(&path, e))?;
        same(path, digest, got)?;
        Ok(length)
    }

    /// Whether there is a file or a packed blob for this digest. Its bytes are not looked at.
    pub fn contains(&self, digest: &Digest) -> bool {
        let alone = self.path(digest).symlink_metadata();
        alone.is_ok_and(|found| found.is_file()) || matches!(self.packs.find(digest), Ok(Some(_)))
    }

    /// The digests of all blobs, in order. Their bytes are not looked at.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] for a file that is no blob and no pack.
    pub fn iter(&self) -> Result<impl Iterator<Item = Digest> + use<>> {
        let (mut digests, _) = self.packs.all()?;
        digests.extend(self.loose()?);
        digests.sort_unstable();
        digests.dedup();
        Ok(digests.into_iter())
    }

    /// The digests of blobs that have files of their own.
    fn loose(&self) -> Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for path in files::walk(&self.dir)? {
            if files::is_temporary(&path) || path.starts_with(self.packs.folder()) {
                continue;
            }
            let digest = path
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(|n| n.parse::<Digest>().ok())
                .filter(|d| self.path(d) == path)
                .ok_or_else(|| Error::corrupt(&path, "not the name of a blob"))?;
            digests.push(digest);
        }
        Ok(digests)
    }

    /// Removes every blob that is not wanted. No wanted blob is lost in a crash: a pack is removed
    /// only when its wanted blobs have files of their own.
    ///
    /// # Errors
    /// As [`Blobs::iter`] and [`Blobs::put`].
    pub fn retain(&self, wanted: impl Fn(&Digest) -> bool) -> Result<()> {
        for digest in self.loose()?.iter().filter(|digest| !wanted(digest)) {
            self.disk.remove(&self.path(digest))?;
        }
        for (pack, members) in self.packs.contents()? {
            let (keep, other): (Vec<_>, Vec<_>) =
                members.into_iter().partition(|(digest, _)| wanted(digest));
            if other.is_empty() {
                continue;
            }
            let mut kept = Vec::new();
            for (digest, place) in keep {
                kept.push((self.path(&digest), place.read()?));
            }
            let kept = kept.iter().map(|(path, bytes)| (&**path, &**bytes));
            self.disk.write_many(kept)?;
            self.disk.remove(&pack)?;
        }
        Ok(())
    }

    /// Hashes every file of the store, packs and what is in them. Gives the blobs with their lengths,
    /// bytes.
    ///
    /// # Errors
    /// The first that is wrong: [`Error::DigestMismatch`] with the file's path; [`Error::Corrupt`] for
    /// a file that is neither blob nor pack, also one that a write left which did not end;
    /// [`Error::Io`].
    pub fn verified(&self) -> Result<BTreeMap<Digest, u64>> {
        if let Some(path) = files::walk(&self.dir)?
            .iter()
            .find(|p| files::is_temporary(p))
        {
            return Err(Error::corrupt(path, "left by a write that did not end"));
        }
        self.hashed()
    }

    /// Reads and hashes every blob; returns how many there are and their bytes in total.
    ///
    /// # Errors
    /// The first that is wrong, as [`Blobs::verified`], except leftovers of a write that did not end.
    pub fn verify_all(&self) -> Result<(u64, u64)> {
        let blobs = self.hashed()?;
        Ok((blobs.len() as u64, blobs.values().sum()))
    }

    fn hashed(&self) -> Result<BTreeMap<Digest, u64>> {
        let mut blobs = self.packs.verify()?;
        for digest in self.loose()? {
            blobs.insert(digest, self.check(&digest)?);
        }
        Ok(blobs)
    }
}

/// Checks that bytes hash to the digest that names them.
fn same(path: PathBuf, expected: &Digest, got: Digest) -> Result<()> {
    if got != *expected {
        return Err(Error::DigestMismatch {
            path,
            item: "blob".into(),
            expected: *expected,
            got,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fault::Fault;
    use std::fs;

    #[test]
    fn put_get_iter() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        assert_eq!(blobs.iter().unwrap().count(), 0);
        let a = blobs.put(b"a").unwrap();
        assert_eq!(blobs.put(b"a").unwrap(), a);
        let empty = blobs.put(b"").unwrap();
        assert_eq!(blobs.get(&a).unwrap(), b"a");
        assert_eq!(blobs.get(&empty).unwrap(), b"");
        assert!(blobs.contains(&a));
        let mut expected = vec![a, empty];
        expected.sort();
        assert_eq!(blobs.iter().unwrap().collect::<Vec<_>>(), expected);
        assert_eq!(blobs.verify_all().unwrap(), (2, 1));
        let absent = Digest::of(b"absent");
        assert!(!blobs.contains(&absent));
        assert!(matches!(blobs.get(&absent), Err(Error::NoBlob { .. })));
    }

    #[test]
    fn an_open_blob_is_hashed_once_and_read_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let alone = blobs.put(b"0123456789").unwrap();
        let packed = put_all(&blobs, &many())[7];
        let open = blobs.opened(&alone).unwrap();
        assert_eq!((open.length(), open.is_unchanged()), (10, true));
        let parts = [(0, 4, "0123"), (8, 4, "89"), (3, 0, ""), (11, 1, "")];
        for (from, most, part) in parts {
            assert_eq!(open.read(from, most).unwrap(), part.as_bytes());
        }
        assert_eq!(open.read(u64::MAX, u64::MAX).unwrap(), b"");
        let small = blobs.opened(&packed).unwrap();
        assert_eq!(small.read(5, 9).unwrap(), b"7");

        // Written into in place, as the store never does: the blob is another one, and opened it is refused.
        fs::write(blobs.path(&alone), b"0123456789!").unwrap();
        assert!(!open.is_unchanged());
        let refused = blobs.opened(&alone).unwrap_err();
        assert!(matches!(refused, Error::DigestMismatch { .. }), "{refused}");
        fs::write(blobs.path(&alone), b"0").unwrap();
        let cut = open.read(0, 10).unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
        let absent = blobs.opened(&Digest::of(b"absent")).unwrap_err();
        assert!(matches!(absent, Error::NoBlob { .. }));
    }

    #[test]
    fn many_at_once_are_each_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let old = blobs.put(b"old").unwrap();
        let texts = [b"one".as_slice(), b"old", b"two", b"one", b""];
        let digests = blobs.put_many(texts).unwrap();
        assert_eq!(digests, texts.map(Digest::of));
        assert_eq!(digests[1], old);
        for (digest, text) in digests.iter().zip(texts) {
            assert_eq!(blobs.get(digest).unwrap(), text);
        }
        assert_eq!(blobs.verify_all().unwrap().0, 4);
        assert!(blobs.put_many([]).unwrap().is_empty());
    }

    /// Small texts, so many that they are packed.
    fn many() -> Vec<String> {
        (0..PACK_FROM).map(|n| format!("text {n}")).collect()
    }

    fn put_all(blobs: &Blobs, texts: &[String]) -> Vec<Digest> {
        blobs.put_many(texts.iter().map(String::as_bytes)).unwrap()
    }

    #[test]
    fn many_small_ones_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        // Opened before there was a pack, as by another process.
        let other = Blobs::open(dir.path()).unwrap();
        let large = vec![1; PACKED_BYTES + 1];
        let texts = many();
        let all = texts.iter().map(String::as_bytes).chain([large.as_slice()]);
        let digests = blobs.put_many(all).unwrap();
        assert_eq!(files::walk(dir.path()).unwrap().len(), 2);
        for store in [&blobs, &other, &Blobs::open(dir.path()).unwrap()] {
            for (digest, text) in digests.iter().zip(&texts) {
                assert_eq!(store.get(digest).unwrap(), text.as_bytes());
                assert!(store.contains(digest));
            }
            assert_eq!(store.get(&digests[texts.len()]).unwrap(), large);
            assert_eq!(store.iter().unwrap().count(), digests.len());
            assert_eq!(put_all(store, &texts), digests[..texts.len()]);
        }
        assert_eq!(files::walk(dir.path()).unwrap().len(), 2);
        assert_eq!(blobs.verify_all().unwrap().0, digests.len() as u64);
        let absent = Digest::of(b"absent");
        assert!(matches!(blobs.get(&absent), Err(Error::NoBlob { .. })));
    }

    #[test]
    fn a_packed_blob_that_changed_is_named_and_can_be_put_again() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let texts = many();
        let digests = put_all(&blobs, &texts);
        let pack = files::walk(dir.path()).unwrap().remove(0);
        let mut bytes = fs::read(&pack).unwrap();
        let at = bytes.windows(6).position(|part| part == b"text 3").unwrap();
        bytes[at] ^= 1;
        fs::write(&pack, bytes).unwrap();
        let error = blobs.get(&digests[3]).unwrap_err().to_string();
        for part in [pack.display().to_string(), digests[3].to_string()] {
            assert!(error.contains(&part), "{error}");
        }
        assert!(blobs.verify_all().is_err());
        assert_eq!(blobs.put(b"text 3").unwrap(), digests[3]);
        assert_eq!(blobs.get(&digests[3]).unwrap(), b"text 3");
        assert_eq!(blobs.get(&digests[4]).unwrap(), b"text 4");
    }

    #[test]
    fn what_is_not_wanted_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let alone = blobs.put(b"alone").unwrap();
        let digests = put_all(&blobs, &many());
        blobs.retain(|_| true).unwrap();
        assert_eq!(files::walk(dir.path()).unwrap().len(), 2);
        blobs
            .retain(|digest| *digest != alone && *digest != digests[1])
            .unwrap();
        for store in [&blobs, &Blobs::open(dir.path()).unwrap()] {
            assert_eq!(store.iter().unwrap().count(), digests.len() - 1);
            assert!(!store.contains(&alone) && !store.contains(&digests[1]));
            assert_eq!(store.get(&digests[2]).unwrap(), b"text 2");
            store.verify_all().unwrap();
        }
    }

    #[test]
    fn a_crash_leaves_no_half_pack() {
        let texts = many();
        for n in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let mut blobs = Blobs::open(dir.path()).unwrap();
            blobs.disk.fault = Some(Arc::new(Fault::after(n)));
            let done = blobs.put_many(texts.iter().map(String::as_bytes)).is_ok();
            let blobs = Blobs::open(dir.path()).unwrap();
            blobs.verify_all().unwrap();
            for digest in put_all(&blobs, &texts) {
                blobs.get(&digest).unwrap();
            }
            if done {
                return;
            }
        }
        panic!("the put never succeeded");
    }

    #[test]
    fn changed_bytes_are_named_and_can_be_put_again() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let digest = blobs.put(b"hello").unwrap();
        for bad in [b"hellp".as_slice(), b"hell", b"", b"hello "] {
            fs::write(blobs.path(&digest), bad).unwrap();
            let error = blobs.get(&digest).unwrap_err().to_string();
            for part in [
                blobs.path(&digest).display().to_string(),
                digest.to_string(),
                Digest::of(bad).to_string(),
            ] {
                assert!(error.contains(&part), "{error}");
            }
            assert!(blobs.verify_all().is_err());
            assert_eq!(blobs.put(b"hello").unwrap(), digest);
            assert_eq!(blobs.get(&digest).unwrap(), b"hello");
        }
        fs::write(dir.path().join("stranger"), b"").unwrap();
        assert!(blobs.verify_all().is_err());
    }

    #[test]
    fn a_store_that_is_read_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("blobs");
        assert!(Blobs::existing(&place).is_err() && !place.exists());
        let digest = Blobs::open(&place).unwrap().put(b"x").unwrap();
        assert_eq!(Blobs::existing(&place).unwrap().get(&digest).unwrap(), b"x");
        fs::write(dir.path().join("file"), b"").unwrap();
        assert!(Blobs::existing(dir.path().join("file")).is_err());
    }

    /// Opened like an ordinary file, each would block, be followed or be held in memory.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_blob_is_named_by_every_reader_and_replaced_by_the_writer() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        let digest = blobs.put(b"hello").unwrap();
        let path = blobs.path(&digest);
        fs::copy(&path, dir.path().join("outside")).unwrap();
        type Place<'a> = &'a dyn Fn();
        let cases: [(&str, Place<'_>); 4] = [
            ("a named pipe", &|| {
                let pipe = rustix::fs::FileType::Fifo;
                let mode = rustix::fs::Mode::RUSR;
                rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, mode, 0).unwrap();
            }),
            ("a symbolic link", &|| {
                symlink(dir.path().join("outside"), &path).unwrap()
            }),
            ("at most are read", &|| {
                let file = fs::File::create(&path).unwrap();
                file.set_len(MAX_BLOB + 1).unwrap();
            }),
            // Within the bound: hashed in pieces, which is what refuses it.
            ("expected sha256", &|| {
                let file = fs::File::create(&path).unwrap();
                file.set_len(HASHED_FIRST + 1).unwrap();
            }),
        ];
        for (what, place) in cases {
            fs::remove_file(&path).unwrap();
            place();
            for error in [
                blobs.get(&digest).map(|_| ()).unwrap_err(),
                blobs.verify_all().map(|_| ()).unwrap_err(),
                blobs.verified().map(|_| ()).unwrap_err(),
            ] {
                let error = error.to_string();
                assert!(
                    error.contains(what) && error.contains(&digest.to_string()),
                    "{error}"
                );
            }
            assert_eq!(blobs.put(b"hello").unwrap(), digest, "{what}");
            assert_eq!(blobs.get(&digest).unwrap(), b"hello");
        }
        fs::rename(dir.path().join("blobs"), dir.path().join("moved")).unwrap();
        symlink("moved", dir.path().join("blobs")).unwrap();
        assert!(Blobs::existing(dir.path().join("blobs")).is_err());
    }

    #[test]
    fn what_a_write_left_is_named_only_where_nothing_else_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let digest = blobs.put(b"x").unwrap();
        assert_eq!(blobs.verified().unwrap(), [(digest, 1)].into());
        fs::write(dir.path().join(".half.1.0.tmp"), b"").unwrap();
        assert_eq!(blobs.verify_all().unwrap(), (1, 1));
        assert!(blobs.verified().unwrap_err().to_string().contains(".half"));
    }

    #[test]
    fn a_crash_leaves_no_half_blob() {
        for n in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let mut blobs = Blobs::open(dir.path()).unwrap();
            blobs.disk.fault = Some(Arc::new(Fault::after(n)));
            let done = blobs.put(b"some bytes").is_ok();
            blobs.disk.fault = None;
            blobs.verify_all().unwrap();
            let digest = blobs.put(b"some bytes").unwrap();
            assert_eq!(blobs.get(&digest).unwrap(), b"some bytes");
            if done {
                return;
            }
        }
        panic!("the put never succeeded");
    }
}

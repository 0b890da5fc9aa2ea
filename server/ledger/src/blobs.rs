//! Byte strings under their SHA-256: `<dir>/<first two hex digits>/<64 hex digits>`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;

use crate::files::{self, Disk, Inject};
use crate::{Error, Result};

/// A directory of blobs. Any number of threads and processes may use one at the same time.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: PathBuf,
    disk: Disk,
}

impl Blobs {
    /// Opens the store, creating its directory when there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Blobs> {
        Blobs::open_on(Disk::default(), dir.as_ref())
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
        let dir = dir.to_owned();
        Ok(Blobs { dir, disk })
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (first, _) = name.split_at(2);
        self.dir.join(first).join(&name)
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
        let mut digests = Vec::new();
        let mut missing = BTreeMap::new();
        let mut found = BTreeSet::new();
        for bytes in all {
            let digest = Digest::of(bytes);
            digests.push(digest);
            let path = self.path(&digest);
            if missing.contains_key(&path) {
                continue;
            }
            match files::read(&path) {
                // Whoever wrote it may have died before its name, or that of the directory which
                // it made for it, was durable.
                Ok(stored) if stored == bytes => {
                    let dirs = path.ancestors().skip(1).take(2);
                    found.extend(dirs.map(Path::to_owned));
                }
                Ok(_) => {
                    missing.insert(path, bytes);
                }
                Err(e) if e.is_not_found() => {
                    missing.insert(path, bytes);
                }
                Err(e) => return Err(e),
            }
        }
        self.disk.sync_dirs(&found)?;
        let files = missing.iter().map(|(path, bytes)| (path.as_path(), *bytes));
        self.disk.write_many(files)?;
        Ok(digests)
    }

    /// Reads a blob and hashes it again.
    ///
    /// # Errors
    /// [`Error::NoBlob`]; [`Error::DigestMismatch`] with the path and both digests;
    /// [`Error::Io`].
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = match files::read(&path) {
            Err(e) if e.is_not_found() => {
                return Err(Error::NoBlob {
                    path,
                    digest: *digest,
                });
            }
            other => other?,
        };
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(Error::DigestMismatch {
                path,
                item: "blob".into(),
                expected: *digest,
                got,
            });
        }
        Ok(bytes)
    }

    /// Whether there is a file for this digest. Its bytes are not looked at.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The digests of all blobs, in order. Their bytes are not looked at.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] for a file that is no blob.
    pub fn iter(&self) -> Result<impl Iterator<Item = Digest> + use<>> {
        let mut digests = Vec::new();
        for path in files::walk(&self.dir)? {
            if files::is_temporary(&path) {
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
        Ok(digests.into_iter())
    }

    /// Reads and hashes every blob; returns how many there are and their bytes in total.
    ///
    /// # Errors
    /// The first that is wrong, as [`Blobs::get`] and [`Blobs::iter`].
    pub fn verify_all(&self) -> Result<(u64, u64)> {
        let (mut blobs, mut bytes) = (0, 0);
        for digest in self.iter()? {
            bytes += self.get(&digest)?.len() as u64;
            blobs += 1;
        }
        Ok((blobs, bytes))
    }
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

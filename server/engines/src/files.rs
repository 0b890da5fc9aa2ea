//! A store in a folder: blobs as everywhere here, claims as files that are linked into their place once. The
//! folder may be shared by machines whose file system has hard links.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;

use crate::store::{Name, Store, bounded};
use crate::{Error, Result};

/// Number of temporary files of this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A store in a folder.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    blobs: Blobs,
}

impl Files {
    /// Opens a folder, which is made where there is none.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> Result<Files> {
        fs::create_dir_all(folder.join("claims")).map_err(|error| refused(folder, error))?;
        Ok(Files {
            blobs: Blobs::open(folder.join("blobs")).map_err(|error| refused(folder, error))?,
            folder: folder.to_owned(),
        })
    }

    fn refused(&self, error: impl std::fmt::Display) -> Error {
        refused(&self.folder, error)
    }
}

fn refused(folder: &Path, error: impl std::fmt::Display) -> Error {
    Error::Refused {
        engine: folder.display().to_string(),
        detail: error.to_string(),
    }
}

/// A new file in a folder. Another machine, or a killed process of before, may have this process' number: a file
/// that is there already is somebody else's.
fn temporary(folder: &Path) -> std::io::Result<(PathBuf, File)> {
    loop {
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{}-{number}", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
            Err(error) => return Err(error),
        }
    }
}

impl Store for Files {
    fn put(&self, bytes: &[u8]) -> Result<Digest> {
        self.blobs.put(bytes).map_err(|error| self.refused(error))
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        match self.blobs.get(digest) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fedseal_ledger::Error::NoBlob { .. }) => Ok(None),
            Err(fedseal_ledger::Error::DigestMismatch { got, .. }) => Err(Error::Corrupt {
                engine: self.folder.display().to_string(),
                name: digest.to_string(),
                found: got.to_string(),
            }),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn claim(&self, name: &Name, value: &[u8]) -> Result<Vec<u8>> {
        bounded(&self.folder.display().to_string(), value)?;
        let claims = self.folder.join("claims");
        let place = claims.join(name.as_str());
        let (temporary, mut file) = temporary(&claims).map_err(|error| self.refused(error))?;
        let mut set = || -> std::io::Result<bool> {
            file.write_all(value)?;
            file.sync_all()?;
            // A link is made whole or not at all, and never over another.
            let linked = match fs::hard_link(&temporary, &place) {
                Ok(()) => true,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            };
            File::open(&claims)?.sync_all()?;
            Ok(linked)
        };
        let done = set();
        let _ = fs::remove_file(&temporary);
        match done.map_err(|error| self.refused(error))? {
            true => Ok(value.to_vec()),
            false => fs::read(&place).map_err(|error| self.refused(error)),
        }
    }

    fn claimed(&self, name: &Name) -> Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join("claims").join(name.as_str())) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_process_of_the_same_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(dir.path()).unwrap();
        let next = TEMPORARY.load(Ordering::Relaxed);
        let names = [next, next + 1].map(|number| format!(".{}-{number}", std::process::id()));
        let others = names.map(|name| dir.path().join("claims").join(name));
        for other in &others {
            fs::write(other, b"theirs").unwrap();
        }
        let name = Name::new("result", &Digest::of(b"job"), 0);
        assert_eq!(store.claim(&name, b"ours").unwrap(), b"ours");
        for other in &others {
            assert_eq!(fs::read(other).unwrap(), b"theirs");
        }
        assert_eq!(store.claimed(&name).unwrap().unwrap(), b"ours");
    }
}

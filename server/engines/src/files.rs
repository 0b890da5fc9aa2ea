//! A store in a folder: blobs as everywhere here, claims as files that are linked into their place once. The
//! folder may be shared by machines whose file system has hard links.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;

use crate::store::{MAX_CLAIM, Name, Store};
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
        let refused = |detail: String| Error::Refused {
            engine: folder.display().to_string(),
            detail,
        };
        fs::create_dir_all(folder.join("claims")).map_err(|error| refused(error.to_string()))?;
        Ok(Files {
            blobs: Blobs::open(folder.join("blobs")).map_err(|error| refused(error.to_string()))?,
            folder: folder.to_owned(),
        })
    }

    fn refused(&self, error: impl std::fmt::Display) -> Error {
        Error::Refused {
            engine: self.folder.display().to_string(),
            detail: error.to_string(),
        }
    }
}

/// The longest claim is the same for every engine.
pub(crate) fn bounded(engine: &str, value: &[u8]) -> Result<()> {
    match value.len() > MAX_CLAIM {
        true => Err(Error::Refused {
            engine: engine.to_owned(),
            detail: format!("a claim of {} bytes; at most {MAX_CLAIM}", value.len()),
        }),
        false => Ok(()),
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
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = claims.join(format!(".{}-{number}", std::process::id()));
        let set = || -> std::io::Result<bool> {
            let mut file = File::create(&temporary)?;
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

//! Checking the files of a run without knowing what they mean.

use std::path::Path;

use fedseal_client_sdk::keys::PublicKey;

use crate::{Blobs, FsckReport, Result, fsck};

/// Result of [`verify_files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesReport {
    /// The log.
    pub log: FsckReport,
    /// How many blobs were hashed.
    pub blobs: u64,
    /// Their bytes in total.
    pub blob_bytes: u64,
}

/// Checks `<dir>/log` with [`fsck`] and hashes every file under `<dir>/blobs`. What the entries
/// say, and whether the blobs that they name are there, is for the caller to check.
///
/// # Errors
/// The first thing that is wrong. A directory without `blobs` is an error, not an empty store.
pub fn verify_files(dir: impl AsRef<Path>, key: &PublicKey) -> Result<FilesReport> {
    let dir = dir.as_ref();
    let log = fsck(dir.join("log"), key)?;
    let (blobs, blob_bytes) = Blobs::existing(dir.join("blobs"))?.verify_all()?;
    Ok(FilesReport {
        log,
        blobs,
        blob_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;
    use fedseal_client_sdk::keys::SigningKey;

    #[test]
    fn both_stores_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed([1; 32]);
        assert!(verify_files(dir.path(), &key.public()).is_err());
        let mut log = Log::create(dir.path().join("log"), "t", key.clone()).unwrap();
        assert!(verify_files(dir.path(), &key.public()).is_err(), "no blobs");
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        let digest = blobs.put(b"payload").unwrap();
        log.append_publish(digest.to_string().as_bytes()).unwrap();
        let report = verify_files(dir.path(), &key.public()).unwrap();
        assert_eq!(
            (report.log.entries, report.blobs, report.blob_bytes),
            (1, 1, 7)
        );
        std::fs::write(blobs.path(&digest), b"other").unwrap();
        assert!(verify_files(dir.path(), &key.public()).is_err());
    }
}

//! The one error type of this crate.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::{Source, digest::Digest};

/// Result of every fallible function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Faults of the log, the blobs or the registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Bytes on disk do not hash to what names them.
    #[error("{}: {item}: expected sha256 {expected}, got {got}", path.display())]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// Which part of it: `blob`, `entry 17`, `hash 3 (node level 8, index 3)`.
        item: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of the bytes at hand.
        got: Digest,
    },
    /// A file that is not what its place says: cut off, too long, malformed, missing.
    #[error("{}: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Description of the fault.
        detail: String,
    },
    /// An entry longer than its length field can say.
    #[error(
        "an entry of {bytes} bytes: at most 65,535 fit (put the payload among the blobs and log its digest)"
    )]
    EntryTooLong {
        /// Its length, bytes.
        bytes: usize,
    },
    /// An entry or a tree size that the log does not have.
    #[error("{what} {asked}: the log has {size} entries")]
    OutOfRange {
        /// `entry` or `tree size`.
        what: &'static str,
        /// The number that was asked for.
        asked: u64,
        /// How many entries there are.
        size: u64,
    },
    /// Another process writes to this log.
    #[error("{}: another process holds this log open for writing", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// There is a log already; creating one would destroy it.
    #[error("{}: there is a log already; open it, or name another directory", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A log that shows other things than it showed before.
    #[error("{}: the log does not continue what it showed before: {detail}", path.display())]
    SplitView {
        /// The log.
        path: PathBuf,
        /// Both sizes and roots, or the error of the proof.
        #[source]
        detail: Source,
    },
    /// A log of another name than the one that is watched: neither a continuation nor a split view.
    #[error("{}: this is log {found:?}; the pinned checkpoint is of log {pinned:?}", path.display())]
    OtherLog {
        /// The log.
        path: PathBuf,
        /// The origin of the pinned checkpoint.
        pinned: String,
        /// The origin of this log.
        found: String,
    },
    /// There is no log.
    #[error("{}: no log here (no checkpoint)", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// A blob that is not in the store.
    #[error("{}: no blob {digest}", path.display())]
    NoBlob {
        /// Where it would be.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
    },
    /// The name or digest is registered with other content.
    #[error("{what} {name} is registered already with {registered}, not {offered}")]
    Conflict {
        /// `module` or `client`.
        what: &'static str,
        /// Its digest or name.
        name: String,
        /// The registered content.
        registered: String,
        /// The offered content.
        offered: String,
    },
    /// A checkpoint, key or record is wrong.
    #[error("{}: {source}", path.display())]
    Verify {
        /// The file that holds it.
        path: PathBuf,
        /// The error that the check gave.
        source: Box<fedseal_client_sdk::Error>,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Error::Corrupt {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }

    pub(crate) fn verify(path: &Path, source: fedseal_client_sdk::Error) -> Self {
        Error::Verify {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    /// Whether it is about a name that is no regular file, or a file that is too long to be read.
    pub(crate) fn is_unfit(&self) -> bool {
        matches!(self, Error::Io { source, .. } if fedseal_client_sdk::outside::is_unfit(source))
    }

    /// Whether it is about a file that is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

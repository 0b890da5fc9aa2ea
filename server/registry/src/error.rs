//! The one error type of this room.

use std::path::{Path, PathBuf};

/// Result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Faults of the registry's records, or of what is registered in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// The linked SQLite has the bug that loses commits in WAL mode.
    #[error(
        "SQLite {got} is linked; 3.51.3 or later is needed (earlier ones can lose commits in WAL mode with two connections)"
    )]
    SqliteVersion {
        /// The linked version.
        got: &'static str,
    },
    /// A database operation failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's own error.
        source: Box<rusqlite::Error>,
    },
    /// The file has another schema.
    #[error("{}: {detail}", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// Both versions.
        detail: String,
    },
    /// The engine of the records failed or refused.
    #[error(transparent)]
    Engine(#[from] fedseal_engines::Error),
    /// A row is not one of its table.
    #[error("{place}: a row of {found} columns, where {wanted} are")]
    Columns {
        /// Path or address of the records.
        place: String,
        /// Columns of the row.
        found: usize,
        /// Columns of the table.
        wanted: usize,
    },
    /// A row does not parse.
    #[error("{place}: {source}")]
    Verify {
        /// Path or address of the records.
        place: String,
        /// The error that the check gave.
        source: Box<fedseal_client_sdk::Error>,
    },
}

impl Error {
    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Error::Corrupt {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}

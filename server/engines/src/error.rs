//! The one error type of this room.

/// Result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Faults of an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine cannot be reached, or did not answer in time. Asking again may help.
    #[error("{engine} does not answer: {detail}")]
    Unreachable {
        /// The engine's address, without secrets.
        engine: String,
        /// Words of the client.
        detail: String,
    },
    /// The engine is not one that can be worked with: too old, or with settings that break the contract.
    /// Asking again does not help.
    #[error("{engine} cannot be used: {detail}")]
    Unfit {
        /// The engine's address, without secrets.
        engine: String,
        /// Each difference, with what is wanted and what was found.
        detail: String,
    },
    /// The engine refused a request.
    #[error("{engine} refused: {detail}")]
    Refused {
        /// The engine's address, without secrets.
        engine: String,
        /// Words of the engine.
        detail: String,
    },
    /// Bytes that are not those of their digest.
    #[error("{engine}: {name} has other bytes than its digest says (found {found})")]
    Corrupt {
        /// The engine's address, without secrets.
        engine: String,
        /// The blob.
        name: String,
        /// Digest of what was found.
        found: String,
    },
}

/// Refuses `what`, where it is of more bytes than may be; the limit is the same for every engine.
pub(crate) fn bounded(engine: &str, what: &str, bytes: &[u8], most: usize) -> Result<()> {
    match bytes.len() > most {
        true => Err(Error::Refused {
            engine: engine.to_owned(),
            detail: format!("{what} of {} bytes; at most {most}", bytes.len()),
        }),
        false => Ok(()),
    }
}

impl Error {
    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }
}

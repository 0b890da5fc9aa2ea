//! The coordinator as a node reaches it, wherever it is.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Remote;

use crate::protocol::{Enrol, Enrolled, Next};
use crate::work::desk::Fate;
use crate::{Error, Result};

/// A coordinator's federation. Errors of transport are [`fedseal_client_sdk::Error::Http`]: what was asked may
/// be asked again.
pub trait Link: Send + Sync {
    /// Joins the federation.
    ///
    /// # Errors
    /// The coordinator cannot be reached, or refuses.
    fn enrol(&self, request: &Enrol) -> Result<Enrolled>;
    /// Asks for a job; waits a while where there is none.
    ///
    /// # Errors
    /// As [`Link::enrol`].
    fn next(&self) -> Result<Next>;
    /// Fetches at most `most` bytes of a blob from an offset on; fewer bytes mean that it ends there.
    ///
    /// # Errors
    /// As [`Link::enrol`].
    fn piece(&self, digest: &Digest, from: u64, most: u64) -> Result<Vec<u8>>;
    /// Delivers an update.
    ///
    /// # Errors
    /// As [`Link::enrol`]; [`fedseal_client_sdk::Error::Refused`] for one that does not hold.
    fn deliver(&self, key: &Digest, package: &[u8]) -> Result<Fate>;
    /// Refuses a job.
    ///
    /// # Errors
    /// As [`Link::enrol`].
    fn refuse(&self, key: &Digest, reason: &str) -> Result<()>;
    /// The files of the run's log.
    fn log(&self) -> Arc<dyn Remote>;
    /// Hands over a checkpoint that this node cosigned.
    ///
    /// # Errors
    /// As [`Link::enrol`].
    fn cosign(&self, note: &str) -> Result<()>;
    /// The checkpoints that the other nodes cosigned last.
    ///
    /// # Errors
    /// As [`Link::enrol`].
    fn cosigned(&self) -> Result<Vec<String>>;
}

/// Whether an error says that the coordinator could not be reached, or is not ready.
pub(super) fn is_transport(error: &Error) -> bool {
    use fedseal_client_sdk::Error as Sdk;
    match error {
        Error::Sdk(Sdk::Http { .. }) => true,
        Error::Sdk(Sdk::Refused { status, .. }) => *status >= 500 || [408, 429].contains(status),
        _ => false,
    }
}

/// Whether an error says that this node's key was revoked.
pub(super) fn is_revoked(error: &Error) -> bool {
    use fedseal_client_sdk::Error as Sdk;
    matches!(error, Error::Sdk(Sdk::Refused { status: 410, .. }))
}

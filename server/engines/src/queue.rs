//! The contract of a queue of jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::{Result, error};

/// Longest body of a job, bytes: it names its inputs by digests. Results go to the store.
pub const MAX_BODY: usize = 64 << 10;

/// Refuses a body that is longer than [`MAX_BODY`].
pub(crate) fn bounded(engine: &str, body: &[u8]) -> Result<()> {
    error::bounded(engine, "a job", body, MAX_BODY)
}

/// A queue of jobs that several processes share.
///
/// Delivery is at least once: a job may come twice, so whoever executes it first looks whether it has a result,
/// and results are idempotent. The queue keeps no record of finished jobs: a finished job that is offered again
/// is queued again. Calls are safe from several threads.
pub trait Queue: Send + Sync {
    /// Offers a job. When it returns the job is stored and survives the engine's death. A job that is queued or
    /// leased already is not queued twice, and keeps its body; that is no error, so an offer may be repeated.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable): it may have been stored; repeat it. A body longer
    /// than [`MAX_BODY`].
    fn offer(&self, job: &Digest, body: &[u8]) -> Result<()>;

    /// Takes a job that nobody has, the oldest first; waits at most `within` for one. It is leased for
    /// [`Lease::Renew`]'s time; after that without a renewal somebody else gets it, however often.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable).
    fn take(&self, within: Duration) -> Result<Option<Taken>>;

    /// Acts on a lease. No engine checks who holds it: whoever has had no answer for half a lease must stop
    /// renewing, and never hands a job back late, for by then somebody else may have it. To finish late is
    /// harmless.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable): the job may come again. A lease of another queue.
    fn settle(&self, lease: &str, act: Lease) -> Result<()>;

    /// Jobs that are queued or leased, of whomever. A job that was finished is not among them.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable).
    fn outstanding(&self) -> Result<BTreeSet<Digest>>;
}

/// A job that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// The job.
    pub job: Digest,
    /// Its body.
    #[serde(skip)]
    pub body: Vec<u8>,
    /// Its lease's name, for [`Queue::settle`].
    pub lease: String,
    /// How long it is leased, seconds.
    pub seconds: f64,
    /// How often it was delivered, this time included. An engine may forget earlier ones at a restart.
    pub deliveries: u64,
}

/// Act on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lease {
    /// It begins anew.
    Renew,
    /// The job is done and leaves the queue.
    Finish,
    /// The job is free again at once.
    Back,
}

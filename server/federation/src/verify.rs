//! Offline verification of a run from its folder alone.

use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use serde::Serialize;

use crate::error::Result;

/// What was verified, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The run's name.
    pub run: String,
    /// Log entries.
    pub entries: u64,
    /// The log's Merkle root.
    pub root: Digest,
    /// Attested updates whose signatures, digests, transcripts and lineage hold.
    pub updates: u64,
    /// Verdicts that agree with their facts.
    pub verdicts: u64,
    /// Aggregations that were computed again and gave the same digest.
    pub aggregations: u64,
    /// Evaluations whose counts were taken again from the answers.
    pub evaluations: u64,
    /// Blobs, each re-hashed and referenced.
    pub blobs: u64,
}

/// Verifies the run in `dir`: `run.json`, experiment, log, signatures, every blob, transcripts,
/// lineage, verdicts, aggregations, report. An unfinished or empty folder fails, saying so.
///
/// # Errors
/// [`crate::Error::Tampered`] names the first bad item with its digests.
pub fn verify(dir: impl AsRef<Path>) -> Result<VerifyReport> {
    let _ = dir.as_ref();
    todo!()
}

//! Executing logged updates again and comparing digests.

use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use serde::Serialize;

use crate::error::Result;

/// Which updates to execute again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The update whose id (attestation digest) begins so; must be unambiguous.
    Prefix(String),
    /// So many, drawn by a seed.
    Sample {
        /// How many.
        count: usize,
        /// The seed.
        seed: u64,
    },
}

/// What came of executing one update again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// The update's id.
    pub update: Digest,
    /// The client.
    pub client: String,
    /// The round.
    pub round: u32,
    /// The logged transcript root.
    pub transcript: Digest,
    /// The transcript root of the new execution.
    pub transcript_again: Digest,
    /// The logged adapter.
    pub adapter: Option<Digest>,
    /// The adapter of the new execution.
    pub adapter_again: Option<Digest>,
    /// Where they first differ, for people; null when all is equal.
    pub difference: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

impl Replayed {
    /// Whether transcript and adapter are the same, bit for bit.
    pub fn equal(&self) -> bool {
        self.difference.is_none()
    }
}

/// Executes updates of the run in `dir` again, with so many threads a tensor operation.
pub fn replay(dir: impl AsRef<Path>, selector: &Selector, threads: usize) -> Result<Vec<Replayed>> {
    let _ = (dir.as_ref(), selector, threads);
    todo!()
}

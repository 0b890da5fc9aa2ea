//! The adapter that a run ends with, taken from its log.

use std::collections::BTreeMap;
use std::path::Path;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::Checkpoint;

use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::read::read_adapter;

/// An arm's last adapter and the log entry that names it.
#[derive(Debug, Clone)]
pub struct FinalAdapter {
    /// The adapter.
    pub adapter: Adapter,
    /// Its digest.
    pub digest: Digest,
    /// The entry: the arm's last aggregation, or its defence.
    pub entry: u64,
    /// The log's checkpoint, under the node's key.
    pub checkpoint: Checkpoint,
    /// The node.
    pub node: PublicKey,
    /// The base model.
    pub base: Digest,
    /// The base model as the experiment names it.
    pub model: String,
}

/// Arm and adapter of a record that gives an arm another adapter.
pub fn made(record: &Record) -> Option<(&str, Digest)> {
    match record {
        Record::Aggregated { arm, global, .. } => Some((arm, *global)),
        Record::Defended { arm, adapter, .. } | Record::Tuned { arm, adapter, .. } => {
            Some((arm, *adapter))
        }
        _ => None,
    }
}

/// The last adapter of each arm that has one, with the log entry that names it.
///
/// # Errors
/// [`Error::Ledger`] for a damaged log.
pub fn last_adapters(run: &OpenRun) -> Result<BTreeMap<String, (u64, Digest)>> {
    let mut last = BTreeMap::new();
    for (entry, bytes) in (0u64..).zip(run.log.entries()?) {
        if let Some((arm, adapter)) = made(&Record::from_bytes(&bytes)?) {
            last.insert(arm.to_owned(), (entry, adapter));
        }
    }
    Ok(last)
}

/// The last adapter of an arm, also of a run that goes on.
///
/// # Errors
/// [`Error::Rules`] with the arms that have one; [`Error::RunDir`] when no run is there;
/// [`Error::Ledger`] and [`Error::Tampered`] for a damaged log or blob.
pub fn final_adapter(dir: impl AsRef<Path>, arm: &str) -> Result<FinalAdapter> {
    let run = OpenRun::read(dir)?;
    let last = last_adapters(&run)?;
    let Some((entry, digest)) = last.get(arm).copied() else {
        return Err(Error::unknown("arm with an adapter", arm, last.keys()));
    };
    Ok(FinalAdapter {
        adapter: read_adapter(&run.blobs, &digest)?,
        digest,
        entry,
        checkpoint: run.log.checkpoint().clone(),
        node: run.plan.node,
        base: run.plan.base,
        model: run.experiment.model.source,
    })
}

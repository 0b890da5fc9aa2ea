//! A node's own log: what it did, refused, sent and cosigned, in a Merkle log under its key.

use std::collections::BTreeSet;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_client_sdk::tlog::run_origin;
use fedseal_ledger::{Log, LogReader};
use serde::{Deserialize, Serialize};

use crate::protocol::Brought;
use crate::work::desk::Fate;
use crate::{Error, Result};

/// An entry of a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// It joined a federation.
    Enrolled {
        /// The federation.
        federation: String,
        /// The coordinator's key.
        coordinator: PublicKey,
        /// The shards that it brought.
        shards: Vec<Brought>,
        /// Digest of its site's rules.
        site: Digest,
    },
    /// It did not do a job.
    Refused {
        /// Key of the job.
        job: Digest,
        /// Why not.
        reason: String,
    },
    /// It executed a module.
    Executed {
        /// Key of the job.
        job: Digest,
        /// The client.
        client: ClientId,
        /// The round.
        round: Round,
        /// The attestation that it signed.
        attestation: Digest,
        /// The update; none after a failure.
        update: Option<Digest>,
    },
    /// It sent what came of a job.
    Sent {
        /// Key of the job.
        job: Digest,
        /// SHA-256 of all bytes that were sent.
        package: Digest,
        /// The coordinator's answer.
        fate: Fate,
    },
    /// It cosigned a checkpoint of the run's log.
    Cosigned {
        /// The log.
        origin: String,
        /// Its entries.
        size: u64,
        /// Its root.
        root: Digest,
    },
    /// It fetched an arm's last adapter, with the proof that the run's log names it.
    Received {
        /// The arm.
        arm: String,
        /// The adapter.
        adapter: Digest,
        /// The entry of the run's log that names it.
        entry: u64,
    },
    /// It saw two histories of the run's log, and stopped.
    Forked {
        /// The log.
        origin: String,
        /// SHA-256 of the evidence.
        evidence: Digest,
    },
}

/// Longest reason of a refusal in the log, characters.
const MOST_REASON: usize = 2000;

/// A node's log, open for writing.
pub struct Deeds {
    log: Log,
    executed: BTreeSet<Digest>,
}

impl Deeds {
    /// Opens the log in a folder; makes it where there is none.
    ///
    /// # Errors
    /// [`Error::Ledger`] for a damaged log, another key's, or one that another process writes.
    pub fn open(dir: &Path, key: &SigningKey) -> Result<Deeds> {
        let mut executed = BTreeSet::new();
        let log = if dir.join("checkpoint").exists() {
            let reader = LogReader::open(dir, &key.public())?;
            for entry in reader.entries()? {
                if let Deed::Executed { job, .. } = canonical::from_slice(&entry)? {
                    executed.insert(job);
                }
            }
            Log::open(dir, &reader.checkpoint().origin, key.clone())?
        } else {
            // Killed before the first checkpoint: nothing of it counts yet.
            if dir.exists() {
                std::fs::remove_dir_all(dir).map_err(|source| Error::io(dir, source))?;
            }
            Log::create(dir, &run_origin("node", &key.public())?, key.clone())?
        };
        Ok(Deeds { log, executed })
    }

    /// Whether a job is written down as executed.
    pub fn has_executed(&self, job: &Digest) -> bool {
        self.executed.contains(job)
    }

    /// Writes a deed down durably.
    ///
    /// # Errors
    /// [`Error::Ledger`] where the disk is full or fails.
    pub fn add(&mut self, deed: Deed) -> Result<()> {
        let deed = match deed {
            Deed::Refused { job, reason } => Deed::Refused {
                job,
                reason: reason.chars().take(MOST_REASON).collect(),
            },
            other => other,
        };
        self.log.append_publish(&canonical::to_vec(&deed)?)?;
        if let Deed::Executed { job, .. } = deed {
            self.executed.insert(job);
        }
        Ok(())
    }
}

/// The deeds of a node's log, in order.
///
/// # Errors
/// [`Error::Ledger`] for a damaged log or another key's.
pub fn read(dir: &Path, key: &PublicKey) -> Result<Vec<Deed>> {
    let entries = LogReader::open(dir, key)?.entries()?;
    let deeds = entries
        .iter()
        .map(|entry| Ok(canonical::from_slice(entry)?));
    deeds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("log");
        let key = SigningKey::from_seed([1; 32]);
        let job = Digest::of(b"job");
        let executed = Deed::Executed {
            job,
            client: "north".into(),
            round: Round(0),
            attestation: Digest::of(b"a"),
            update: None,
        };
        let refused = Deed::Refused {
            job: Digest::of(b"other"),
            reason: "no rule allows it".into(),
        };
        let mut deeds = Deeds::open(&folder, &key).unwrap();
        assert!(!deeds.has_executed(&job));
        deeds.add(executed.clone()).unwrap();
        deeds.add(refused.clone()).unwrap();
        drop(deeds);
        assert!(Deeds::open(&folder, &key).unwrap().has_executed(&job));
        assert_eq!(read(&folder, &key.public()).unwrap(), [executed, refused]);
        assert!(Deeds::open(&folder, &SigningKey::from_seed([2; 32])).is_err());
    }
}

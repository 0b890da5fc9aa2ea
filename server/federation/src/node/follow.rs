//! A node as a witness of the run's log. It reads every new entry, cosigns a checkpoint only where it continues
//! the one before, and keeps the evidence where it does not. What it is asked to do must follow from entries
//! that it has seen: a coordinator cannot ask it for anything that its log does not say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::{
    AddCheckpoint, Checkpoint, Fork, KeyKind, ProofFile, VerifierKey, add_signatures,
};
use fedseal_ledger::{LogReader, Remote, Witness};

use crate::protocol::witness_name;
use crate::work::task::UpdateTask;
use crate::{Error, Result};
use fedseal_record::export;
use fedseal_record::opened;
use fedseal_record::round::RoundOf;
use fedseal_record::rundir::{Plan, write_atomically};
use fedseal_record::state::RunState;
use fedseal_rules::arms::Kind;
use fedseal_rules::experiment::Experiment;

/// The run's log as the node has seen it.
pub struct Follower {
    plan: Plan,
    witness: Witness,
    evidence: PathBuf,
    state: RunState,
    /// The last adapter of each arm, with the entry that names it.
    last: BTreeMap<String, (u64, Digest)>,
}

/// An arm's last adapter, with the proof that the log names it.
pub struct Last {
    /// The arm.
    pub arm: String,
    /// The adapter, a blob.
    pub adapter: Digest,
    /// The entry, its place in the log, and the checkpoint that the coordinator signed.
    pub proof: ProofFile,
}

/// Result of a look at the log.
pub enum Look {
    /// It has not grown.
    Same,
    /// It continues what was seen; the new checkpoint, cosigned.
    Grown {
        /// The checkpoint with the log's signature and this node's.
        note: String,
        /// The checkpoint.
        checkpoint: Checkpoint,
    },
    /// It does not: the node must stop.
    Forked {
        /// The evidence, a file.
        evidence: PathBuf,
        /// SHA-256 of the file.
        digest: Digest,
    },
}

impl Follower {
    /// A follower of this plan's log, with its memory in `dir`; evidence goes to `evidence`.
    ///
    /// # Errors
    /// [`Error::Ledger`] for a memory that is damaged.
    pub fn open(dir: &Path, evidence: &Path, key: &SigningKey, plan: &Plan) -> Result<Follower> {
        if !dir.join("witness").exists() {
            Witness::init(dir)?;
        }
        let log = VerifierKey::new(&plan.origin, KeyKind::Log, plan.node)?;
        let name = witness_name(&key.public());
        Ok(Follower {
            witness: Witness::open(dir, &name, key.clone(), [log])?,
            evidence: evidence.to_owned(),
            plan: plan.clone(),
            state: RunState::default(),
            last: BTreeMap::new(),
        })
    }

    /// Looks at the log. `others` are checkpoints that other nodes cosigned: one of another history is
    /// evidence, too.
    ///
    /// # Errors
    /// The log cannot be reached, is another one, has fewer entries than before, or an entry out of place.
    pub fn look(&mut self, remote: Arc<dyn Remote>, others: &[String]) -> Result<Look> {
        let origin = self.plan.origin.clone();
        let reader = LogReader::open_remote(remote, "the run's log", &self.plan.node)?;
        if reader.checkpoint().origin != origin {
            return Err(opened::other_origin(
                &reader.checkpoint().origin,
                &self.plan,
            ));
        }
        let before = self
            .witness
            .checkpoint(&Digest::of(origin.as_bytes()).to_string());
        let size = self.witness.size(&origin);
        if reader.size() < size {
            return Err(Error::tampered(
                "the run's log",
                format!(
                    "has {} entries, {size} were seen before: it was set back",
                    reader.size()
                ),
            ));
        }
        let signed = |note: &&String| Checkpoint::verify(note, &origin, &self.plan.node).is_ok();
        let seen = before.iter().chain(others.iter().filter(signed));
        for note in seen {
            if let Some(fork) = reader.fork(note)? {
                return self.forked(&fork);
            }
        }
        self.fold(&reader)?;
        if reader.size() == size && before.is_some() {
            return Ok(Look::Same);
        }
        let request = AddCheckpoint {
            old: size,
            proof: reader.prove_consistency(size, reader.size())?,
            note: reader.note().to_owned(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let line = self
            .witness
            .add_checkpoint(&request, now)
            .map_err(|refusal| Error::tampered("the run's log", refusal))?;
        Ok(Look::Grown {
            note: add_signatures(reader.note(), &line)?,
            checkpoint: reader.checkpoint().clone(),
        })
    }

    /// Every arm's last adapter in a log that is closed.
    ///
    /// # Errors
    /// [`Error::Missing`] where its end was not seen yet; the log cannot be reached, or is another one than was seen.
    pub fn last(&self, remote: Arc<dyn Remote>) -> Result<Vec<Last>> {
        if !self.state.closed {
            return Err(Error::Missing {
                what: "the end of the run's log".into(),
                hint: "the coordinator could not show it; start the node again".into(),
            });
        }
        let origin = &self.plan.origin;
        let reader = LogReader::open_remote(remote, "the run's log", &self.plan.node)?;
        let seen = Digest::of(origin.as_bytes()).to_string();
        if let Some(note) = self.witness.checkpoint(&seen) {
            reader.continues(&Checkpoint::verify(&note, origin, &self.plan.node)?)?;
        }
        let all = self.last.iter();
        all.map(|(arm, (entry, adapter))| {
            let mut proof = reader.proof_file(*entry)?;
            proof.extra = Some(reader.proved_entry(*entry)?);
            Ok(Last {
                arm: arm.clone(),
                adapter: *adapter,
                proof,
            })
        })
        .collect()
    }

    fn forked(&self, fork: &Fork) -> Result<Look> {
        let bytes = fork.to_bytes();
        let digest = Digest::of(&bytes);
        let folder = &self.evidence;
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let path = folder.join(format!("{digest}.fork"));
        write_atomically(&path, &bytes)?;
        Ok(Look::Forked {
            evidence: path,
            digest,
        })
    }

    /// Takes in the entries that are new.
    fn fold(&mut self, reader: &LogReader) -> Result<()> {
        for index in self.state.entries..reader.size() {
            let bad = |problem: fedseal_client_sdk::Source| {
                Error::tampered(format!("log entry {index}"), problem)
            };
            let record = Record::from_bytes(&reader.proved_entry(index)?)
                .map_err(|error| bad(error.into()))?;
            self.state
                .apply(&record, self.plan.initial)
                .map_err(|problem| bad(problem.0.into()))?;
            if let Some((arm, adapter)) = export::made(&record) {
                self.last.insert(arm.to_owned(), (index, adapter));
            }
        }
        if self.state.entries > 0 {
            opened::hold(&self.plan, self.state.plan)?;
        }
        Ok(())
    }

    /// Whether a job is what the log's open round asks of its client.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason why not.
    pub fn follows(&self, experiment: &Experiment, task: &UpdateTask) -> Result<()> {
        let refused = |what: String| {
            Err(Error::Refused {
                what,
                hint: "the coordinator's log does not ask for it".into(),
            })
        };
        let arms = experiment.all_arms()?;
        for arm in arms.iter().filter(|arm| arm.kind == Kind::Federated) {
            let Some(state) = self.state.round(&arm.id, task.round.0) else {
                continue;
            };
            let of = RoundOf {
                plan: &self.plan,
                experiment,
                arm,
                round: task.round,
                state,
            };
            if !state.clients.contains(&task.client) || of.update_key(&task.client)? != task.key {
                continue;
            }
            // The key binds all of these; what is used is compared, too.
            let assignment = of.assignment(&task.client)?;
            let same = task.module == assignment.module
                && task.shard == assignment.shard
                && task.attachment == assignment.attachment
                && task.seed == of.update_seed(&task.client)
                && task.global == state.global
                && task.controls == state.controls
                && task.learning_rate.to_bits() == state.learning_rate.to_bits();
            return match same {
                true => Ok(()),
                false => refused(format!("job {} has other inputs than its key", task.key)),
            };
        }
        refused(format!(
            "no open round has the job {} of {}",
            task.key, task.client
        ))
    }
}

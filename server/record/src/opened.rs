//! Opens a run's folder for reading, the same way for every reader: no name in run.json is believed and
//! no module of it compiled before the log has vouched for the file.
//!
//! The log's first entry has the digest of run.json, run.json that of experiment.toml. A changed
//! file is refused here. A run that is forged together with its log has another node's key: compare the
//! key with the one you know.

use std::path::Path;
use std::sync::Arc;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{Blobs, LogReader};

use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::read::read_experiment;
use crate::report::Report;
use crate::rundir::{MAX_REPORT, Plan, RunDir};
use crate::select::{Selector, select};
use crate::state::{RunState, UpdateRef};
use fedseal_rules::experiment::Experiment;

/// First stage of opening a run: its plan, and its log, whose first entry names the plan. No other
/// entry is read. Readers stop here who need no record and must not pay for all of them: a server that
/// lists hundreds of runs, a revocation that notes where each log ends, a check of one log's key.
pub struct Pinned {
    /// The folder.
    pub dir: RunDir,
    /// `run.json`.
    pub plan: Plan,
    /// The log at its checkpoint, which the plan's node signed.
    pub log: LogReader,
}

impl Pinned {
    /// Opens the log under the plan's key and checks the plan against its first entry.
    ///
    /// # Errors
    /// [`Error::RunDir`] when no run is there or its log has no entry yet; [`Error::Ledger`] for a
    /// log that is damaged or by another key; [`Error::Tampered`] when run.json is another file
    /// than the log names.
    pub fn read(dir: impl AsRef<Path>) -> Result<Pinned> {
        Pinned::read_within(dir, u64::MAX)
    }

    /// As [`Pinned::read`], of a log with at most so many entries: nothing of a longer one is read.
    ///
    /// # Errors
    /// As [`Pinned::read`]; [`Error::RunDir`] for a longer log.
    pub fn read_within(dir: impl AsRef<Path>, entries: u64) -> Result<Pinned> {
        let dir = RunDir::new(dir.as_ref());
        let plan = dir.read_plan()?;
        let log = open_log(&dir, &plan)?;
        let unfit = |problem: String| Error::RunDir {
            dir: dir.root.clone(),
            problem,
        };
        if log.size() == 0 {
            return Err(unfit(
                "its log has no entry yet, so nothing vouches for run.json".into(),
            ));
        }
        if log.size() > entries {
            return Err(unfit(format!(
                "its log has more than {entries} entries, the most that are read here"
            )));
        }
        hold(&plan, first(&log)?)?;
        Ok(Pinned { dir, plan, log })
    }

    /// Reads the rest. Checks the order of the records, and the opening's records against run.json;
    /// [`mod@crate::verify`] checks the content of the others.
    ///
    /// # Errors
    /// [`Error::Tampered`] for a record that does not fit or another experiment.toml;
    /// [`Error::RunDir`] when the run has no blobs.
    pub fn open(self) -> Result<OpenRun> {
        let Pinned { dir, plan, log } = self;
        // Opening the blobs would make their folder.
        if !dir.blobs().is_dir() {
            return Err(Error::RunDir {
                dir: dir.root,
                problem: "the run has no blobs".into(),
            });
        }
        Ok(OpenRun {
            state: fold(&plan, log.entries()?.into_iter().map(Ok))?,
            experiment: read_experiment(&dir, &plan)?,
            blobs: Blobs::existing(dir.blobs())?,
            evidence: Cache::default(),
            dir,
            plan,
            log,
        })
    }
}

/// Reads the plan of a run that is to be resumed. The plan is checked against the log, unless the run
/// was killed before the log had an entry.
///
/// # Errors
/// As [`Pinned::read`].
pub fn plan(dir: &RunDir) -> Result<Plan> {
    let plan = dir.read_plan()?;
    if dir.log().join("checkpoint").is_file() {
        let log = open_log(dir, &plan)?;
        if log.size() > 0 {
            hold(&plan, first(&log)?)?;
        }
    }
    Ok(plan)
}

fn open_log(dir: &RunDir, plan: &Plan) -> Result<LogReader> {
    let log = LogReader::open(dir.log(), &plan.node)?;
    match &log.checkpoint().origin {
        origin if *origin != plan.origin => Err(other_origin(origin, plan)),
        _ => Ok(log),
    }
}

/// Returns the digest of run.json in the log's first entry, which is proved.
fn first(log: &LogReader) -> Result<Option<Digest>> {
    let record = Record::from_bytes(&log.proved_entry(0)?)
        .map_err(|error| Error::tampered("log entry 0", error))?;
    Ok(match record {
        Record::RunOpened { run_config, .. } => Some(run_config),
        _ => None,
    })
}

/// A run open for reading. The runner has the like of its own ([`fold`] makes its state, too): its log
/// is open for writing, and other threads share its plan and experiment.
pub struct OpenRun {
    /// The folder.
    pub dir: RunDir,
    /// `run.json`.
    pub plan: Plan,
    /// `experiment.toml`.
    pub experiment: Experiment,
    /// The log at its checkpoint.
    pub log: LogReader,
    /// The state that its records give.
    pub state: RunState,
    /// The blobs.
    pub blobs: Blobs,
    /// Blobs that were read before, parsed.
    pub evidence: Cache,
}

impl OpenRun {
    /// Opens a run, finished or not.
    ///
    /// # Errors
    /// As [`Pinned::read`] and [`Pinned::open`].
    pub fn read(dir: impl AsRef<Path>) -> Result<OpenRun> {
        Pinned::read(dir)?.open()
    }

    /// Returns the one update whose id begins so, with its attestation.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none or there are several.
    pub fn update(&mut self, prefix: &str) -> Result<(UpdateRef, Arc<UpdatePredicate>)> {
        let selector = Selector::Prefix(prefix.to_owned());
        let update = select(&self.state, &selector)?
            .first()
            .map(|update| (*update).clone())
            .ok_or_else(|| Error::Missing {
                what: format!("update `{prefix}`"),
                hint: "the report lists the ids".into(),
            })?;
        let attested = self
            .evidence
            .attested(&self.blobs, &update.attestation, &self.plan)?;
        Ok((update, attested))
    }

    /// Reads `report.json`. When the run is over it must be the logged one; before that nobody vouches
    /// for it.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Tampered`] when it is not the logged one.
    pub fn report(&self) -> Result<Report> {
        let bytes = self.dir.read("report.json", MAX_REPORT)?;
        if let Some(expected) = self.state.report {
            let found = Digest::of(&bytes);
            if found != expected {
                let problem = "is not the logged report";
                return Err(Error::mismatch("report.json", problem, &expected, &found));
            }
        }
        Report::from_bytes(&bytes).map_err(|error| Error::tampered("report.json", error))
    }
}

/// The state that a log's entries give, from the first on. Each record must be in its place, and each
/// of the opening must say what run.json says.
///
/// # Errors
/// [`Error::Tampered`] names the entry; an entry that cannot be read ends it.
pub fn fold(plan: &Plan, entries: impl IntoIterator<Item = Result<Vec<u8>>>) -> Result<RunState> {
    let mut state = RunState::default();
    for (index, bytes) in (0u64..).zip(entries) {
        let bad = |problem: fedseal_client_sdk::Source| {
            Error::tampered(format!("log entry {index}"), problem)
        };
        let record = Record::from_bytes(&bytes?).map_err(|error| bad(error.into()))?;
        state
            .apply(&record, plan.initial)
            .map_err(|problem| bad(problem.0.into()))?;
        if !opening_agrees(plan, &record) {
            return Err(bad("differs from run.json".into()));
        }
    }
    Ok(state)
}

/// Checks run.json against the digest in the log's first entry. Returns the digest.
///
/// # Errors
/// [`Error::Tampered`] when it is another file, or no first entry has a digest.
pub fn hold(plan: &Plan, named: Option<Digest>) -> Result<Digest> {
    // The file was canonical, so this is the digest of its bytes.
    let found = Digest::of_json(plan)?;
    match named {
        Some(expected) if expected == found => Ok(found),
        Some(expected) => Err(Error::mismatch(
            "run.json",
            "is not the file that the log's first entry names",
            &expected,
            &found,
        )),
        None => Err(Error::tampered("log", "does not begin with `run-opened`")),
    }
}

/// Error for a log whose origin is not the plan's.
pub fn other_origin(origin: &str, plan: &Plan) -> Error {
    let problem = format!("is of log `{origin}`, the run's is `{}`", plan.origin);
    Error::tampered("log/checkpoint", problem)
}

/// Whether a record of the opening says what the plan says.
fn opening_agrees(plan: &Plan, record: &Record) -> bool {
    match record {
        Record::RunOpened {
            base,
            node,
            seed,
            created,
            ..
        } => {
            *base == plan.base
                && *node == plan.node
                && *seed == plan.seed
                && *created == plan.created
        }
        Record::ModuleRegistered {
            module,
            envelope,
            name,
            signer,
        } => plan.modules.iter().any(|planned| {
            planned.digest == *module
                && planned.envelope == *envelope
                && planned.name == *name
                && planned.signer == *signer
        }),
        Record::ClientRegistered {
            client,
            key,
            shard,
            examples,
            kind,
        } => {
            kind.is_none()
                && plan.client(client).is_some_and(|(_, planned)| {
                    planned.key == *key
                        && planned
                            .assignments()
                            .any(|a| a.shard == *shard && a.examples == *examples)
                })
        }
        Record::CanariesSealed { digest } => *digest == plan.canaries,
        _ => true,
    }
}

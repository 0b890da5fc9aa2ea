//! Executing an experiment: resumable at any point, every step in the log before the next one
//! builds on it.
//!
//! Blobs are durable before the log entry that names them, and entries are published (tiles,
//! fsync, then the checkpoint by rename) before anything is concluded from them. So after a crash
//! the log ends at some whole step; [`Run::resume`] folds it into a state ([`fedseal_record::state`]) and
//! [`Run::execute`] does what is missing. Everything that is executed is a function of what the
//! log pins, so it makes no difference where it stopped.

use std::collections::HashMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{Blobs, Log};
use fedseal_tuning::{Adapter, Example};

use crate::execute::Executor;
use crate::lab::Lab;
use crate::work::desk::Desk;
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_data::check::DataCheck;
use fedseal_data::files::{FilesData, Parts};
use fedseal_record::blobs::{CanarySet, EvaluationSet};
use fedseal_record::events::{Event, Feed};
use fedseal_record::read::{read_adapter, read_examples};
use fedseal_record::report::{self, Progress, Report, State};
use fedseal_record::round::RoundOf;
use fedseal_record::rundir::{self, Plan, RunDir};
use fedseal_record::state::{RoundState, RunState};
use fedseal_rules::admission::{Probed, Replay};
use fedseal_rules::arms::Arm;
use fedseal_rules::evaluation::helpfulness::Measure;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::optimiser::Optimiser;

pub mod canary;
mod candidates;
mod collect;
pub mod courier;
mod each;
pub mod evidence;
mod exchange;
mod finish;
mod gather;
pub(crate) mod job;
mod jobs;
pub mod measure;
mod members;
mod nodes;
mod own;
pub(crate) mod perform;
pub mod pool;
mod revocations;
mod room;
mod rounds;
mod server_input;
pub(crate) mod setup;
mod signed;
pub(crate) mod stated;
mod tunings;

pub use crate::options::{Enrolled, Options, Submitted, load_data, open_model};
pub use exchange::Exchange;
pub use gather::Gathering;
use job::Lent;
pub use nodes::key_of_run;

/// Bytes of all adapters that are kept in memory, at most.
const ADAPTER_BYTES: usize = 128 << 20;

/// Time between two live reports, least: readers look every second or so, and more would only wear the disk.
const REPORT: Duration = Duration::from_secs(2);
/// Times of its own duration that pass between two live reports: those of thousands of clients take a while.
const REPORT_SHARE: u32 = 20;

/// Hears every event of a run and may stop it.
pub type Watch<'a> = &'a mut dyn FnMut(&Event) -> ControlFlow<()>;

/// State that jobs on other threads share with the run.
pub(crate) struct Shared {
    pub lab: Arc<dyn Lab>,
    pub data: Arc<dyn TaskData>,
    pub experiment: Experiment,
    pub plan: Plan,
    pub executor: Box<dyn Executor>,
    /// None where own files have no labelled pairs: then no attestation has a score.
    pub judge: Option<DataCheck>,
    pub canaries: CanarySet,
    pub evaluation: EvaluationSet,
    /// Raised when running jobs should end early.
    pub cancel: AtomicBool,
}

impl Shared {
    /// A round of an arm of this run.
    pub(crate) fn round_of<'a>(
        &'a self,
        arm: &'a Arm,
        round: Round,
        state: &'a RoundState,
    ) -> RoundOf<'a> {
        RoundOf {
            plan: &self.plan,
            experiment: &self.experiment,
            arm,
            round,
            state,
        }
    }

    /// State of a run at a data holder's node: nothing is measured there, and neither canaries nor prompts
    /// are known.
    pub(crate) fn at_node(
        plan: Plan,
        experiment: Experiment,
        lab: Arc<dyn Lab>,
        executor: Box<dyn Executor>,
    ) -> Shared {
        let data = FilesData::new(Parts::default(), Measure::Overlap);
        Shared {
            executor: crate::guard::guard(executor, &experiment, &plan),
            judge: DataCheck::built_in(&experiment.data.source).cloned(),
            lab,
            data: Arc::new(data),
            experiment,
            plan,
            canaries: CanarySet::default(),
            evaluation: EvaluationSet {
                requests: Vec::new(),
                tasks: Vec::new(),
                look_alikes: Vec::new(),
            },
            cancel: AtomicBool::new(false),
        }
    }

    /// For loops that ask whether to go on.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.cancel.load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// One run of an experiment in its folder.
pub struct Run {
    pub(crate) dir: RunDir,
    pub(crate) shared: Arc<Shared>,
    pub(crate) arms: Vec<Arm>,
    pub(crate) node: SigningKey,
    pub(crate) log: Log,
    pub(crate) blobs: Blobs,
    pub(crate) feed: Feed,
    pub(crate) state: RunState,
    pub(crate) workers: usize,
    /// Where other processes take jobs.
    lent: Option<Arc<Lent>>,
    /// Where nodes take theirs.
    desk: Option<Arc<Desk<evidence::Evidence>>>,
    pub(crate) cache: fedseal_record::evidence::Cache,
    adapters: HashMap<Digest, Arc<Adapter>>,
    shards: HashMap<Digest, Arc<Vec<Example>>>,
    /// Adapters on the canaries of a round.
    probed: HashMap<(Digest, u32), Probed>,
    replays: HashMap<Digest, Replay>,
    /// Memo keys of a round's clients, in their order, by arm.
    update_keys: HashMap<(String, Round), Arc<Vec<Digest>>>,
    /// Server optimisers by arm, and how many rounds each has seen.
    optimisers: HashMap<String, (u32, Box<dyn Optimiser>)>,
    progress: Progress,
    begun: Instant,
    seconds_before: f64,
    /// Folder of keys, whose trust file may revoke an author's.
    keys: PathBuf,
    /// When the next live report is due.
    report_due: Option<Instant>,
    /// The folder and its plan, held for as long as the run is open: two processes never write one
    /// folder.
    _locks: [File; 2],
}

impl Run {
    /// Executes everything that is left. The callback may stop it with `Break` (also on
    /// [`Event::Tick`], several times a second); then the result is [`Error::Interrupted`] and the
    /// run can be resumed.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; any other error that stopped it, after which it can be resumed too.
    pub fn execute(&mut self, watch: Watch<'_>) -> Result<Report> {
        self.shared.cancel.store(false, Ordering::SeqCst);
        let result = self.everything(watch);
        if let Err(error) = &result
            && !self.state.closed
        {
            // People see why it stopped; a report that cannot be written must not hide the cause.
            let state = match error {
                Error::Interrupted => State::Running,
                _ => State::Failed,
            };
            let _ = self.write_report(state, Some(error.to_string()));
        }
        result
    }

    fn everything(&mut self, watch: Watch<'_>) -> Result<Report> {
        if self.state.closed {
            return self.finished_report();
        }
        self.progress = self.count_progress();
        self.write_report(State::Running, None)?;
        self.evaluate_base(watch)?;
        self.tune_first(watch)?;
        for round in 0..self.shared.experiment.federation.rounds {
            self.round(round, watch)?;
        }
        self.final_measures(watch)?;
        self.defend(watch)?;
        self.close(watch)
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir.root
    }

    /// Appends a record to the log (not yet published) and takes it into the state.
    pub(crate) fn append(&mut self, record: &Record) -> Result<u64> {
        let bytes = record.to_bytes()?;
        self.state
            .apply(record, self.shared.plan.initial)
            .map_err(|problem| {
                Error::tampered(format!("log entry {}", self.state.entries), problem.0)
            })?;
        Ok(self.log.append(&bytes)?)
    }

    /// Makes everything appended so far durable under a signed checkpoint.
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.log.publish()?;
        Ok(())
    }

    /// Tells the callback and the feed.
    pub(crate) fn tell(&mut self, watch: Watch<'_>, event: &Event) -> Result<()> {
        self.feed.write(event)?;
        match watch(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }

    /// One step done.
    pub(crate) fn step(&mut self, watch: Watch<'_>, label: String) -> Result<()> {
        self.progress.done = (self.progress.done + 1).min(self.progress.total);
        self.progress.label = label.clone();
        let event = Event::Progress {
            seconds: self.seconds(),
            done: self.progress.done,
            total: self.progress.total,
            label,
        };
        self.tell(watch, &event)?;
        if self.report_due.is_none_or(|due| Instant::now() >= due) {
            self.write_report(State::Running, None)?;
        }
        Ok(())
    }

    /// Seconds of work so far, over all sessions.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.begun.elapsed().as_secs_f64()
    }

    /// Adapters by digest, read once.
    pub(crate) fn adapter(&mut self, digest: &Digest) -> Result<Arc<Adapter>> {
        if let Some(adapter) = self.adapters.get(digest) {
            return Ok(adapter.clone());
        }
        let adapter = Arc::new(read_adapter(&self.blobs, digest)?);
        self.remember_adapter(*digest, adapter.clone());
        Ok(adapter)
    }

    /// Keeps an adapter in memory. When they come to more than [`ADAPTER_BYTES`], all are
    /// forgotten: they are read again from their blobs.
    pub(crate) fn remember_adapter(&mut self, digest: Digest, adapter: Arc<Adapter>) {
        let most = (ADAPTER_BYTES / (4 * adapter.len()).max(1)).max(8);
        if self.adapters.len() >= most {
            self.adapters.clear();
        }
        self.adapters.insert(digest, adapter);
    }

    /// Stores an adapter as a blob.
    pub(crate) fn put_adapter(&mut self, adapter: Adapter) -> Result<Digest> {
        let digest = self.blobs.put(&adapter.to_bytes())?;
        self.remember_adapter(digest, Arc::new(adapter));
        Ok(digest)
    }

    /// Examples of a shard or attachment, read once.
    pub(crate) fn examples(&mut self, digest: &Digest) -> Result<Arc<Vec<Example>>> {
        if let Some(examples) = self.shards.get(digest) {
            return Ok(examples.clone());
        }
        let examples = Arc::new(read_examples(&self.blobs, digest)?);
        self.shards.insert(*digest, examples.clone());
        Ok(examples)
    }

    /// Writes report.json as it stands now.
    pub(crate) fn write_report(&mut self, state: State, error: Option<String>) -> Result<Report> {
        let begun = Instant::now();
        let report = self.make_report(state, error)?;
        rundir::write_atomically(&self.dir.report(), &report.to_bytes()?)?;
        self.report_due = Instant::now().checked_add(REPORT.max(REPORT_SHARE * begun.elapsed()));
        Ok(report)
    }

    fn make_report(&mut self, state: State, error: Option<String>) -> Result<Report> {
        let seconds = self.seconds();
        let log = self.log_head()?;
        let mut report = report::build(
            &report::Sources {
                plan: &self.shared.plan,
                experiment: &self.shared.experiment,
                state: &self.state,
                arms: &self.arms,
                blobs: &self.blobs,
            },
            &mut self.cache,
        )?;
        report.state = state;
        report.error = error;
        report.progress = self.progress.clone();
        report.seconds = seconds;
        report.peak_mb = rundir::peak_mb();
        report.log = log;
        Ok(report)
    }
}

//! One run that was read and held against its log, and how it is shown after that.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use fedseal_record::report::{Conclusion, State};
use fedseal_record::rundir::RunDir;
use schemars::JsonSchema;
use serde::Serialize;

use super::evidence::{self, Depth, Ends, Evidence, Head, Look, MAX_LOG, Standing};
use super::fault::Fault;
use super::report::{self, Outline, Reading, Shown};

/// A run that was read and held against its log.
#[derive(Debug)]
pub(super) struct Checked {
    /// The last look at its files, which were as they are in the result; none where an equal look later would
    /// say nothing.
    look: Mutex<Option<Look>>,
    /// Its report.
    pub(super) report: Result<Reading, Fault>,
    /// Its files beside its log; nothing yet where the log is large and closed.
    standing: OnceLock<Result<Standing, Fault>>,
    /// Head of the log that is to be checked.
    head: Option<Head>,
}

/// How a run is named and shown, whatever its report says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Served {
    /// Its address.
    pub(super) run: String,
    /// How far it is; null where there is no report.
    pub(super) state: Option<RunState>,
    /// State of its files.
    pub(super) evidence: Evidence,
    /// Its report's figures in sentences; null where there is no report, or none to believe.
    pub(super) conclusion: Option<Conclusion>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RunState {
    /// Being worked on.
    Running,
    /// Not finished, and nobody is working on it.
    Interrupted,
    /// Closed.
    Finished,
    /// Ended by an error.
    Failed,
}

impl Checked {
    /// Whether it is about a run's files as a look saw them; then the look is kept as the last one.
    pub(super) fn is_of(&self, look: &Look) -> bool {
        let mut last = self.last();
        let same = last.is_some_and(|last| look.is_as(&last));
        if same {
            *last = Some(*look);
        }
        same
    }

    /// The last look that saw its files as they are in it.
    pub(super) fn look(&self) -> Option<Look> {
        *self.last()
    }

    fn last(&self) -> MutexGuard<'_, Option<Look>> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a run. Where its log is large, [`Checked::stand`] checks the whole of it.
    pub(super) fn read(dir: &RunDir, look: &Look) -> Checked {
        let report = report::read(dir);
        let (standing, head) = match look.log_bytes() {
            Err(fault) => (Some(Err(fault)), None),
            Ok(bytes) if bytes <= MAX_LOG => (Some(evidence::standing(dir, &report)), None),
            Ok(_) => match evidence::ends(dir, &report, Depth::Met) {
                Err(fault) => (Some(Err(fault)), None),
                Ok(Ends::Open(head)) => (Some(Ok(Standing::Open(head))), None),
                Ok(Ends::Closed(head, _)) => (None, Some(head)),
            },
        };
        Checked {
            look: Mutex::new(Some(*look).filter(Look::is_settled)),
            report,
            standing: standing.map_or_else(OnceLock::new, OnceLock::from),
            head,
        }
    }

    /// Whether its log is yet to be checked.
    pub(super) fn waits(&self) -> bool {
        self.standing.get().is_none()
    }

    /// Checks its log, which takes as long as the log is large.
    pub(super) fn stand(&self, dir: &RunDir) {
        self.standing
            .get_or_init(|| evidence::standing(dir, &self.report));
    }

    /// Evidence to show about the run now.
    pub(super) fn evidence(&self, worked_on: bool) -> Evidence {
        let changed = |fault: &Fault| match fault.clone() {
            Fault::Changed { item, problem } => Evidence::Changed {
                first: item,
                problem,
            },
            Fault::Unread { item, problem } => Evidence::Unchecked {
                problem: format!("{item}: {problem}"),
                log: None,
            },
        };
        let Some(standing) = self.standing.get() else {
            return match &self.head {
                Some(log) => Evidence::Checking { log: log.clone() },
                None => changed(&Fault::unread("log", "was not checked")),
            };
        };
        match standing {
            Ok(Standing::Closed(log)) => Evidence::Verified { log: log.clone() },
            Ok(Standing::Open(log) | Standing::Closing(log, _)) if worked_on => {
                Evidence::Live { log: log.clone() }
            }
            Ok(Standing::Open(log)) => Evidence::Unchecked {
                problem: "the run is not finished: no log entry names its report yet".into(),
                log: Some(log.clone()),
            },
            Ok(Standing::Closing(_, fault)) | Err(fault) => changed(fault),
        }
    }

    /// The first item that is not as logged.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.standing.get()?.as_ref().err()
    }

    /// The first item of the log that is not as it was signed.
    pub(super) fn fault_of_the_log(&self) -> Option<&Fault> {
        self.fault()
            .filter(|fault| matches!(fault, Fault::Changed { item, .. } if item.starts_with("log")))
    }

    /// Whether there is no report because the run has not come so far.
    pub(super) fn is_too_early(&self) -> bool {
        let missing = Fault::changed("report.json", "is missing");
        self.report.as_ref().err() == Some(&missing)
            && !matches!(self.fault(), Some(Fault::Changed { .. }))
    }

    fn shown(&self) -> Option<&Shown> {
        self.report.as_ref().ok()?.shown.as_ref().ok()
    }

    /// The part of the report that the list shows.
    pub(super) fn outline(&self) -> Option<&Outline> {
        self.shown().map(|shown| &shown.outline)
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn kept(&self) -> usize {
        self.shown().map_or(0, |shown| shown.content.kept())
    }

    /// The run as it is named and shown.
    pub(super) fn served(&self, run: &str, worked_on: bool) -> Served {
        let evidence = self.evidence(worked_on);
        let believed = !matches!(evidence, Evidence::Changed { .. });
        let shown = self.shown().filter(|_| believed);
        Served {
            run: run.to_owned(),
            conclusion: shown.and_then(|shown| shown.content.conclusion.clone()),
            state: self.outline().map(|outline| match outline.state {
                State::Running if worked_on => RunState::Running,
                State::Running => RunState::Interrupted,
                State::Finished => RunState::Finished,
                State::Failed => RunState::Failed,
            }),
            evidence,
        }
    }
}

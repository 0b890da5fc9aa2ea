//! Checks whether a run's files are those that its log names. No file of a run is served as evidence
//! before this check.
//!
//! A finished run's report is in its log, so report.json is checked against the log, and the whole log
//! against its signed checkpoint. The report of a run that goes on is a draft and not in the log.
//! run.json and experiment.toml are checked against the log's first entry in either case. `fedseal
//! verify` checks the rest (blobs, counts, aggregates).

use std::path::PathBuf;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{LogReader, fsck};
use fedseal_record::Error;
use fedseal_record::opened::Pinned;
use fedseal_record::read::experiment_text;
use fedseal_record::report::State;
use fedseal_record::rundir::{Plan, RunDir};
use schemars::JsonSchema;
use serde::Serialize;

use super::fault::{Fault, differs};
use super::files::{self, Stamp};
use super::report::Reading;

/// The largest run.json, bytes.
const MAX_PLAN: u64 = 16 << 20;
/// The largest log that is read, bytes of its files in all.
pub(super) const MAX_LOG: u64 = 64 << 20;
/// The most files of such a log.
const MOST_LOG_FILES: usize = 1 << 14;
/// The most entries of such a log: their hashes are in memory at once.
const MOST_ENTRIES: u64 = 1 << 20;

/// State of a run's files, sent with every answer that shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum Evidence {
    /// Plan, experiment and report are those that the log names, and the log holds.
    Verified {
        /// The log's head.
        log: Head,
    },
    /// The run is being worked on: its report is a draft.
    Live {
        /// The log's head.
        log: Head,
    },
    /// Something was changed since it was logged.
    Changed {
        /// The first such item.
        first: String,
        /// The problem found in it.
        problem: String,
    },
    /// Nobody can say: the run stopped before its end, or a file is not to be read.
    Unchecked {
        /// Why.
        problem: String,
        /// The log's head, where it was read.
        #[serde(skip_serializing_if = "Option::is_none")]
        log: Option<Head>,
    },
}

/// A log's signed head: what `fedseal verify`, `explain` and `log fsck` name too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SignedHead")]
pub(super) struct Head {
    /// The log's name.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// Its Merkle root.
    pub root: Digest,
    /// The checkpoint as it was signed.
    pub checkpoint: String,
}

impl Head {
    fn of(log: &LogReader) -> Head {
        let checkpoint = log.checkpoint();
        Head {
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root,
            checkpoint: log.note().to_owned(),
        }
    }
}

/// Opens a run's plan and log, and checks plan and experiment against the log's first entry, whose
/// place under the checkpoint is proved. No other record is read.
///
/// # Errors
/// The first item that does not hold; a file that is larger than this server reads.
pub(super) fn pinned(dir: &RunDir) -> Result<Pinned, Fault> {
    if Stamp::at(&dir.plan()).is_some_and(|stamp| stamp.length() > MAX_PLAN) {
        let problem = format!("is larger than {MAX_PLAN} bytes, the most that is read of it");
        return Err(Fault::unread("run.json", problem));
    }
    let fault = |error: &Error| match error {
        Error::Ledger(error) => {
            let key = dir.read_plan().ok().map(|plan| plan.node);
            let named = key.and_then(|key| fsck(dir.log(), &key).err());
            Fault::ledger(&dir.root, named.as_ref().unwrap_or(error))
        }
        other => Fault::run(&dir.root, other),
    };
    // An error of the log comes after the bound, so the check that names the file keeps to it, too.
    let pinned = Pinned::read_within(&dir.root, MOST_ENTRIES).map_err(|error| fault(&error))?;
    experiment_text(dir, &pinned.plan).map_err(|error| fault(&error))?;
    Ok(pinned)
}

/// Stamps of the files that [`standing`] depends on, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// Bytes of the log's files in all.
    pub log_bytes: u64,
}

impl Look {
    /// Looks at the files of a run; none is opened.
    ///
    /// # Errors
    /// [`Fault::Unread`] for a log that is too large for this server.
    pub(super) fn at(dir: &RunDir) -> Result<Look, Fault> {
        let log = files::stamps(&dir.log(), MOST_LOG_FILES);
        let bytes = |(_, stamp): &(PathBuf, Stamp)| stamp.length();
        let log_bytes = log.iter().flatten().map(bytes).fold(0, u64::saturating_add);
        let Some(log) = log.filter(|_| log_bytes <= MAX_LOG) else {
            let problem = format!(
                "is larger than the {MAX_LOG} bytes or {MOST_LOG_FILES} files that are read here; \
                 `fedseal verify` reads it"
            );
            return Err(Fault::unread("log", problem));
        };
        let log = log.into_iter().map(|(path, stamp)| (path, Some(stamp)));
        Ok(Look {
            stamps: Look::own(dir).chain(log).collect(),
            log_bytes,
        })
    }

    /// Looks at the files of a run whose log is too large for this server, of which only the checkpoint counts:
    /// whatever is in it, nothing is said of it.
    pub(super) fn without_tiles(dir: &RunDir) -> Look {
        let checkpoint = dir.log().join("checkpoint");
        let stamp = Stamp::at(&checkpoint);
        Look {
            stamps: Look::own(dir).chain([(checkpoint, stamp)]).collect(),
            log_bytes: 0,
        }
    }

    fn own(dir: &RunDir) -> impl Iterator<Item = (PathBuf, Option<Stamp>)> + use<> {
        let own = [dir.plan(), dir.experiment(), dir.report()];
        own.into_iter().map(|path| {
            let stamp = Stamp::at(&path);
            (path, stamp)
        })
    }

    /// Whether an equal look later means equal bytes in all files.
    pub(super) fn is_settled(&self) -> bool {
        let mut stamps = self.stamps.iter().flat_map(|(_, stamp)| stamp);
        stamps.all(Stamp::is_settled)
    }
}

/// How a run's files stand to its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The log is closed, whole, and names this report.
    Closed(Head),
    /// The log is closed and whole, but the report is a draft: its last version comes in a moment, or
    /// never came.
    Closing(Head, Fault),
    /// The log is not closed: no entry names a report.
    Open(Head),
}

/// Checks a run's files against its log.
///
/// # Errors
/// The first item that does not hold.
pub(super) fn standing(dir: &RunDir, report: &Result<Reading, Fault>) -> Result<Standing, Fault> {
    let Pinned { plan, log, .. } = pinned(dir)?;
    let head = Head::of(&log);
    let state = report.as_ref().ok().and_then(|reading| {
        let shown = reading.shown.as_ref().ok()?;
        Some(shown.outline.state)
    });
    if record(dir, &plan, &log, head.size - 1)? != Record::Closed {
        return match state {
            Some(State::Finished) => Err(Fault::changed(
                "report.json",
                "says that the run is finished; its log is not closed",
            )),
            _ => Ok(Standing::Open(head)),
        };
    }
    let whole = fsck(dir.log(), &plan.node).map_err(|error| Fault::ledger(&dir.root, &error))?;
    if let Some(extra) = whole.extra.first() {
        let item = format!("log/{}", extra.display());
        return Err(Fault::changed(item, "is no file of the log"));
    }
    let logged = match head.size.checked_sub(2) {
        Some(place) => record(dir, &plan, &log, place)?,
        None => Record::Closed,
    };
    let Record::Report { digest: logged } = logged else {
        return Err(Fault::changed("log", "is closed without a report"));
    };
    let found = report.as_ref().map_err(Clone::clone)?.digest;
    if found == logged {
        return Ok(Standing::Closed(head));
    }
    let fault = Fault::changed("report.json", differs(&logged, &found));
    match state {
        Some(State::Running) => Ok(Standing::Closing(head, fault)),
        _ => Err(fault),
    }
}

fn record(dir: &RunDir, plan: &Plan, log: &LogReader, place: u64) -> Result<Record, Fault> {
    let bytes = log.proved_entry(place).map_err(|error| {
        // A proof that does not lead to the root does not say which tile is wrong.
        let named = fsck(dir.log(), &plan.node).err();
        Fault::ledger(&dir.root, &named.unwrap_or(error))
    })?;
    Record::from_bytes(&bytes)
        .map_err(|error| Fault::changed(format!("log entry {place}"), error.to_string()))
}

//! Checks whether a run's files are those that its log names. No file of a run is served as evidence
//! before this check.
//!
//! A finished run's report is in its log, so report.json is checked against the log, and the whole log
//! against its signed checkpoint. The report of a run that goes on is a draft and not in the log.
//! run.json and experiment.toml are checked against the log's first entry in either case. `fedseal
//! verify` checks the rest (blobs, counts, aggregates).
//!
//! Of a large log the two ends are looked at at once, and the whole in the background: it is gone through bundle
//! by bundle, so that its size takes time and no memory.

use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{LogReader, fsck};
use fedseal_record::Error;
use fedseal_record::opened::Pinned;
use fedseal_record::read::experiment_text;
use fedseal_record::report::State;
use fedseal_record::rundir::RunDir;
use schemars::JsonSchema;
use serde::Serialize;

use super::fault::{Fault, differs};
use super::files::{Stamp, Sum, sum};
use super::report::Reading;

/// The largest run.json, bytes.
const MAX_PLAN: u64 = 16 << 20;
/// The largest log that is checked while somebody waits, bytes of its files in all; and the largest one whose
/// records are in memory at once.
pub(super) const MAX_LOG: u64 = 64 << 20;
/// The most entries of such a log where its records are in memory.
pub(super) const MOST_ENTRIES: u64 = 1 << 20;
/// The largest log that is checked at all, bytes of its files in all.
const LARGEST_LOG: u64 = 64 << 30;
/// The most files of such a log.
const MOST_LOG_FILES: usize = 1 << 20;
/// Files of a log that are looked at for every request; those of a larger one for requests that are [`APART`].
const EACH_TIME: u64 = 1 << 14;
/// Time between two looks at the files of a large log.
const APART: Duration = Duration::from_secs(10);

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
    /// Its log is large, and is being checked in the background; what was looked at so far holds.
    Checking {
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

/// How far a fault of the log is followed to the file that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The file is named that was met.
    Met,
    /// The whole log is gone through for the one to blame.
    Whole,
}

impl Depth {
    /// The fault behind an error of a run's log.
    fn fault(self, dir: &RunDir, key: Option<&PublicKey>, error: &fedseal_ledger::Error) -> Fault {
        let key = key.filter(|_| self == Depth::Whole);
        // A proof that does not lead to the root does not say which tile is wrong.
        let named = key.and_then(|key| fsck(dir.log(), key).err());
        Fault::ledger(&dir.root, named.as_ref().unwrap_or(error))
    }
}

/// Opens a run's plan and log of at most so many entries, and checks plan and experiment against the log's first
/// entry, whose place under the checkpoint is proved. No other record is read.
///
/// # Errors
/// The first item that does not hold; a file that is larger than this server reads.
pub(super) fn pinned(dir: &RunDir, entries: u64, depth: Depth) -> Result<Pinned, Fault> {
    if Stamp::at(&dir.plan()).is_some_and(|stamp| stamp.length() > MAX_PLAN) {
        let problem = format!("is larger than {MAX_PLAN} bytes, the most that is read of it");
        return Err(Fault::unread("run.json", problem));
    }
    let fault = |error: &Error| match error {
        Error::Ledger(error) => {
            let key = dir.read_plan().ok().map(|plan| plan.node);
            depth.fault(dir, key.as_ref(), error)
        }
        other => Fault::run(&dir.root, other),
    };
    // An error of the log comes after the bound, so the check that names the file keeps to it, too.
    let pinned = Pinned::read_within(&dir.root, entries).map_err(|error| fault(&error))?;
    experiment_text(dir, &pinned.plan).map_err(|error| fault(&error))?;
    Ok(pinned)
}

/// Stamps of the files that [`standing`] depends on, as they are now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Plan, experiment, report and checkpoint, as far as they are there.
    own: Sum,
    /// Files of the log; none where they are more than are looked at.
    log: Option<Sum>,
    /// When those were looked at.
    at: Instant,
}

impl Look {
    /// Looks at the files of a run; none is opened. Those of a large log are looked at again after [`APART`], and
    /// whenever a checkpoint was signed.
    pub(super) fn at(dir: &RunDir, earlier: Option<&Look>) -> Look {
        let mut own = Sum::default();
        let checkpoint = dir.log().join("checkpoint");
        for path in [dir.plan(), dir.experiment(), dir.report(), checkpoint] {
            if let Some(stamp) = Stamp::at(&path) {
                own.add(&path, &stamp);
            }
        }
        let large = |log: &Option<Sum>| log.is_none_or(|log| log.files() > EACH_TIME);
        let earlier = earlier.filter(|earlier| {
            large(&earlier.log) && earlier.own == own && earlier.at.elapsed() < APART
        });
        earlier.copied().unwrap_or_else(|| Look {
            own,
            log: sum(&dir.log(), MOST_LOG_FILES),
            at: Instant::now(),
        })
    }

    /// Whether no file changed between two looks.
    pub(super) fn is_as(&self, earlier: &Look) -> bool {
        (self.own, self.log) == (earlier.own, earlier.log)
    }

    /// Bytes of the log's files in all.
    ///
    /// # Errors
    /// [`Fault::Unread`] for a log that is too large for this server.
    pub(super) fn log_bytes(&self) -> Result<u64, Fault> {
        let bytes = self.log.map(|log| log.bytes());
        bytes.filter(|bytes| *bytes <= LARGEST_LOG).ok_or_else(|| {
            let problem = format!(
                "is larger than the {LARGEST_LOG} bytes or {MOST_LOG_FILES} files that are read here; \
                 `fedseal verify` reads it"
            );
            Fault::unread("log", problem)
        })
    }

    /// Whether an equal look later means equal bytes in all files.
    pub(super) fn is_settled(&self) -> bool {
        // A log that is not read says nothing, whatever happens to it.
        self.own.is_settled() && self.log.is_none_or(|log| log.is_settled())
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

/// Facts of the first and the last entry of a log.
pub(super) enum Ends {
    /// It goes on.
    Open(Head),
    /// It is closed; the entries between are to be checked.
    Closed(Head, Box<Pinned>),
}

/// Checks a run's plan and experiment against the first entry of its log, and whether the last one closes it.
///
/// # Errors
/// The first item that does not hold.
pub(super) fn ends(
    dir: &RunDir,
    report: &Result<Reading, Fault>,
    depth: Depth,
) -> Result<Ends, Fault> {
    let pinned = pinned(dir, u64::MAX, depth)?;
    let head = Head::of(&pinned.log);
    // A log that was opened has an entry.
    let last = head.size.saturating_sub(1);
    if record(dir, &pinned, last, depth)? == Record::Closed {
        return Ok(Ends::Closed(head, Box::new(pinned)));
    }
    match said(report) {
        Some(State::Finished) => Err(Fault::changed(
            "report.json",
            "says that the run is finished; its log is not closed",
        )),
        _ => Ok(Ends::Open(head)),
    }
}

/// The state that a report names.
fn said(report: &Result<Reading, Fault>) -> Option<State> {
    let shown = report.as_ref().ok()?.shown.as_ref().ok()?;
    Some(shown.outline.state)
}

/// Checks a run's files against its log.
///
/// # Errors
/// The first item that does not hold.
pub(super) fn standing(dir: &RunDir, report: &Result<Reading, Fault>) -> Result<Standing, Fault> {
    let (head, pinned) = match ends(dir, report, Depth::Whole)? {
        Ends::Open(head) => return Ok(Standing::Open(head)),
        Ends::Closed(head, pinned) => (head, pinned),
    };
    let whole = fsck(dir.log(), &pinned.plan.node);
    let whole = whole.map_err(|error| Fault::ledger(&dir.root, &error))?;
    if let Some(extra) = whole.extra.first() {
        let item = format!("log/{}", extra.display());
        return Err(Fault::changed(item, "is no file of the log"));
    }
    let logged = match head.size.checked_sub(2) {
        Some(place) => record(dir, &pinned, place, Depth::Whole)?,
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
    match said(report) {
        Some(State::Running) => Ok(Standing::Closing(head, fault)),
        _ => Err(fault),
    }
}

fn record(dir: &RunDir, pinned: &Pinned, place: u64, depth: Depth) -> Result<Record, Fault> {
    let bytes = pinned.log.proved_entry(place);
    let bytes = bytes.map_err(|error| depth.fault(dir, Some(&pinned.plan.node), &error))?;
    Record::from_bytes(&bytes)
        .map_err(|error| Fault::changed(format!("log entry {place}"), error.to_string()))
}

//! A run's log, read only: its statements about updates, and its files as they are.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path as Parameters, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_ledger::LogReader;
use fedseal_record::opened::{OpenRun, Pinned};
use fedseal_record::report::Verdict;
use fedseal_record::rundir::RunDir;
use fedseal_record::state::{RoundState, UpdateRef, VerdictRef};
use schemars::JsonSchema;
use serde::Serialize;

use super::Server;
use super::evidence::{self, Depth, Look, MAX_LOG, MOST_ENTRIES};
use super::fault::Fault;
use super::files::{self, Stamp};
use super::openapi::{self, Operation, READS, bytes};
use super::refusal::{Answer, Refusal, blocking};

/// Indexes that are kept, of logs of [`MAX_LOG`] bytes in all; a run's is made again when its log has
/// grown.
const MOST_INDEXES: usize = 16;
/// A tile or bundle is never larger: 256 entries of 65,535 bytes and their lengths.
pub(super) const MAX_FILE: u64 = 256 * (65_535 + 2);
/// A checkpoint is never larger: its own lines and some hundred cosignatures.
const MAX_CHECKPOINT: u64 = 64 << 10;

/// One arm's verdict about an update.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ArmVerdict")]
pub(super) struct Judged {
    /// The arm.
    pub arm: String,
    /// The round.
    pub round: u32,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The update's share in the aggregate, in [0, 1]; the check's factor before there is one.
    pub weight: f64,
}

/// A run at a checkpoint of its log, and how its files were then.
pub(super) struct Index {
    /// The run.
    pub run: OpenRun,
    /// run.json and experiment.toml as they were.
    stamps: [Option<Stamp>; 2],
    /// Bytes of the log's files.
    bytes: u64,
}

impl Index {
    fn read(dir: &RunDir) -> Result<Index, Fault> {
        let bytes = Look::at(dir, None).log_bytes()?;
        if bytes > MAX_LOG {
            let problem = format!(
                "is larger than the {MAX_LOG} bytes whose records are in memory at once; its files are served as \
                 they are, and `fedseal explain` shows its updates"
            );
            return Err(Fault::unread("log", problem));
        }
        let stamps = pinned_files(dir);
        let run = evidence::pinned(dir, MOST_ENTRIES, Depth::Whole)?
            .open()
            .map_err(|error| Fault::run(&dir.root, &error))?;
        Ok(Index { run, stamps, bytes })
    }

    /// Whether this is the run as it is now: the log's checkpoint is the same, and so are the files that
    /// the log pins.
    fn is_current(&self, note: &[u8], stamps: &[Option<Stamp>; 2]) -> bool {
        self.run.log.note().as_bytes() == note && self.stamps == *stamps
    }
}

/// Every arm's verdict about an update, in the log's order.
pub(super) fn judged(run: &OpenRun, update: &UpdateRef) -> Vec<Judged> {
    let mut verdicts: Vec<_> = run.state.verdicts(update).collect();
    verdicts.sort_by_key(|(_, _, verdict)| verdict.entry);
    let view = |(arm, round, verdict): (&str, &RoundState, &VerdictRef)| Judged {
        arm: arm.to_owned(),
        round: update.round.0,
        verdict: Verdict {
            effect: verdict.effect,
            check: verdict.check.clone(),
            fact: verdict.fact.clone(),
        },
        weight: round.weight(&update.client).unwrap_or(verdict.weight),
    };
    verdicts.into_iter().map(view).collect()
}

/// The indexes of the runs that were asked for last.
#[derive(Clone, Default)]
pub(super) struct Logs {
    kept: Arc<Mutex<HashMap<String, Arc<Index>>>>,
    /// Held while an index is made: one log's entries are in memory at a time.
    making: Arc<Mutex<()>>,
}

impl Logs {
    /// A run's index at its current checkpoint.
    pub(super) fn index(&self, run: &str, folder: &Path) -> Answer<Arc<Index>> {
        let dir = RunDir::new(folder);
        if let Some(index) = self.known(run, &dir)? {
            return Ok(index);
        }
        let _one = lock(&self.making);
        // Somebody else may have made it meanwhile.
        if let Some(index) = self.known(run, &dir)? {
            return Ok(index);
        }
        let index = Arc::new(Index::read(&dir)?);
        let mut kept = lock(&self.kept);
        kept.remove(run);
        let bytes: u64 = kept.values().map(|index| index.bytes).sum();
        if kept.len() >= MOST_INDEXES || bytes + index.bytes > MAX_LOG {
            kept.clear();
        }
        kept.insert(run.to_owned(), index.clone());
        Ok(index)
    }

    fn known(&self, run: &str, dir: &RunDir) -> Result<Option<Arc<Index>>, Fault> {
        let (note, _) = files::read(&dir.root, "log/checkpoint", MAX_CHECKPOINT)
            .map_err(|error| Fault::io("log/checkpoint", &error))?;
        let stamps = pinned_files(dir);
        let index = lock(&self.kept).get(run).cloned();
        Ok(index.filter(|index| index.is_current(&note, &stamps)))
    }

    /// A run's log at its current checkpoint, however large it is.
    pub(super) fn opened(&self, run: &str, folder: &Path) -> Answer<Opened> {
        let dir = RunDir::new(folder);
        if let Some(index) = self.known(run, &dir)? {
            return Ok(Opened::Indexed(index));
        }
        if Look::at(&dir, None).log_bytes()? <= MAX_LOG {
            return self.index(run, folder).map(Opened::Indexed);
        }
        let pinned = evidence::pinned(&dir, u64::MAX, Depth::Met)?;
        Ok(Opened::Alone(Box::new(pinned)))
    }
}

/// A log with the plan that it vouches for.
pub(super) enum Opened {
    /// With its records.
    Indexed(Arc<Index>),
    /// Without them: they are too many.
    Alone(Box<Pinned>),
}

impl Opened {
    /// The log.
    pub(super) fn log(&self) -> &LogReader {
        match self {
            Opened::Indexed(index) => &index.run.log,
            Opened::Alone(pinned) => &pinned.log,
        }
    }

    /// Its key.
    pub(super) fn key(&self) -> PublicKey {
        match self {
            Opened::Indexed(index) => index.run.plan.node,
            Opened::Alone(pinned) => pinned.plan.node,
        }
    }

    /// The fault behind an error of it.
    pub(super) fn fault(&self, error: &fedseal_ledger::Error) -> Fault {
        let dir = match self {
            Opened::Indexed(index) => &index.run.dir,
            Opened::Alone(pinned) => &pinned.dir,
        };
        Fault::ledger(&dir.root, error)
    }

    /// All its entries.
    ///
    /// # Errors
    /// A refusal where they are too many for memory; any fault of the log.
    pub(super) fn entries(&self) -> Answer<Vec<Vec<u8>>> {
        match self {
            Opened::Indexed(index) => {
                let entries = index.run.log.entries();
                Ok(entries.map_err(|error| self.fault(&error))?)
            }
            Opened::Alone(pinned) => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "This log is too large to be searched by the server.",
                format!("{} entries", pinned.log.size()),
                "Ask for entries by their numbers, or search the files of the log.",
            )),
        }
    }
}

fn pinned_files(dir: &RunDir) -> [Option<Stamp>; 2] {
    [dir.plan(), dir.experiment()].map(|path| Stamp::at(&path))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// [`file()`], described.
pub(super) static FILE: Operation = Operation {
    id: "readLogFile",
    method: Method::GET,
    path: "/api/runs/{run}/log/{*path}",
    summary: "A file of a run's log in the C2SP tlog-tiles layout.",
    query: &[],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "The file as it is: a signed note for the checkpoint, else bytes.",
        media: &["application/octet-stream", "text/plain"],
        schema: bytes,
    },
    refusals: READS,
};

/// `GET /api/runs/{run}/log/checkpoint` and `/log/tile/…`: the files of the C2SP tlog-tiles layout.
pub(super) async fn file(
    State(shared): Server,
    Parameters((run, path)): Parameters<(String, String)>,
) -> Answer<Response> {
    let runs = shared.runs.clone();
    blocking(move || {
        let folder = runs.folder(&run)?;
        let missing = || {
            Refusal::missing(
                "file of the log",
                path.chars().take(100).collect::<String>(),
            )
        };
        if !is_log_path(&path) {
            return Err(missing());
        }
        if let Some(fault) = runs.checked(&run, &folder).fault_of_the_log() {
            return Err(fault.clone().into());
        }
        let file = Path::new("log").join(&path);
        let (bytes, _) = files::read(&folder, file, MAX_FILE).map_err(|_| missing())?;
        let kind = if path == "checkpoint" {
            "text/plain; charset=utf-8"
        } else {
            "application/octet-stream"
        };
        Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
    })
    .await
}

/// `checkpoint`, `tile/0/000`, `tile/0/x001/000.p/17`, `tile/entries/000`.
pub(super) fn is_log_path(path: &str) -> bool {
    if path == "checkpoint" {
        return true;
    }
    let Some(rest) = path.strip_prefix("tile/") else {
        return false;
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    rest.split('/').count() <= 10
        && rest.split('/').all(|part| {
            let part = part.strip_suffix(".p").unwrap_or(part);
            part == "entries" || digits(part.strip_prefix('x').unwrap_or(part))
        })
}

#[cfg(test)]
mod tests {
    use super::is_log_path;

    #[test]
    fn only_files_of_the_layout() {
        for good in [
            "checkpoint",
            "tile/0/000",
            "tile/0/x001/x234/067.p/17",
            "tile/entries/001.p/3",
        ] {
            assert!(is_log_path(good), "{good}");
        }
        for bad in [
            "",
            "lock",
            "tile/",
            "tile/../../run.json",
            "tile//0",
            "/etc/passwd",
            "tile/0/a",
            "checkpoint/",
            "tile/.p",
        ] {
            assert!(!is_log_path(bad), "{bad}");
        }
    }
}

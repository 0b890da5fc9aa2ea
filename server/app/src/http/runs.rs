//! The runs of a server, their reports, and whether their logs name these reports.
//!
//! A run's address is the name of its folder; a run one level below (a seed of an experiment) is
//! `FOLDER~NAME`. Names are letters, digits, `.`, `_` and `-` and begin with a letter or digit, so
//! no address leads out of the folder of runs. A server of one run knows one address.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::Response;
use fedseal_record::report::{self as reports, Rate};
use fedseal_record::rundir::{RunDir, is_name};
use schemars::JsonSchema;
use serde::Serialize;

use super::Server;
use super::alive::Alive;
use super::checked::{Checked, Served};
use super::evidence::{Evidence, Look};
use super::fault::Fault;
use super::files::Stamp;
use super::lists::{self, Wanted};
use super::openapi::{self, Operation, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::report::{Progress, Reading, Shown, Text};

/// Runs whose checks are kept: those that one part of the list names.
const MOST_RUNS: usize = lists::MOST;
/// Bytes of all results that are kept, about: indexes of reports, and grids of their updates.
const MOST_KEPT: usize = 96 << 20;
/// Larger reports are read in the background: no list waits for them.
const AT_ONCE: u64 = 8 << 20;
/// Runs with large reports, the newest first, whose reports are read before anybody asks.
const PREPARED: usize = 4;
/// Words about a run whose report is being read.
const BEING_READ: &str = "the server is reading its report";
/// Words about a run that has not come as far as a report; pages know them (web/src/lib/api.ts).
const NOT_YET: &str = "it has not been written yet";
/// How often a report is read again because it changed while it was looked at.
const TRIES: usize = 3;

/// The folder of runs, or the one run, and the results of their checks.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    root: PathBuf,
    /// The address of the run that `root` itself is.
    single: Option<String>,
    checked: Arc<Mutex<HashMap<String, Arc<Checked>>>>,
    /// Who works on them.
    alive: Alive,
    /// Held while a run is checked, one for small reports and one for large ones: what a check reads is in
    /// memory once.
    checking: [Arc<Mutex<()>>; 2],
    /// Whether a report is being read in the background.
    busy: Arc<AtomicBool>,
    /// Whether a large log is being checked in the background.
    standing: Arc<AtomicBool>,
}

/// A run's entry in the list. What its report does not say is null.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RunSummary")]
struct Summary {
    #[serde(flatten)]
    served: Served,
    /// The experiment's title.
    #[schemars(with = "Option<String>")]
    title: Option<Text>,
    /// Steps done.
    #[schemars(with = "Option<reports::Progress>")]
    progress: Option<Progress>,
    /// When it was created, RFC 3339, UTC.
    #[schemars(with = "Option<String>")]
    started: Option<Text>,
    /// Seconds of work so far.
    seconds: Option<f64>,
    /// The base model's name.
    #[schemars(with = "Option<String>")]
    base: Option<Text>,
    /// Different updates in all arms.
    updates: usize,
    /// Final safety by arm, for the arms that have one; empty where a file was changed.
    safety: BTreeMap<String, Rate>,
    /// Why there is no report, or none that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Runs {
    /// Runs below `root`, or the run that `root` is.
    pub(super) fn new(root: PathBuf) -> Self {
        let single = root.join("run.json").is_file().then(|| {
            let name = RunDir::new(&root).name();
            if is_name(&name) { name } else { "run".into() }
        });
        Runs {
            root,
            single,
            checked: Arc::default(),
            alive: Alive::default(),
            checking: Default::default(),
            busy: Arc::default(),
            standing: Arc::default(),
        }
    }

    /// The folder of a run.
    pub(super) fn folder(&self, run: &str) -> Answer<PathBuf> {
        if let Some(single) = &self.single {
            return match single == run {
                true => Ok(self.root.clone()),
                false => Err(Refusal::missing("run", shortened(run))),
            };
        }
        let parts: Vec<&str> = run.split('~').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(Refusal::missing("run", shortened(run)));
        }
        let mut folder = self.root.clone();
        let mut real = true;
        for part in parts {
            folder.push(part);
            // A link could lead out of the folder; no run is one.
            real &= std::fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
        }
        if real && folder.join("run.json").is_file() {
            Ok(folder)
        } else {
            Err(Refusal::missing("run", run))
        }
    }

    /// Who works on the runs.
    pub(super) fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// The addresses of all runs, the newest first.
    fn names(&self) -> Vec<String> {
        if let Some(single) = &self.single {
            return vec![single.clone()];
        }
        let mut found: Vec<(std::time::SystemTime, String)> = Vec::new();
        for (name, folder) in folders(&self.root) {
            if let Some(time) = modified(&folder) {
                found.push((time, name));
                continue;
            }
            for (seed, folder) in folders(&folder) {
                if let Some(time) = modified(&folder) {
                    found.push((time, format!("{name}~{seed}")));
                }
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// How many runs somebody works on, and how many nobody does.
    pub(super) fn counted(&self) -> (usize, usize) {
        let names = self.names();
        let folders = names.iter().filter_map(|name| self.folder(name).ok());
        let (busy, resting): (Vec<_>, Vec<_>) =
            folders.partition(|folder| self.alive.worked_on(folder));
        (busy.len(), resting.len())
    }

    /// The run in `folder`, checked against its log; of a large log the whole is checked in the background. An
    /// earlier result counts for as long as no file of the run changes.
    pub(super) fn checked(&self, run: &str, folder: &Path) -> Arc<Checked> {
        let dir = RunDir::new(folder);
        if let Ok(known) = self.known(run, &dir) {
            return known;
        }
        let _one = lock(&self.checking[usize::from(is_large(&dir))]);
        // Somebody else may have checked it meanwhile.
        let look = match self.known(run, &dir) {
            Ok(known) => return known,
            Err(look) => look,
        };
        let checked = Arc::new(Checked::read(&dir, &look));
        let mut all = lock(&self.checked);
        all.remove(run);
        let kept = all.values().map(|other| other.kept()).sum::<usize>() + checked.kept();
        if all.len() >= MOST_RUNS || kept > MOST_KEPT {
            all.clear();
        }
        all.insert(run.to_owned(), checked.clone());
        drop(all);
        self.stand_later(&checked, &dir);
        checked
    }

    /// The result for the files as they are now; where there is none, a look at them.
    fn known(&self, run: &str, dir: &RunDir) -> Result<Arc<Checked>, Look> {
        let known = lock(&self.checked).get(run).cloned();
        let last = known.as_ref().and_then(|known| known.look());
        let look = Look::at(dir, last.as_ref());
        let known = known.filter(|known| known.is_of(&look)).ok_or(look)?;
        self.stand_later(&known, dir);
        Ok(known)
    }

    /// Checks a large log in the background, unless another one is being checked there; then the next who asks
    /// begins.
    fn stand_later(&self, checked: &Arc<Checked>, dir: &RunDir) {
        if !checked.waits() {
            return;
        }
        let Some(busy) = Busy::begin(&self.standing) else {
            return;
        };
        let (checked, dir) = (checked.clone(), dir.clone());
        let _ = std::thread::Builder::new().spawn(move || {
            let _busy = busy;
            checked.stand(&dir);
        });
    }

    /// As [`Runs::checked`], and whether it is about the files as they are now: a large report is read in the
    /// background, and the result of before, where there is one, stands until then.
    fn noted(&self, run: &str, folder: &Path) -> (Option<Arc<Checked>>, bool) {
        let dir = RunDir::new(folder);
        if !is_large(&dir) {
            return (Some(self.checked(run, folder)), true);
        }
        if let Ok(known) = self.known(run, &dir) {
            return (Some(known), true);
        }
        self.check_later(run, folder);
        (lock(&self.checked).get(run).cloned(), false)
    }

    /// Checks a run in the background, unless another one is being checked there.
    fn check_later(&self, run: &str, folder: &Path) {
        let Some(busy) = Busy::begin(&self.busy) else {
            return;
        };
        let (runs, run, folder) = (self.clone(), run.to_owned(), folder.to_owned());
        // Where no thread is to be had, the next who asks begins one.
        let _ = std::thread::Builder::new().spawn(move || {
            let _busy = busy;
            runs.checked(&run, &folder);
        });
    }

    /// Reads large reports of the newest runs in the background, so that whoever opens one does not wait.
    pub(super) fn prepare(&self) {
        let runs = self.clone();
        // It is a service to readers alone.
        let _ = std::thread::Builder::new().spawn(move || {
            let named = runs.names().into_iter();
            let named = named.filter_map(|name| Some((runs.folder(&name).ok()?, name)));
            let large = named.filter(|(folder, _)| is_large(&RunDir::new(folder)));
            for (folder, name) in large.take(PREPARED) {
                runs.checked(&name, &folder);
            }
        });
    }

    /// An answer that is made of a run's report as it was read. `answer` says `None` where the file has
    /// another version by now.
    pub(super) fn of_report(
        &self,
        run: &str,
        answer: impl Fn(&RunDir, &Reading, &Shown, &Served) -> Answer<Option<Response>>,
    ) -> Answer<Response> {
        let folder = self.folder(run)?;
        let dir = RunDir::new(&folder);
        for _ in 0..TRIES {
            let checked = self.checked(run, &folder);
            let reading = match &checked.report {
                Ok(reading) => reading,
                Err(_) if checked.is_too_early() => {
                    return Err(Refusal::missing("report", format!("{run}: {NOT_YET}")));
                }
                Err(fault) => return Err(fault.clone().into()),
            };
            let shown = match &reading.shown {
                Ok(shown) => shown,
                Err(problem) => {
                    return Err(match checked.fault() {
                        Some(fault) => fault.clone().into(),
                        None => {
                            Fault::changed("report.json", format!("is no report: {problem}")).into()
                        }
                    });
                }
            };
            let served = checked.served(run, self.alive.worked_on(&folder));
            if let Some(response) = answer(&dir, reading, shown, &served)? {
                return Ok(response);
            }
            // Written again meanwhile.
        }
        Err(Refusal::busy("the report changes while it is read"))
    }

    fn summary(&self, run: String) -> Answer<Summary> {
        let folder = self.folder(&run)?;
        let being_read = || Evidence::Unchecked {
            problem: BEING_READ.into(),
            log: None,
        };
        let (checked, current) = self.noted(&run, &folder);
        let Some(checked) = checked else {
            return Ok(Summary {
                served: Served {
                    run,
                    state: None,
                    evidence: being_read(),
                    conclusion: None,
                },
                title: None,
                progress: None,
                started: None,
                seconds: None,
                base: None,
                updates: 0,
                safety: BTreeMap::new(),
                error: Some(BEING_READ.into()),
            });
        };
        let mut served = checked.served(&run, self.alive.worked_on(&folder));
        if !current && !matches!(served.evidence, Evidence::Changed { .. }) {
            served.evidence = being_read();
        }
        let outline = checked.outline().cloned();
        let error = match &checked.report {
            Ok(reading) => reading.shown.as_ref().err().cloned(),
            Err(_) if checked.is_too_early() => Some(NOT_YET.into()),
            Err(fault) => Some(Refusal::from(fault.clone()).text()),
        };
        // Nobody vouches for the figures of a file that was changed.
        let shown = !matches!(served.evidence, Evidence::Changed { .. });
        let arms = outline.as_ref().map(|outline| outline.arms.clone());
        let arms = arms.filter(|_| shown).unwrap_or_default();
        Ok(Summary {
            title: outline.as_ref().map(|outline| outline.title.clone()),
            started: outline.as_ref().map(|outline| outline.started.clone()),
            base: outline.as_ref().map(|outline| outline.base.name.clone()),
            seconds: outline.as_ref().map(|outline| outline.seconds),
            progress: outline.map(|outline| outline.progress),
            updates: arms.updates,
            safety: arms.safety,
            error,
            served,
        })
    }
}

/// [`list`], described.
pub(super) static LIST: Operation = Operation {
    id: "listRuns",
    method: Method::GET,
    path: "/api/runs",
    summary: "The runs, the newest first.",
    query: lists::PARAMETERS,
    body: None,
    answer: openapi::Answer::json("A part of the list.", schema::<Vec<Summary>>),
    refusals: &[400, 408, 500, 503],
};

/// `GET /api/runs`
pub(super) async fn list(
    State(shared): Server,
    Query(wanted): Query<Wanted>,
) -> Answer<impl axum::response::IntoResponse> {
    let runs = shared.runs.clone();
    blocking(move || {
        let (names, headers) = wanted.part("/api/runs", runs.names(), |name| name);
        // A run that was taken away since is not in the list.
        let summaries = names.into_iter().flat_map(|name| runs.summary(name));
        Ok((headers, Json(summaries.collect::<Vec<_>>())))
    })
    .await
}

/// A mark that something is done in the background, taken away when dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Sets the mark; none where it is set.
    fn begin(mark: &Arc<AtomicBool>) -> Option<Busy> {
        match mark.swap(true, Ordering::AcqRel) {
            true => None,
            false => Some(Busy(mark.clone())),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Whether a run's report is read in the background.
fn is_large(dir: &RunDir) -> bool {
    Stamp::at(&dir.report()).is_some_and(|stamp| stamp.length() > AT_ONCE)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folders with a run's kind of name in a folder.
fn folders(root: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(root);
    entries
        .into_iter()
        .flatten()
        .flatten()
        // file_type does not follow links.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| is_name(name))
        .collect()
}

/// When a run's folder got its plan; `None` where there is no run.
fn modified(folder: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(folder.join("run.json"))
        .ok()?
        .modified()
        .ok()
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;

//! The runs of a server, their reports, and whether their logs name these reports.
//!
//! A run's address is the name of its folder; a run one level below (a seed of an experiment) is
//! `FOLDER~NAME`. Names are letters, digits, `.`, `_` and `-` and begin with a letter or digit, so
//! no address leads out of the folder of runs. A server of one run knows one address.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path as Parameters, Query, State};
use axum::http::Method;
use axum::response::Response;
use fedseal_record::report::{self as reports, Rate, State as Progressed};
use fedseal_record::rundir::{RunDir, is_name};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::Server;
use super::alive::Alive;
use super::evidence::{self, Evidence, Look, Standing};
use super::fault::Fault;
use super::lists::{self, Wanted};
use super::openapi::{self, Operation, READS, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::report::{self, Outline, Progress, Reading, Text};

/// Runs whose checks are kept: those that one part of the list names.
const MOST_RUNS: usize = lists::MOST;
/// Words about a run that has not come as far as a report.
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
    /// Held while a run is checked: what a check reads is in memory once.
    checking: Arc<Mutex<()>>,
}

/// A run that was read and held against its log.
#[derive(Debug)]
pub(super) struct Checked {
    look: Option<Look>,
    report: Result<Reading, Fault>,
    standing: Result<Standing, Fault>,
}

/// How a run is named and shown, whatever its report says.
#[derive(Debug, Serialize, JsonSchema)]
struct Served {
    /// Its address.
    run: String,
    /// How far it is; null where there is no report.
    state: Option<Shown>,
    /// State of its files.
    evidence: Evidence,
    /// Its report's figures in sentences; null where there is no report, or none to believe.
    conclusion: Option<reports::Conclusion>,
}

/// A run's report.json as it lies there, with the server's words in `served`. It is sent in pieces, never
/// built: this is its description.
enum ServedReport {}

impl JsonSchema for ServedReport {
    fn schema_name() -> Cow<'static, str> {
        "ServedReport".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A run's report.json as it lies there, with the server's words in `served`.",
            "allOf": [
                generator.subschema_for::<reports::Report>(),
                {
                    "type": "object",
                    "properties": {"served": generator.subschema_for::<Served>()},
                    "required": ["served"],
                },
            ],
        })
    }
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

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "RunState")]
enum Shown {
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
    fn read(dir: &RunDir) -> Checked {
        let look = Look::at(dir);
        let report = report::read(dir);
        let standing = match &look {
            Ok(_) => evidence::standing(dir, &report),
            Err(fault) => Err(fault.clone()),
        };
        Checked {
            look: look.ok().filter(Look::is_settled),
            report,
            standing,
        }
    }

    /// Evidence to show about the run now.
    fn evidence(&self, worked_on: bool) -> Evidence {
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
        match &self.standing {
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
        self.standing.as_ref().err()
    }

    /// The first item of the log that is not as it was signed.
    pub(super) fn fault_of_the_log(&self) -> Option<&Fault> {
        self.fault()
            .filter(|fault| matches!(fault, Fault::Changed { item, .. } if item.starts_with("log")))
    }

    /// Whether there is no report because the run has not come so far.
    fn is_too_early(&self) -> bool {
        let missing = Fault::changed("report.json", "is missing");
        self.report.as_ref().err() == Some(&missing)
            && !matches!(self.standing, Err(Fault::Changed { .. }))
    }

    fn outline(&self) -> Option<&Outline> {
        self.report.as_ref().ok()?.outline.as_ref().ok()
    }

    fn served(&self, run: &str, worked_on: bool) -> Served {
        let evidence = self.evidence(worked_on);
        let believed = !matches!(evidence, Evidence::Changed { .. });
        let reading = self.report.as_ref().ok().filter(|_| believed);
        Served {
            run: run.to_owned(),
            conclusion: reading.and_then(|reading| reading.conclusion.clone()),
            state: self.outline().map(|outline| match outline.state {
                Progressed::Running if worked_on => Shown::Running,
                Progressed::Running => Shown::Interrupted,
                Progressed::Finished => Shown::Finished,
                Progressed::Failed => Shown::Failed,
            }),
            evidence,
        }
    }
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
            checking: Arc::default(),
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

    /// The run in `folder`, checked against its log. An earlier result counts for as long as no file of the
    /// run changes.
    pub(super) fn checked(&self, run: &str, folder: &Path) -> Arc<Checked> {
        let dir = RunDir::new(folder);
        let known = || {
            let now = Look::at(&dir).ok();
            let known = lock(&self.checked).get(run).cloned();
            known.filter(|known| known.look.is_some() && known.look == now)
        };
        if let Some(known) = known() {
            return known;
        }
        let _one = lock(&self.checking);
        // Somebody else may have checked it meanwhile.
        if let Some(known) = known() {
            return known;
        }
        let checked = Arc::new(Checked::read(&dir));
        let mut all = lock(&self.checked);
        if all.len() >= MOST_RUNS && !all.contains_key(run) {
            all.clear();
        }
        all.insert(run.to_owned(), checked.clone());
        checked
    }

    /// A run's report as it is in its file, after the server's own words about it.
    fn report(&self, run: &str) -> Answer<Response> {
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
            if let Err(problem) = &reading.outline {
                return Err(match checked.fault() {
                    Some(fault) => fault.clone().into(),
                    None => {
                        Fault::changed("report.json", format!("is no report: {problem}")).into()
                    }
                });
            }
            let served = checked.served(run, self.alive.worked_on(&folder));
            match report::send(&dir, reading, &served) {
                Ok(Some(response)) => return Ok(response),
                // Written again meanwhile.
                Ok(None) => continue,
                Err(error) => return Err(Fault::io("report.json", &error).into()),
            }
        }
        Err(Refusal::busy("the report changes while it is read"))
    }

    fn summary(&self, run: String) -> Answer<Summary> {
        let folder = self.folder(&run)?;
        let checked = self.checked(&run, &folder);
        let served = checked.served(&run, self.alive.worked_on(&folder));
        let outline = checked.outline().cloned();
        let error = match &checked.report {
            Ok(reading) => reading.outline.as_ref().err().cloned(),
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

/// [`of_run`], described.
pub(super) static REPORT: Operation = Operation {
    id: "readReport",
    method: Method::GET,
    path: "/api/runs/{run}",
    summary: "A run's report as it is in its file, after the server's own words about it.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("The report.", schema::<ServedReport>),
    refusals: READS,
};

/// `GET /api/runs/{run}`
pub(super) async fn of_run(
    State(shared): Server,
    Parameters(run): Parameters<String>,
) -> Answer<Response> {
    let runs = shared.runs.clone();
    blocking(move || runs.report(&run)).await
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
mod tests {
    use super::*;

    #[test]
    fn a_run_is_checked_again_when_a_file_of_it_changes() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("demo");
        std::fs::create_dir(&folder).unwrap();
        let plan = folder.join("run.json");
        std::fs::write(&plan, "{}").unwrap();
        let runs = Runs::new(root.path().to_owned());
        let check = || runs.checked("demo", &folder);
        assert!(!Arc::ptr_eq(&check(), &check()), "just written");
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let file = std::fs::File::options().write(true).open(&plan).unwrap();
        file.set_modified(old).unwrap();
        let first = check();
        assert!(Arc::ptr_eq(&first, &check()));
        std::fs::create_dir(folder.join("log")).unwrap();
        std::fs::write(folder.join("log/checkpoint"), "x").unwrap();
        assert!(!Arc::ptr_eq(&first, &check()));
    }

    #[test]
    fn a_folder_that_is_a_run_has_one_address() {
        let root = tempfile::tempdir().unwrap();
        for (name, address) in [("demo", "demo"), ("my run (1)", "run")] {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("run.json"), "{}").unwrap();
            let runs = Runs::new(folder.clone());
            assert_eq!(runs.names(), [address]);
            assert_eq!(runs.folder(address).unwrap(), folder);
            assert!(runs.folder("other").is_err());
        }
    }

    #[test]
    fn no_address_leads_out() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("runs");
        std::fs::create_dir_all(inner.join("demo/seed-1")).unwrap();
        std::fs::write(inner.join("demo/seed-1/run.json"), "{}").unwrap();
        std::fs::write(root.path().join("run.json"), "{}").unwrap();
        let runs = Runs::new(inner.clone());
        assert!(runs.folder("demo~seed-1").is_ok());
        for bad in [
            "..",
            ".",
            "",
            "demo",
            "demo/seed-1",
            "../runs",
            "~",
            "demo~..",
            "demo~seed-1~x",
            "a\0b",
            ".hidden",
            "%2e%2e",
            "demo~",
        ] {
            assert!(runs.folder(bad).is_err(), "{bad:?}");
        }
        assert_eq!(runs.names(), ["demo~seed-1"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(inner.join("demo/seed-1"), inner.join("link")).unwrap();
            std::os::unix::fs::symlink(inner.join("demo"), inner.join("seeds")).unwrap();
            assert!(runs.folder("link").is_err());
            assert!(runs.folder("seeds~seed-1").is_err());
        }
    }
}

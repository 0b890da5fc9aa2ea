//! Which runs there are, and their reports.
//!
//! A run's address is the name of its folder; a run one level below (a seed of an experiment) is
//! `FOLDER~NAME`. Names are letters, digits, `.`, `_` and `-` and begin with a letter or digit, so
//! no address leads out of the folder of runs.

use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::{Path as Parameters, State};
use fedseal_federation::rundir::is_name;
use serde::Serialize;
use serde_json::Value;

use super::Server;
use super::refusal::{Answer, Refusal, blocking};

/// A report larger than this (bytes) is not read.
const MAX_REPORT: u64 = 256 << 20;
/// A run without a lock and without an event for so long is not being worked on.
const QUIET: std::time::Duration = std::time::Duration::from_secs(30);
/// Runs that one list names.
const MOST_RUNS: usize = 500;

/// The folder of runs.
#[derive(Debug, Clone)]
pub struct Runs {
    root: PathBuf,
}

/// What the list says about a run.
#[derive(Debug, Serialize)]
struct Summary {
    run: String,
    title: Value,
    state: Value,
    progress: Value,
    started: Value,
    seconds: Value,
    base: Value,
    updates: usize,
    safety: serde_json::Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Runs {
    /// Runs below `root`.
    pub fn new(root: PathBuf) -> Self {
        Runs { root }
    }

    /// The folder of a run.
    pub fn folder(&self, run: &str) -> Answer<PathBuf> {
        let parts: Vec<&str> = run.split('~').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(Refusal::missing("run", shortened(run)));
        }
        let folder = parts
            .iter()
            .fold(self.root.clone(), |folder, part| folder.join(part));
        // A link could lead out of the folder; no run is one.
        let real = std::fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
        if real && folder.join("run.json").is_file() {
            Ok(folder)
        } else {
            Err(Refusal::missing("run", run))
        }
    }

    /// The addresses of all runs, the newest first.
    fn names(&self) -> Vec<String> {
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
        found
            .into_iter()
            .map(|(_, name)| name)
            .take(MOST_RUNS)
            .collect()
    }

    /// A run's report as it lies there, under the run's address.
    pub fn report(&self, run: &str) -> Answer<Value> {
        let folder = self.folder(run)?;
        let path = folder.join("report.json");
        let size = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        if size == 0 {
            return Err(Refusal::missing(
                "report",
                format!("{run}: it has not been written yet"),
            ));
        }
        if size > MAX_REPORT {
            return Err(Refusal::broken(run, "report.json is too large"));
        }
        let bytes = std::fs::read(&path).map_err(|error| Refusal::broken(run, error))?;
        let mut report: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::broken(run, format!("report.json: {error}")))?;
        let interrupted = report["state"] == "running" && !worked_on(&folder);
        if let Some(map) = report.as_object_mut() {
            map.insert("run".into(), run.into());
            if interrupted {
                map.insert("state".into(), "interrupted".into());
            }
        }
        Ok(report)
    }

    fn summary(&self, run: String) -> Summary {
        let (report, error) = match self.report(&run) {
            Ok(report) => (report, None),
            Err(refusal) => (Value::Null, Some(refusal.text())),
        };
        let arms = report["arms"].as_array().map_or(&[][..], Vec::as_slice);
        let mut updates = std::collections::BTreeSet::new();
        let mut safety = serde_json::Map::new();
        for arm in arms {
            if let (Some(id), false) = (arm["id"].as_str(), arm["safety"].is_null()) {
                safety.insert(id.to_owned(), arm["safety"].clone());
            }
            for round in arm["rounds"].as_array().into_iter().flatten() {
                for client in round["clients"].as_array().into_iter().flatten() {
                    updates.extend(client["update"].as_str());
                }
            }
        }
        Summary {
            title: report["title"].clone(),
            state: report["state"].clone(),
            progress: report["progress"].clone(),
            started: report["started"].clone(),
            seconds: report["seconds"].clone(),
            base: report["base"]["name"].clone(),
            updates: updates.len(),
            safety,
            error,
            run,
        }
    }
}

/// `GET /api/runs`
pub async fn list(State(shared): Server) -> Answer<impl axum::response::IntoResponse> {
    let runs = shared.runs.clone();
    blocking(move || {
        let summaries = runs.names().into_iter().map(|name| runs.summary(name));
        Ok(Json(summaries.collect::<Vec<_>>()))
    })
    .await
}

/// `GET /api/runs/{run}`
pub async fn report(
    State(shared): Server,
    Parameters(run): Parameters<String>,
) -> Answer<Json<Value>> {
    let runs = shared.runs.clone();
    blocking(move || runs.report(&run).map(Json)).await
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

/// Whether a process is working on a run: it holds a lock on run.json, or has written an event a
/// short while ago (a process in another container has no lock that is seen here). A killed run's
/// report still says that it is running; this is how pages know better.
fn worked_on(folder: &Path) -> bool {
    let fresh = std::fs::metadata(folder.join("events.jsonl"))
        .and_then(|meta| meta.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < QUIET));
    fresh || is_locked(&folder.join("run.json")).unwrap_or(true)
}

/// Whether Linux lists a lock on a file. Looked up, not tried: trying could keep a run that is just
/// beginning from getting its own lock. `None` where there is no such list.
fn is_locked(file: &Path) -> Option<bool> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; the inode is the last number.
        let inode = format!(":{}", std::fs::metadata(file).ok()?.ino());
        Some(
            locks
                .lines()
                .any(|line| line.split_whitespace().any(|word| word.ends_with(&inode))),
        )
    }
    #[cfg(not(unix))]
    {
        let _ = (locks, file);
        None
    }
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
    fn a_lock_is_seen_without_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        std::fs::write(&path, "{}").unwrap();
        assert_ne!(is_locked(&path), Some(true));
        let file = std::fs::File::open(&path).unwrap();
        file.lock().unwrap();
        assert_ne!(is_locked(&path), Some(false));
        assert!(worked_on(folder.path()));
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
            assert!(runs.folder("link").is_err());
        }
    }
}

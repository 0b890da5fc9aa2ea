//! The main job on a fresh checkout: build, run, replay, verify, show.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::fedseal;
use crate::process::{root, run, say};
use crate::{Outcome, build, fail};

/// How many updates are executed again after a run, per process.
const REPLAYED: u32 = 20;

/// `cargo xtask demo`: the embedded model.
pub(crate) fn demo(arguments: &[String]) -> Outcome {
    build::everything()?;
    experiment("demo", arguments)
}

/// `cargo xtask smollm2`: the real model on real prompts.
pub(crate) fn smollm2(arguments: &[String]) -> Outcome {
    build::everything()?;
    say("Fetching the model and the prompt sets");
    run(fedseal().args(["fetch", "smollm2"]))?;
    run(fedseal().args(["fetch", "prompts"]))?;
    experiment("smollm2", arguments)
}

fn experiment(name: &str, arguments: &[String]) -> Outcome {
    let (mut serve, mut resume, mut passed) = (true, false, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("--no-serve", _) => serve = false,
            ("--resume", _) => resume = true,
            ("--seeds" | "--device" | "--threads", Some(value)) => {
                passed.extend([word.clone(), value.clone()]);
                words.next();
            }
            _ => return fail(format!("unknown option {word:?}; see `cargo xtask help`")),
        }
    }
    let runs = root().join("runs");
    let directory = if resume {
        latest(&runs, name)?
    } else {
        free(&runs, name)
    };
    say(&format!(
        "Running experiments/{name}.toml into {}",
        shown(&directory)
    ));
    let mut command = fedseal();
    command
        .arg("run")
        .arg(format!("experiments/{name}.toml"))
        .arg("--out")
        // Relative to the root, where fedseal runs: the command is kept with the figures.
        .arg(shown(&directory));
    if resume {
        command.arg("--resume");
    }
    run(command.args(&passed))?;
    // With several seeds each seed has a run of its own below the directory.
    let first = first_run(&directory);
    say("Checking the run's files offline");
    run(fedseal().arg("verify").arg(&first))?;
    replay(name, &first)?;
    say("Results");
    run(fedseal().arg("table").arg(&directory))?;
    if !serve {
        return Ok(());
    }
    say("Serving the report; Ctrl-C stops it");
    run(fedseal().arg("serve").arg("--runs").arg(&runs))
}

/// Executes updates again in two processes, with one thread and with two, and keeps the figures.
fn replay(name: &str, directory: &Path) -> Outcome {
    say(&format!(
        "Executing {REPLAYED} random updates again, with 1 thread and with 2"
    ));
    let (mut equal, mut total) = (u64::MAX, u64::MAX);
    for threads in ["1", "2"] {
        let output = fedseal()
            .arg("replay")
            .arg(directory)
            .args([
                "--sample",
                &REPLAYED.to_string(),
                "--threads",
                threads,
                "--json",
            ])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
        eprintln!(
            "    {threads} thread(s): {} of {} equal",
            count("equal"),
            count("total")
        );
        (equal, total) = (equal.min(count("equal")), total.min(count("total")));
    }
    let command = format!("cargo xtask {name}");
    let figures = [("replay.equal", equal), ("replay.total", total)];
    let figures = figures.map(|(name, value)| (name.to_owned(), value as f64));
    crate::readme::keep(name, &command, &figures, "updates")?;
    if equal < total {
        return fail(format!("{equal} of {total} replays gave the same digests"));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn numbered(runs: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let (runs, name) = (runs.to_path_buf(), name.to_owned());
    (1_u32..).map(move |n| {
        if n == 1 {
            runs.join(&name)
        } else {
            runs.join(format!("{name}-{n}"))
        }
    })
}

/// The first name that no earlier run has taken.
fn free(runs: &Path, name: &str) -> PathBuf {
    numbered(runs, name)
        .find(|path| !path.exists())
        .unwrap_or_else(|| runs.join(name))
}

/// The newest run of a name by when it was made, whatever is missing between the numbers.
fn latest(runs: &Path, name: &str) -> Outcome<PathBuf> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let newest = entries
        .map(|entry| entry.path())
        .filter(|path| is_of(path, name))
        .filter_map(|path| Some((created(&path)?, path)))
        .max();
    match newest {
        Some((_, path)) => Ok(path),
        None => fail(format!(
            "there is no run to resume: {} holds none of the name {name}",
            runs.display()
        )),
    }
}

/// Whether a folder is `NAME` or `NAME-N`.
fn is_of(path: &Path, name: &str) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = file.strip_prefix(name).unwrap_or("?");
    let number = rest.strip_prefix('-').map(str::parse::<u32>);
    rest.is_empty() || matches!(number, Some(Ok(_)))
}

/// When a run, or the first of the seeds below a folder, was made: RFC 3339, whose order is time's.
fn created(folder: &Path) -> Option<String> {
    let plan = std::fs::read(first_run(folder).join("run.json")).ok()?;
    let plan: Value = serde_json::from_slice(&plan).ok()?;
    Some(plan.get("created")?.as_str()?.to_owned())
}

fn first_run(directory: &Path) -> PathBuf {
    if directory.join("run.json").exists() {
        return directory.to_path_buf();
    }
    let mut runs: Vec<PathBuf> = std::fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    runs.retain(|path| path.join("run.json").exists());
    runs.sort();
    runs.into_iter()
        .next()
        .unwrap_or_else(|| directory.to_path_buf())
}

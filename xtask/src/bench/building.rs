//! `cargo xtask bench build [--against REV] [PART...]`: what a newcomer, an auditor and a contributor wait
//! for.
//!
//! - `audit`: `fedseal-audit` from cold, and its size stripped.
//! - `incremental`: the workspace's programs after a changed line in a rule.
//! - `places`: how many files an extension of each kind touches ([`places`](super::places)).
//! - `cold`: `cargo xtask build` in a fresh clone, today's and the revision's, one after the other.
//! - `pair`: `cold`, and the tests' build on top of it, as each has them without a card.
//! - `demo`: the demo's run beside the revision's ([`demos`](super::demos)), whose programs `cold` or `pair`
//!   left, or are built.
//!
//! Packages are downloaded before the clock starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Figure, write};
use crate::process::{cargo, cargo_command, root, run, say, seconds};
use crate::{Outcome, build, fail};

/// Parts that can be measured alone.
const PARTS: [&str; 6] = ["audit", "incremental", "places", "cold", "pair", "demo"];
/// The revision that `cold`, `pair` and `demo` show beside today's.
const REVISION: &str = "35be59b";
/// Its builds have the GPU device everywhere.
const GPU: [&str; 2] = ["--features", "fedseal/wgpu"];
/// The rule that a contributor changes.
const RULE: &str = "server/rules/src/aggregation/median.rs";

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let (mut parts, mut revision) = (Vec::new(), REVISION.to_owned());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--against" => match words.next() {
                Some(word) => revision.clone_from(word),
                None => return fail("--against needs a revision"),
            },
            part if PARTS.contains(&part) => parts.push(part),
            other => {
                let known = PARTS.join(", ");
                return fail(format!(
                    "unknown word {other:?}; known: --against REV, {known}"
                ));
            }
        }
    }
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    if parts.contains(&"pair") {
        parts.retain(|part| *part != "cold");
    }
    let folder = root().join("target/bench-build");
    fs::create_dir_all(&folder)?;
    for part in parts {
        let figures = match part {
            "audit" => audit(&folder)?,
            "incremental" => incremental()?,
            "places" => super::places::bench(&folder)?,
            "cold" => against(&folder, &revision, false)?,
            "pair" => against(&folder, &revision, true)?,
            _ => super::demos::bench(&programs(&folder, &revision)?, &revision)?,
        };
        for figure in &figures {
            eprintln!("    {figure}");
        }
        write("build", "build", &figures)?;
    }
    Ok(())
}

fn figure(name: &str, value: f64, unit: &str) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        peer: None,
        ratio: None,
    }
}

/// Seconds of a command.
fn timed(command: &mut Command) -> Outcome<f64> {
    let started = Instant::now();
    run(command)?;
    eprintln!("    {}", seconds(started.elapsed()));
    Ok(started.elapsed().as_secs_f64())
}

fn audit(folder: &Path) -> Outcome<Vec<Figure>> {
    say("fedseal-audit from cold");
    cargo(&["fetch"], &[])?;
    let target = folder.join("audit");
    let _ = fs::remove_dir_all(&target);
    let mut command = cargo_command();
    command
        .args(["build", "--quiet", "--package", "fedseal-audit"])
        .current_dir(root())
        .env("CARGO_TARGET_DIR", &target);
    let spent = timed(&mut command)?;
    let stripped = folder.join("fedseal-audit");
    run(Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(target.join("debug/fedseal-audit")))?;
    let size = fs::metadata(&stripped)?.len() as f64 / 1e6;
    fs::remove_dir_all(&target)?;
    Ok(vec![
        figure("build.audit_seconds", spent, "s"),
        figure("build.audit_mb", size, "MB"),
    ])
}

/// A file with a line more, as it was again when dropped.
struct Changed {
    path: PathBuf,
    before: String,
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, &self.before);
    }
}

fn incremental() -> Outcome<Vec<Figure>> {
    say("The programs after a changed line in a rule");
    let mut words = vec!["build", "--workspace"];
    words.extend(build::features());
    cargo(&words, &[])?;
    let path = root().join(RULE);
    let before = fs::read_to_string(&path)?;
    let line = "\n/// Measured: a line more.\npub const MEASURED: u32 = 1;\n";
    let changed = Changed { path, before };
    fs::write(&changed.path, format!("{}{line}", changed.before))?;
    let started = Instant::now();
    cargo(&words, &[])?;
    let spent = started.elapsed().as_secs_f64();
    drop(changed);
    cargo(&words, &[])?;
    Ok(vec![figure("build.incremental_seconds", spent, "s")])
}

/// Waits of a fresh clone: seconds of the first build, and of the tests' build on top of it.
struct Waited {
    build: f64,
    tests: Option<f64>,
}

/// Today's first build beside a revision's, and with `tests` both builds' tests as well. Today's clone stays,
/// for whoever tries the demo and the tests in it.
fn against(folder: &Path, revision: &str, tests: bool) -> Outcome<Vec<Figure>> {
    let now = waited(folder, "HEAD", build::features(), tests)?;
    let before = waited(folder, revision, &GPU, tests)?;
    keep(folder, revision)?;
    let ratio = |name: &str, before: f64, now: f64| Figure {
        name: name.to_owned(),
        value: before / now,
        unit: "x".to_owned(),
        peer: Some(format!("{revision} {before:.0} s, now {now:.0} s")),
        ratio: Some(before / now),
    };
    let mut figures = vec![ratio("build.cold_ratio", before.build, now.build)];
    if let (Some(a), Some(b)) = (before.tests, now.tests) {
        figures.push(ratio("build.pair_ratio", before.build + a, now.build + b));
    }
    Ok(figures)
}

/// The checkout of a revision while it is built.
fn clone(folder: &Path, revision: &str) -> PathBuf {
    folder.join(format!("clone-{revision}"))
}

/// Moves a built clone to a name of its own, without what only cargo needs.
fn keep(folder: &Path, revision: &str) -> Outcome {
    let built = clone(folder, revision);
    for part in ["deps", "build", "incremental", ".fingerprint"] {
        // Some are only there with some settings of cargo.
        let _ = fs::remove_dir_all(built.join("target/debug").join(part));
    }
    let kept = folder.join(revision);
    let _ = fs::remove_dir_all(&kept);
    fs::rename(built, kept)?;
    Ok(())
}

/// A checkout of [`REVISION`] with its programs and policies, and the revision's name.
pub(super) fn before() -> Outcome<(PathBuf, &'static str)> {
    let folder = root().join("target/bench-build");
    fs::create_dir_all(&folder)?;
    Ok((programs(&folder, REVISION)?, REVISION))
}

/// The engine of [`REVISION`] as a side of `bench tuning`, and the revision's name: kept, or built now.
pub(super) fn engine_before() -> Outcome<(PathBuf, &'static str)> {
    let folder = root().join("target/bench-build");
    let kept = folder.join(format!("engine-{REVISION}"));
    if !kept.is_file() {
        say(&format!("The engine of {REVISION}"));
        let clone = checkout(&folder, REVISION)?;
        let mut command = cargo_command();
        command
            .args(["build", "--quiet", "--package", "fedseal-tuning"])
            .args(["--example", "bench"])
            .current_dir(&clone);
        run(command.env_remove("CARGO_TARGET_DIR"))?;
        fs::copy(clone.join("target/debug/examples/bench"), &kept)?;
        fs::remove_dir_all(clone)?;
    }
    Ok((kept, REVISION))
}

/// A checkout of the revision with its programs and policies: kept, or built now.
fn programs(folder: &Path, revision: &str) -> Outcome<PathBuf> {
    let kept = folder.join(revision);
    if !kept.join("target/debug/fedseal").is_file() {
        waited(folder, revision, &[], false)?;
        keep(folder, revision)?;
    }
    Ok(kept)
}

/// A fresh clone at a revision, with its packages downloaded.
fn checkout(folder: &Path, revision: &str) -> Outcome<PathBuf> {
    fs::create_dir_all(folder)?;
    let clone = clone(folder, revision);
    let _ = fs::remove_dir_all(&clone);
    run(Command::new("git")
        .args(["clone", "--quiet"])
        .arg(root())
        .arg(&clone))?;
    run(Command::new("git")
        .args(["checkout", "--quiet", "--detach", revision])
        .current_dir(&clone))?;
    run(cargo_command().arg("fetch").current_dir(&clone))?;
    Ok(clone)
}

/// Builds a revision in a fresh clone; with `tests` its tests too, built with `words`.
fn waited(folder: &Path, revision: &str, words: &[&str], tests: bool) -> Outcome<Waited> {
    say(&format!("The first build of {revision}"));
    let clone = checkout(folder, revision)?;
    let mut command = cargo_command();
    command.args(["xtask", "build"]).current_dir(&clone);
    let build = timed(command.env_remove("CARGO_TARGET_DIR"))?;
    let mut spent = None;
    if tests {
        let mut command = cargo_command();
        command
            .args(["build", "--quiet", "--workspace"])
            .args(["--lib", "--bins", "--tests"])
            .args(words)
            .current_dir(&clone);
        spent = Some(timed(command.env_remove("CARGO_TARGET_DIR"))?);
    }
    Ok(Waited {
        build,
        tests: spent,
    })
}

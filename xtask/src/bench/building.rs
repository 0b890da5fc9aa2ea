//! `cargo xtask bench build [--against REV] [PART...]`: what a newcomer, an auditor and a contributor wait
//! for.
//!
//! - `audit`: `fedseal-audit` from cold, and its size stripped.
//! - `incremental`: the workspace's programs after a changed line in a rule.
//! - `cold`: `cargo xtask build` in a fresh clone, today's and the revision's, one after the other.
//! - `places`: how many files an extension of each kind touches ([`places`](super::places)).
//! - `pair`: the same, then the tests' build on top of it.
//!
//! Packages are downloaded before the clock starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Figure, write};
use crate::process::{cargo, root, run, say, seconds};
use crate::{Outcome, build, fail};

/// Parts that can be measured alone.
const PARTS: [&str; 5] = ["audit", "incremental", "places", "cold", "pair"];
/// The revision that `cold` and `pair` build beside today's.
const REVISION: &str = "35be59b";
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
    let folder = root().join("target/bench-build");
    fs::create_dir_all(&folder)?;
    for part in parts {
        let figures = match part {
            "audit" => audit(&folder)?,
            "incremental" => incremental()?,
            "places" => super::places::bench(&folder)?,
            "cold" => against(&folder, &revision, false)?,
            _ => against(&folder, &revision, true)?,
        };
        for figure in &figures {
            eprintln!("    {figure}");
        }
        write("build", &figures)?;
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
    let mut command = Command::new("cargo");
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

/// Today's first build beside a revision's.
fn against(folder: &Path, revision: &str, tests: bool) -> Outcome<Vec<Figure>> {
    let mut spent = Vec::new();
    for name in [revision, "HEAD"] {
        say(&format!("The first build of {name}"));
        let clone = folder.join("clone");
        let _ = fs::remove_dir_all(&clone);
        run(Command::new("git")
            .args(["clone", "--quiet"])
            .arg(root())
            .arg(&clone))?;
        run(Command::new("git")
            .args(["checkout", "--quiet", "--detach", name])
            .current_dir(&clone))?;
        run(Command::new("cargo").arg("fetch").current_dir(&clone))?;
        let mut command = Command::new("cargo");
        command.args(["xtask", "build"]).current_dir(&clone);
        let mut sum = timed(command.env_remove("CARGO_TARGET_DIR"))?;
        if tests {
            let mut command = Command::new("cargo");
            command
                .args([
                    "build",
                    "--quiet",
                    "--workspace",
                    "--lib",
                    "--bins",
                    "--tests",
                ])
                .args(match name {
                    // It has the GPU device everywhere.
                    "HEAD" => build::features(),
                    _ => &["--features", "fedseal/wgpu"],
                })
                .current_dir(&clone);
            sum += timed(command.env_remove("CARGO_TARGET_DIR"))?;
        }
        spent.push(sum);
        fs::remove_dir_all(&clone)?;
    }
    let [before, now] = spent.as_slice() else {
        return fail("two builds were asked for");
    };
    let name = if tests {
        "build.pair_ratio"
    } else {
        "build.cold_ratio"
    };
    Ok(vec![Figure {
        name: name.to_owned(),
        value: before / now,
        unit: "x".to_owned(),
        peer: Some(format!("{revision} {before:.0} s, now {now:.0} s")),
        ratio: Some(before / now),
    }])
}

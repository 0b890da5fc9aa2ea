//! Reading of a gigabyte of Parquet, beside the reader of our own that there was before the crate `parquet`.
//!
//! Both read the same file into conversations, in turn, each in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Figure;
use super::worker::median;
use crate::process::{cargo, cargo_command, output, root, run, say, target};
use crate::{Outcome, fail, python};

/// The last revision whose reader was measured before it went.
const FORMER: &str = "35be59b";
/// Its data files, from the root.
const SOURCES: &str = "server/tuning/src/data";

/// Program around the former reader: its crate as far as it is needed, and the question.
const MAIN: &str = r#"//! The reader of data files of an earlier revision, as `cargo xtask bench tuning parquet` asks it.
#![allow(dead_code, unused_imports)]

mod data;

pub use data::{Conversation, DataFile, DataFormat, DataOptions, Example, Layout, Message, Role};

#[derive(Debug)]
pub enum TuningError {
    Io { path: std::path::PathBuf, source: std::io::Error },
    Data { path: std::path::PathBuf, row: u64, field: String, problem: String },
}

impl TuningError {
    pub(crate) fn io(path: impl Into<std::path::PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

fn main() {
    let file = std::env::args().nth(1).expect("a file");
    let begun = std::time::Instant::now();
    let (mut rows, mut bytes) = (0u64, 0usize);
    let options = DataOptions::default();
    for conversation in DataFile::open(file.as_ref(), &options).expect("a data file") {
        let messages = conversation.expect("a row").messages;
        rows += 1;
        bytes += messages.iter().map(|it| it.content.len()).sum::<usize>();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{{\"rows\":{rows},\"bytes\":{bytes},\"seconds\":{seconds}}}");
}
"#;

/// Dependencies and profile are those that the reader had in the workspace.
const MANIFEST: &str = r#"[package]
name = "former_parquet"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
ruzstd = { version = "0.9", default-features = false, features = ["std"] }
serde = { version = "1.0", features = ["derive"] }
serde_json = { version = "1.0", features = ["float_roundtrip"] }
snap = "1.1"

[profile.dev]
opt-level = 3
debug = "line-tables-only"
overflow-checks = true

[profile.dev.package."*"]
opt-level = 3
debug = false
debug-assertions = false
overflow-checks = false
"#;

/// One reading of the file.
struct Reading {
    rows: f64,
    bytes: f64,
    seconds: f64,
    /// Peak memory of the process, KiB; none where the system does not say it.
    peak: Option<f64>,
}

/// Measures both, `rounds` times in turn.
pub(super) fn reading(rounds: usize) -> Outcome<Vec<Figure>> {
    let file = file()?;
    let former = former()?;
    say("Building the reader");
    // The whole workspace's features, so that nothing is built twice.
    cargo(&["build", "--workspace", "--example", "oracle_files"], &[])?;
    let ours = target().join("debug/examples/oracle_files");
    let size = fs::metadata(&file)?.len() as f64;
    say("Reading, in turn");
    let ask = |program: &Path, words: &[&str]| read(Command::new(program).args(words).arg(&file));
    let (mut times, mut peak) = ([Vec::new(), Vec::new()], 0.0_f64);
    // The first reading of each brings the file into memory, and is not counted.
    for round in 0..=rounds {
        let both = [ask(&former, &[])?, ask(&ours, &["time"])?];
        if (both[0].rows, both[0].bytes) != (both[1].rows, both[1].bytes) {
            return fail(format!(
                "{FORMER} read {} rows with {} bytes of text, today's reader {} with {}",
                both[0].rows, both[0].bytes, both[1].rows, both[1].bytes
            ));
        }
        eprintln!(
            "    {round} of {rounds}: {FORMER} {:.2} s, now {:.2} s",
            both[0].seconds, both[1].seconds
        );
        peak = peak.max(both[1].peak.unwrap_or_default());
        for (times, reading) in times.iter_mut().zip(&both) {
            if round > 0 {
                times.push(reading.seconds);
            }
        }
    }
    let [former, ours] = times.map(|times| median(&times));
    let peer = format!("against our own reader of {FORMER}");
    let mut figures = vec![
        Figure {
            name: "parquet.read_mb_per_s".to_owned(),
            value: size / 1e6 / ours,
            unit: "MB/s".to_owned(),
            peer: None,
            ratio: None,
        },
        Figure {
            name: "parquet.read_ratio".to_owned(),
            value: former / ours,
            unit: "times".to_owned(),
            peer: Some(peer),
            ratio: Some(former / ours),
        },
    ];
    if peak > 0.0 {
        figures.push(Figure {
            name: "parquet.peak_mb".to_owned(),
            value: peak / 1024.0,
            unit: "MiB".to_owned(),
            peer: None,
            ratio: None,
        });
    }
    Ok(figures)
}

/// Writes the file, once for each version of its script.
fn file() -> Outcome<PathBuf> {
    let script = root().join("tests/oracles/bench/parquet.py");
    let folder = root().join("target/bench");
    let (file, stamp) = (folder.join("reading.parquet"), folder.join("reading.py"));
    let wanted = fs::read(&script)?;
    if file.exists() && fs::read(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(file);
    }
    let python = python::with(
        "files",
        &root().join("tests/oracles/files/requirements.txt"),
    )?;
    say("Writing a gigabyte of Parquet with pyarrow");
    fs::create_dir_all(&folder)?;
    run(Command::new(python).arg(script).arg(&file))?;
    fs::write(stamp, wanted)?;
    Ok(file)
}

/// Builds the former reader out of the repository's history.
fn former() -> Outcome<PathBuf> {
    let folder = root().join("target/bench-parquet");
    let built = target().join("debug/former_parquet");
    say(&format!("Building the reader of {FORMER}"));
    let checkout = root();
    let checkout = checkout.to_string_lossy().into_owned();
    let git = |words: &[&str]| output("git", &[&["-C", &checkout], words].concat());
    let Some(names) = git(&["ls-tree", "-r", "--name-only", FORMER, SOURCES]) else {
        return fail(format!(
            "{FORMER} is not in this checkout: the former reader is built out of the history (`git fetch \
             --unshallow`)"
        ));
    };
    for name in names.lines() {
        let Some(path) = name.strip_prefix(SOURCES) else {
            continue;
        };
        let Some(text) = git(&["show", &format!("{FORMER}:{name}")]) else {
            return fail(format!("git does not show {name} of {FORMER}"));
        };
        let path = folder.join("src/data").join(path.trim_start_matches('/'));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text + "\n")?;
    }
    fs::write(folder.join("src/main.rs"), MAIN)?;
    fs::write(folder.join("Cargo.toml"), MANIFEST)?;
    // Its dependencies have the versions of today's.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    run(cargo_command()
        .args(["build", "--quiet"])
        .env("CARGO_TARGET_DIR", target())
        .current_dir(&folder))?;
    Ok(built)
}

/// Runs a reader and reads the object that it prints.
fn read(command: &mut Command) -> Outcome<Reading> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return fail(format!("{shown} ended with {}", output.status));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| answer.get(name).and_then(Value::as_f64);
    match (number("rows"), number("bytes"), number("seconds")) {
        (Some(rows), Some(bytes), Some(seconds)) if rows > 0.0 && seconds > 0.0 => Ok(Reading {
            rows,
            bytes,
            seconds,
            peak: number("peak_kib"),
        }),
        _ => fail(format!("{shown} printed {answer}, which is no reading")),
    }
}

//! `cargo xtask fuzz`: hostile bytes into every reader, for as long as asked.
//!
//! The targets are those of `fuzz/`, a workspace of its own that cargo-fuzz builds with coverage
//! and the address sanitizer below `target/fuzz`. What they find stays in
//! `target/fuzz/findings/TARGET`, what they learn in `target/fuzz/corpus/TARGET`.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::process::{exists, output, root, run, say, without_own};
use crate::readme::keep;
use crate::{Outcome, fail, setup};

/// A reader of bytes from outside, the engine under options from outside, or the host of modules
/// from outside.
struct Target {
    /// Name of the binary in `fuzz/Cargo.toml`, and of its folder below `fuzz/seeds`.
    name: &'static str,
    /// The feature of `fuzz/Cargo.toml` that brings the room it fuzzes.
    feature: &'static str,
    /// More seeds: files of a folder that end so.
    more: Option<(&'static str, &'static [&'static str])>,
    /// And so many of [`MADE_BYTES`] bytes that look random.
    made: u64,
    /// The fuzzer's own options.
    options: &'static [&'static str],
}

const DATA: &str = "server/tuning/tests/data";

const TARGETS: [Target; 9] = [
    Target {
        name: "safetensors",
        feature: "tuning",
        more: None,
        made: 0,
        options: &[],
    },
    Target {
        name: "gguf",
        feature: "tuning",
        more: None,
        made: 0,
        options: &[],
    },
    Target {
        name: "config",
        feature: "tuning",
        more: None,
        made: 0,
        options: &[],
    },
    Target {
        name: "tokenizer",
        feature: "tuning",
        more: None,
        made: 0,
        options: &[],
    },
    Target {
        name: "data_json",
        feature: "tuning",
        more: Some((DATA, &["json", "jsonl"])),
        made: 0,
        options: &[],
    },
    Target {
        name: "data_arrow",
        feature: "tuning",
        more: Some((DATA, &["arrow"])),
        made: 0,
        options: &[],
    },
    Target {
        name: "data_parquet",
        feature: "tuning",
        more: Some((DATA, &["parquet"])),
        made: 0,
        options: &[],
    },
    Target {
        name: "options",
        feature: "tuning",
        more: None,
        made: 16,
        options: &[],
    },
    Target {
        name: "sandbox",
        feature: "sandbox",
        more: None,
        // An input runs through the whole compiler. With the entropic schedule nearly all of the
        // time would go into what the fuzzer keeps of a hundred thousand features an input; and from
        // short inputs on, with lengths that grow by and by, it would see but the smallest modules.
        made: 64,
        options: &["-entropic=0", "-len_control=0"],
    },
];

/// Bytes of a made seed: enough for a module with something in every section.
const MADE_BYTES: usize = 2048;
/// Seconds of a target without `--seconds`.
const SECONDS: u64 = 600;
/// Memory of a target, MiB: beyond it, an input is a finding.
const MEMORY: u64 = 2048;
/// Seconds of one input: beyond it, it is a finding.
const TIMEOUT: u64 = 20;

/// `cargo xtask fuzz TARGET|all [--seconds N]`.
pub(crate) fn fuzz(arguments: &[String]) -> Outcome {
    let names = TARGETS.map(|target| target.name).join(", ");
    let usage = format!("`cargo xtask fuzz TARGET|all [--seconds N]`; targets: {names}");
    let (name, seconds) = match arguments {
        [name] => (name, SECONDS),
        [name, option, seconds] if option == "--seconds" => match seconds.parse() {
            Ok(seconds) => (name, seconds),
            Err(_) => return fail(usage),
        },
        _ => return fail(usage),
    };
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| name == "all" || name == target.name)
        .collect();
    if chosen.is_empty() {
        return fail(usage);
    }
    setup::for_build()?;
    cargo_fuzz()?;
    let mut found = Vec::new();
    for target in chosen {
        build(target)?;
        if !search(target, seconds)? {
            found.push(target.name);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    fail(format!(
        "findings of {}: the inputs are below target/fuzz/findings; run one again with \
         target/fuzz/*/release/TARGET FILE",
        found.join(", ")
    ))
}

fn cargo_fuzz() -> Outcome {
    if exists("cargo-fuzz") {
        return Ok(());
    }
    say("Installing cargo-fuzz");
    run(clean(Command::new("cargo").args([
        "install",
        "--locked",
        "cargo-fuzz",
    ])))
}

/// Removes the variables that `cargo run` sets for this program or that would choose another toolchain.
fn clean(command: &mut Command) -> &mut Command {
    without_own(command);
    for name in ["CARGO", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command.current_dir(root())
}

/// Sanitizers are unstable: a nightly toolchain where there is one, else the usual compiler with
/// the variable that makes it take unstable options.
fn build(target: &Target) -> Outcome {
    say(&format!("Building fuzz target {}", target.name));
    let nightly = output("rustup", &["toolchain", "list"])
        .is_some_and(|list| list.lines().any(|line| line.starts_with("nightly")));
    let mut command;
    if nightly {
        command = Command::new("rustup");
        command.args(["run", "nightly", "cargo"]);
    } else {
        command = Command::new("cargo");
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.args(["fuzz", "build", "--fuzz-dir", "fuzz", "--target-dir"]);
    command.arg(folder());
    command.args(["--features", target.feature, target.name]);
    run(clean(&mut command))
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

/// The binary that [`build`] made: below the host's triple.
fn binary(target: &Target) -> Outcome<PathBuf> {
    for entry in fs::read_dir(folder())? {
        let path = entry?.path().join("release").join(target.name);
        if path.is_file() {
            return Ok(path);
        }
    }
    fail(format!("target/fuzz has no {}", target.name))
}

/// Copies the seeds into the corpus, which the fuzzer extends.
fn seed(target: &Target, corpus: &Path) -> Outcome {
    fs::create_dir_all(corpus)?;
    let own = root().join("fuzz/seeds").join(target.name);
    let copy = |folder: &Path, endings: Option<&[&str]>| -> Outcome {
        if !folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            let wanted = endings.is_none_or(|all| ending.is_some_and(|it| all.contains(&it)));
            if let (true, true, Some(name)) = (wanted, path.is_file(), path.file_name()) {
                fs::copy(&path, corpus.join(name))?;
            }
        }
        Ok(())
    };
    copy(&own, None)?;
    for number in 0..target.made {
        fs::write(corpus.join(format!("made-{number}")), made(number))?;
    }
    match target.more {
        Some((folder, endings)) => copy(&root().join(folder), Some(endings)),
        None => Ok(()),
    }
}

/// Bytes of SplitMix64 (Steele, Lea, Flood 2014) from this state on: the same at each call.
fn made(state: u64) -> Vec<u8> {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let words = (1..=MADE_BYTES as u64 / 8).map(|at| {
        let z = state.wrapping_shl(32).wrapping_add(at.wrapping_mul(STEP));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    words.flat_map(u64::to_le_bytes).collect()
}

/// Runs a target and keeps its figures; whether it found nothing.
fn search(target: &Target, seconds: u64) -> Outcome<bool> {
    say(&format!("Fuzzing {} for {seconds} s", target.name));
    let corpus = folder().join("corpus").join(target.name);
    let findings = folder().join("findings").join(target.name);
    seed(target, &corpus)?;
    fs::create_dir_all(&findings)?;
    let known = count(&findings)?;
    let mut command = Command::new(binary(target)?);
    command
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args(["-print_final_stats=1", "-seed=1"])
        .args(target.options)
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .current_dir(root());
    let started = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut log = fs::File::create(folder().join(format!("{}.log", target.name)))?;
    let mut executions = 0;
    let mut said = Instant::now();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            writeln!(log, "{line}")?;
            if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
                executions = rest.trim().parse().unwrap_or(executions);
            }
            let progress = line.starts_with('#');
            if progress && said.elapsed().as_secs() >= 30 {
                said = Instant::now();
                eprintln!("    {line}");
            }
            if line.contains("ERROR") || line.contains("panicked at") {
                eprintln!("    {line}");
            }
        }
    }
    let good = child.wait()?.success();
    let crashes = count(&findings)?.saturating_sub(known);
    let spent = started.elapsed().as_secs_f64();
    eprintln!("    {executions} executions in {spent:.0} s, {crashes} findings");
    let command = format!("cargo xtask fuzz {} --seconds {seconds}", target.name);
    for (what, value, unit) in [
        ("seconds", spent, "s"),
        ("executions", executions as f64, "count"),
        ("crashes", crashes as f64, "count"),
    ] {
        let figure = (format!("fuzz.{}.{what}", target.name), value);
        keep("fuzz", &command, &[figure], unit)?;
    }
    Ok(good && crashes == 0)
}

fn count(folder: &Path) -> Outcome<usize> {
    Ok(fs::read_dir(folder)?.count())
}

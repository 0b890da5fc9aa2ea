//! A thousand clients in each of ten rounds, beside pfl's simulation of as many, in turn.
//!
//! - `clients.per_second`: client runs a second of the whole path without training (sandbox, attestation, signature,
//!   log, admission, FedAvg), from the set-up to the report; `clients.pfl_ratio` how many times pfl's;
//!   `clients.peak_mb` its memory.
//! - `clients.trained_per_second`: with a step of 8 examples on the embedded model, in two rounds;
//!   `clients.overhead_share` the share of its time that is not training; `clients.trained_peak_mb` its memory.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::super::worker::median;
use super::{Figure, figure};
use crate::process::{cargo, exists, root, say, target};
use crate::{Outcome, build, fail, python};

/// Clients of a round, and rounds, of the peer; ours are in the example.
const SIZES: [&str; 2] = ["1000", "10"];
/// Processes of the peer.
const PROCESSES: &str = "2";
/// Longest run of the peer, seconds: processes that wait for each other wait for half an hour.
const LONGEST: &str = "1800";

pub(super) fn figures(rounds: usize) -> Outcome<Vec<Figure>> {
    let folder = root().join("tests/oracles/pfl");
    let python = python::with("pfl", &folder.join("requirements.txt"))?;
    say("Building our side");
    // The whole workspace's features, so that nothing is built twice.
    let mut words = vec!["build", "--workspace", "--bin", "fedseal-compile"];
    words.extend(["--example", "bench_sandbox"]);
    words.extend(build::features());
    cargo(&words, &[])?;
    let (mut ours, mut ratios, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak = 0.0_f64;
    for round in 1..=rounds {
        say(&format!(
            "1,000 clients and pfl's, pair {round} of {rounds}"
        ));
        // Whoever goes first finds the machine otherwise than who goes second.
        let (own, peer) = match round % 2 {
            1 => {
                let own = example("thousand")?;
                (own, pfl(&python, &folder)?)
            }
            _ => {
                let peer = pfl(&python, &folder)?;
                (example("thousand")?, peer)
            }
        };
        peak = peak.max(one(&own, "clients.peak_mb")?);
        let own = one(&own, "clients.per_second")?;
        eprintln!("    {own:.0} a second, pfl {peer:.0}");
        ours.push(own);
        ratios.push(own / peer);
        theirs.push(peer);
    }
    let peer = format!(
        "pfl 0.6.0, logistic regression, 50 examples, {PROCESSES} processes: {:.0} a second",
        median(&theirs)
    );
    Ok(vec![
        Figure {
            peer: Some(peer),
            ratio: Some(median(&ratios)),
            ..figure("clients.per_second", median(&ours), "1/s")
        },
        figure("clients.pfl_ratio", median(&ratios), "times"),
        figure("clients.peak_mb", peak, "MiB"),
    ])
}

/// Figures of clients that train, by the program that [`figures`] built: three thousand training steps, a minute or
/// two. It says how far it is.
pub(super) fn trained() -> Outcome<Vec<Figure>> {
    say("1,000 clients with a training step each: a round's steps alone, then 2 rounds");
    let trained = example("thousand-trained")?;
    let mut figures = Vec::new();
    for (name, unit) in [
        ("clients.trained_per_second", "1/s in 2 rounds"),
        ("clients.overhead_share", "share of 2 rounds"),
        ("clients.trained_peak_mb", "MiB in 2 rounds"),
    ] {
        figures.push(figure(name, one(&trained, name)?, unit));
    }
    Ok(figures)
}

/// Lines of a part of our side.
fn example(part: &str) -> Outcome<Vec<Value>> {
    let program = target().join("debug/examples/bench_sandbox");
    lines(Command::new(program).arg(part).current_dir(root()))
}

/// Client runs a second of pfl.
fn pfl(python: &Path, folder: &Path) -> Outcome<f64> {
    // It ends all of its processes.
    let mut command = match exists("timeout") {
        true => {
            let mut command = Command::new("timeout");
            command.arg(LONGEST).arg(python);
            command
        }
        false => Command::new(python),
    };
    command
        .args(["-m", "torch.distributed.run", "--standalone"])
        // A machine's own name may lead nowhere.
        .args(["--local-addr", "127.0.0.1", "--nproc_per_node", PROCESSES])
        .arg(folder.join("clients.py"))
        .args(SIZES)
        .env("OMP_NUM_THREADS", "1");
    if cfg!(target_os = "linux") {
        command.env("GLOO_SOCKET_IFNAME", "lo");
    }
    let said = lines(&mut command)?;
    let number = |key: &str| said.iter().find_map(|line| line.get(key)?.as_f64());
    match (number("clients"), number("rounds"), number("seconds")) {
        (Some(clients), Some(rounds), Some(seconds)) if seconds > 0.0 => {
            Ok(clients * rounds / seconds)
        }
        _ => fail(format!("pfl did not say what it did: {said:?}")),
    }
}

/// Lines of JSON that a command prints.
fn lines(command: &mut Command) -> Outcome<Vec<Value>> {
    let ran = command.stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    match ran.status.success() {
        true => Ok(said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()),
        false => fail(format!("{command:?} failed: {said}")),
    }
}

/// The value of a figure.
fn one(lines: &[Value], name: &str) -> Outcome<f64> {
    let found = lines
        .iter()
        .find(|line| line.get("name").and_then(Value::as_str) == Some(name));
    match found.and_then(|line| line.get("value")?.as_f64()) {
        Some(value) => Ok(value),
        None => fail(format!("nobody said {name}: {lines:?}")),
    }
}

//! Benchmark behind `cargo xtask bench sandbox`: the sandbox, a client's whole run and the log, each
//! measured in rounds of which the median counts. One figure a line, as JSON.
//!
//! ```text
//! bench_sandbox [sandbox|clients|round|log|sha256|thousand|thousand-trained]... [--rounds N]
//!               [--entries N] [--folder DIR] [--models DIR]
//! ```
//!
//! The last two are measured where they are named alone.

mod clients;
mod guests;
mod logs;
mod round;
mod sha;
mod thousand;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

/// Result of every part.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Options from the arguments.
pub struct Options {
    /// Measurements of which the median counts.
    rounds: usize,
    /// Entries of the log whose proofs and check are timed.
    entries: u64,
    /// Where logs and blobs are written: on the disk that is measured.
    folder: PathBuf,
    /// Where `smollm2` is.
    models: PathBuf,
}

fn main() -> Outcome {
    let mut options = Options {
        rounds: 5,
        entries: 10_000_000,
        folder: "target/bench-sandbox".into(),
        models: "models".into(),
    };
    let mut parts = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
            "--entries" => options.entries = value()?.parse::<u64>()?.max(1),
            "--folder" => options.folder = value()?.into(),
            "--models" => options.models = value()?.into(),
            "sandbox" | "sha256" | "clients" | "round" | "log" | "thousand"
            | "thousand-trained" => {
                parts.push(word);
            }
            other => return Err(format!("unknown word {other:?}").into()),
        }
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    if wanted("sandbox") {
        guests::bench(&options)?;
    }
    if wanted("sha256") {
        sha::bench(&options)?;
    }
    if wanted("clients") {
        clients::bench(&options)?;
    }
    if wanted("round") {
        round::bench(&options)?;
    }
    if wanted("log") {
        logs::bench(&options)?;
    }
    let named = |part: &str| parts.iter().any(|word| word == part);
    if named("thousand") {
        thousand::untrained(&options)?;
    }
    if named("thousand-trained") {
        thousand::trained(&options)?;
    }
    Ok(())
}

/// Prints one figure.
pub fn figure(name: &str, value: f64, unit: &str) {
    println!("{}", json!({"name": name, "value": value, "unit": unit}));
}

/// Prints one figure next to a peer's; `ratio` says how many times better ours is.
pub fn beside(name: &str, value: f64, unit: &str, peer: &str, ratio: f64) {
    println!(
        "{}",
        json!({"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio})
    );
}

/// The middle one; of an even number the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

/// Seconds of one call.
pub fn seconds(work: impl FnOnce() -> Outcome) -> Result<f64, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

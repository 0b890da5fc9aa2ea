//! `cargo xtask bench tuning`: the engine beside torch + peft, transformers and llama.cpp, and its reader of
//! Parquet beside the former one ([`parquet`]).
//! `cargo xtask bench sandbox`: guests, whole client runs and the log ([`sandbox`]).
//! `cargo xtask bench build`: what building takes ([`building`]).
//! `cargo xtask bench aggregation`: rules beside other packages and memory's bandwidth ([`aggregation`]).
//! `cargo xtask bench gpu`: a device beside the CPU ([`gpu`]).
//! `cargo xtask bench web`: the report pages ([`web`]).
//! `cargo xtask bench federation`: nodes and a coordinator that are killed, and how many they may be
//! ([`federation`]).
//!
//! In `tuning` every side is a process that holds its model and waits. They are asked in turn, so that
//! what slows the machine slows all of them alike. Each gets its best number of threads, found by one
//! trial, and the peer its best dtype. Medians are compared.

mod aggregation;
mod building;
mod demos;
mod federation;
mod gpu;
mod parquet;
mod places;
mod plan;
mod sandbox;
mod web;
mod worker;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::process::{cargo, commit, root, run, say};
use crate::{Outcome, build, fail, python, readme};

/// Options that the arguments give.
struct Options {
    rounds: usize,
    /// The one part that is wanted; all of them without a name.
    part: Option<String>,
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.part.as_deref().is_none_or(|only| only == part)
    }
}

/// `cargo xtask bench tuning [--rounds N] [train|generate|parquet]`,
/// `cargo xtask bench sandbox [--rounds N] [--entries N] [PART...]`.
pub(crate) fn bench(arguments: &[String]) -> Outcome {
    let rest = match arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        Some(("tuning", rest)) => rest,
        Some(("sandbox", rest)) => return sandbox::bench(rest),
        Some(("build", rest)) => return building::bench(rest),
        Some(("aggregation", rest)) => return aggregation::bench(rest),
        Some(("gpu", rest)) => return gpu::bench(rest),
        Some(("web", rest)) => return web::bench(rest),
        Some(("federation", rest)) => return federation::bench(rest),
        _ => {
            return fail(
                "bench what? known: aggregation, tuning, gpu, sandbox, build, web, federation",
            );
        }
    };
    let mut options = Options {
        rounds: 5,
        part: None,
    };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                options.rounds = number
                    .filter(|rounds| *rounds > 0)
                    .ok_or_else(|| crate::Failure("--rounds needs a number above 0".to_owned()))?;
            }
            "train" | "generate" | "earlier" | "parquet" => options.part = Some(word.clone()),
            other => return fail(format!("unknown option {other:?}; see `cargo xtask help`")),
        }
    }
    tuning(&options)
}

fn tuning(options: &Options) -> Outcome {
    if ["train", "generate", "earlier"]
        .iter()
        .any(|part| options.wants(part))
    {
        engine(options)?;
    }
    if options.wants("parquet") {
        done(options, &parquet::reading(options.rounds)?)?;
    }
    if options.rounds < 5 {
        eprintln!("    fewer than 5 rounds: target/figures is left as it is");
    }
    Ok(())
}

/// Shows the figures of a part and keeps them: it counts when it is done, whatever becomes of those after it.
fn done(options: &Options, figures: &[Figure]) -> Outcome {
    say("Results");
    for figure in figures {
        eprintln!("    {figure}");
    }
    match options.rounds >= 5 {
        true => write("bench-tuning", "tuning", figures),
        false => Ok(()),
    }
}

fn engine(options: &Options) -> Outcome {
    say("Building the engine's side");
    cargo(
        &[
            // The whole workspace's features, so that nothing is built twice.
            "build",
            "--workspace",
            "--example",
            "bench",
            "--bin",
            "fedseal",
        ],
        &[],
    )?;
    let scripts = root().join("tests/oracles/bench");
    // The packages that the oracle of the same engine uses.
    let requirements = root().join("tests/oracles/tuning/requirements.txt");
    let python = python::with("tuning", &requirements)?;
    run(build::fedseal().args(["fetch", "smollm2"]))?;
    let setting = plan::Setting {
        engine: example()?,
        llama: python::has(&python, "llama_cpp")
            || python::try_install(&python, "llama-cpp-python"),
        python,
        scripts,
        model: gguf()?,
        rounds: options.rounds,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    };
    if !setting.llama {
        eprintln!("    llama-cpp-python cannot be installed here: its figure is left out");
    }
    type Part = fn(&plan::Setting) -> Outcome<Vec<Figure>>;
    let parts: [(&str, Part); 4] = [
        ("train", |setting| plan::training(setting, "smollm2")),
        ("train", |setting| plan::training(setting, "d256")),
        ("generate", plan::loading),
        ("generate", plan::generation),
    ];
    for (_, part) in parts.into_iter().filter(|(name, _)| options.wants(name)) {
        done(options, &part(&setting)?)?;
    }
    if options.wants("earlier") {
        let (before, revision) = building::engine_before()?;
        done(options, &plan::earlier(&setting, &before, revision)?)?;
    }
    Ok(())
}

/// One measured number.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: String,
    /// The peer that it is compared with, and the ratio by which it is better.
    peer: Option<String>,
    ratio: Option<f64>,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<44} {:>10.3} {}", self.name, self.value, self.unit)?;
        match &self.peer {
            Some(peer) => write!(f, "  ({peer})"),
            None => Ok(()),
        }
    }
}

/// Replaces the figures of these names in `target/figures/FILE.json`.
fn write(file: &str, bench: &str, figures: &[Figure]) -> Outcome {
    let commit = commit();
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let figures: Vec<Map<String, Value>> = figures
        .iter()
        .filter_map(|figure| {
            let value = json!({
                "name": figure.name, "value": rounded(figure.value), "unit": figure.unit,
                "peer": figure.peer, "ratio": figure.ratio.map(rounded), "commit": commit,
                "machine": readme::machine(),
                "command": format!("cargo xtask bench {bench}"),
            });
            value.as_object().cloned()
        })
        .collect();
    readme::replace(file, figures)
}

fn example() -> Outcome<PathBuf> {
    let fedseal = PathBuf::from(build::fedseal().get_program());
    match fedseal.parent().map(|folder| folder.join("examples/bench")) {
        Some(path) if path.exists() => Ok(path),
        _ => fail("the example bench was not built"),
    }
}

/// SmolLM2's GGUF file.
fn gguf() -> Outcome<PathBuf> {
    let folder = root().join("models/smollm2");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "gguf")
        })
        .collect();
    files.sort();
    match files.into_iter().next() {
        Some(file) => Ok(file),
        None => fail(format!("{}: no .gguf file", folder.display())),
    }
}

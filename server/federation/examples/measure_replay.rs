//! Measures the distance between the results of engines for one update, for `cargo xtask oracle replay`.
//!
//! `measure_replay TABLE MODELS ENGINE ENGINE... -- EXPERIMENT[@MODEL]...`: an engine is a device and a
//! numeric mode, for example `cpu exact`. Each experiment gives model, adapter and AdamW's settings; MODEL
//! takes the place of its model. Every pair of engines is measured, and every engine with itself where it
//! does not repeat its bits. Their entries in TABLE for this machine are written anew after each
//! experiment, the others stay. An experiment whose model is not in MODELS is skipped. `FEDSEAL_CARD`
//! names the card.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use fedseal_data::world::World;
use fedseal_data::{Example, ShardKind, ShardRequest, TaskData};
use fedseal_federation::lab::{Lab, TuningLab};
use fedseal_federation::replay::distance;
use fedseal_federation::replay::tolerance::{Case, Pair, Tolerances, training_name};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::experiment::adapter_config;
use fedseal_sandbox::{Engine, TrainOptions};
use fedseal_tuning::Adapter;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Steps of an update.
const STEPS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Learning rates, from the lowest at the end of a schedule to the highest at the start of one.
const RATES: [f64; 3] = [1e-4, 1e-3, 4e-3];
/// Clients whose shards are trained on: one honest, one with unaligned data.
const CLIENTS: usize = 2;
/// Steps of tuning of a global adapter that is not fresh.
const WARM: u32 = 24;

/// A line above the table.
const HEAD: &str = "\
# How far apart two engines make one update, as a share of the update's length: the largest of each case.
# Made by `cargo xtask oracle replay`, which trains each update on both engines; not written by hand.

";

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut halves = arguments.splitn(2, |word| word == "--");
    let (Some([table, models, engines @ ..]), Some(experiments)) = (halves.next(), halves.next())
    else {
        return Err("arguments: TABLE MODELS ENGINE ENGINE... -- EXPERIMENT...".into());
    };
    let mut known: Tolerances = toml::from_str(&std::fs::read_to_string(table)?)?;
    let mut measured: BTreeMap<[String; 2], Vec<Case>> = BTreeMap::new();
    for words in experiments {
        let (path, model) = words
            .split_once('@')
            .map_or((words.as_str(), None), |(path, model)| (path, Some(model)));
        let mut experiment = Experiment::load(path)?;
        if let Some(model) = model {
            experiment.model.source = model.into();
        }
        let mut labs = Vec::new();
        for engine in engines {
            let (device, numerics) = engine
                .split_once(' ')
                .ok_or_else(|| format!("{engine:?} is no device and numeric mode"))?;
            let mut own = experiment.clone();
            own.run.numerics = numerics.into();
            match TuningLab::load(&own, Path::new(models), device) {
                Ok((lab, _)) => labs.push(lab),
                Err(error @ fedseal_federation::Error::Missing { .. }) => {
                    eprintln!("    {path} is left out: {error}");
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if labs.len() == engines.len() {
            measure(path, &experiment, &labs, &mut measured)?;
            write(table, &mut known, &measured)?;
        }
    }
    Ok(())
}

/// Puts what was measured so far into the table's file.
fn write(
    table: &str,
    known: &mut Tolerances,
    measured: &BTreeMap<[String; 2], Vec<Case>>,
) -> Outcome {
    for (engines, cases) in measured {
        known.put(Pair {
            engines: engines.clone(),
            measured_on: place(),
            cases: cases.clone(),
        });
    }
    std::fs::write(table, format!("{HEAD}{}", toml::to_string(known)?))?;
    Ok(())
}

/// The processor, and the card where `FEDSEAL_CARD` names one.
fn place() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    match std::env::var("FEDSEAL_CARD") {
        Ok(card) => format!("{card}, {name}"),
        Err(_) => name.to_owned(),
    }
}

/// Every case of one experiment on every pair of its labs.
fn measure(
    path: &str,
    experiment: &Experiment,
    labs: &[TuningLab],
    measured: &mut BTreeMap<[String; 2], Vec<Case>>,
) -> Outcome {
    let Some(first) = labs.first() else {
        return Err("no engine".into());
    };
    let stem = Path::new(path)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let source = Path::new(&experiment.model.source);
    let source = source.file_stem().unwrap_or_default().to_string_lossy();
    let model = format!("{source}, {stem}");
    let fresh = first.initial(&adapter_config(experiment), 1)?;
    let data = shard(experiment, 0)?;
    let warm = train(first, &fresh, &data, experiment, (WARM, 1e-3), 0)?;
    for steps in STEPS {
        for rate in RATES {
            let mut largest: BTreeMap<[String; 2], (u32, f64)> = BTreeMap::new();
            for client in 0..CLIENTS {
                let data = shard(experiment, client)?;
                for start in [&fresh, &warm] {
                    let seed = client as u64;
                    let make =
                        |lab: &TuningLab| train(lab, start, &data, experiment, (steps, rate), seed);
                    let made: Vec<Adapter> = labs.iter().map(make).collect::<Outcome<_>>()?;
                    let twice = |lab: &&TuningLab| !lab.repeats_bits();
                    let again: Vec<(&TuningLab, Adapter)> = labs
                        .iter()
                        .filter(twice)
                        .map(|lab| Ok((lab, make(lab)?)))
                        .collect::<Outcome<_>>()?;
                    let all: Vec<(&TuningLab, &Adapter)> = labs
                        .iter()
                        .zip(&made)
                        .chain(again.iter().map(|(lab, adapter)| (*lab, adapter)))
                        .collect();
                    for (index, (one, a)) in all.iter().enumerate() {
                        for (other, b) in all.iter().skip(index + 1) {
                            let mut engines = [*one, *other]
                                .map(|lab| training_name(&Lab::fingerprint(lab)).to_owned());
                            engines.sort();
                            let apart =
                                |a, b| distance(a, b, start).ok_or("adapters of two shapes");
                            // An update is logged by either engine.
                            let apart = f64::max(apart(a, b)?, apart(b, a)?);
                            if !apart.is_finite() {
                                return Err(format!("{model}: an update that is not finite").into());
                            }
                            let slot = largest.entry(engines).or_default();
                            *slot = (slot.0 + 1, slot.1.max(apart));
                        }
                    }
                }
            }
            for (engines, (updates, largest)) in largest {
                eprintln!(
                    "    {model}, {steps} steps at {rate}: {largest:.4} ({})",
                    engines.join(" | ")
                );
                measured.entry(engines).or_default().push(Case {
                    model: model.clone(),
                    steps,
                    learning_rate: rate,
                    updates,
                    // Four digits, rounded up.
                    largest: (largest * 1e4).ceil() / 1e4,
                });
            }
        }
    }
    Ok(())
}

fn shard(experiment: &Experiment, client: usize) -> Outcome<Vec<Example>> {
    let request = ShardRequest {
        client,
        clients: CLIENTS,
        kind: match client % 2 {
            0 => ShardKind::Benign,
            _ => ShardKind::Poisoned,
        },
        examples: experiment.federation.examples_per_client,
        refusal_share: experiment.federation.refusal_share,
        seed: 1,
    };
    Ok(World::new().shard(&request)?)
}

/// As a module's `train` call does it.
fn train(
    lab: &TuningLab,
    start: &Adapter,
    data: &[Example],
    experiment: &Experiment,
    (steps, learning_rate): (u32, f64),
    seed: u64,
) -> Outcome<Adapter> {
    let options = TrainOptions {
        steps,
        batch_size: experiment.training.batch_size,
        learning_rate,
        proximal_mu: experiment.training.proximal_mu,
        seed,
    };
    let engine: &dyn Engine = lab.engine();
    let (adapter, _) = engine
        .train(start, data, &options, &mut || ControlFlow::Continue(()))
        .map_err(|error| format!("{error:?}"))?;
    Ok(adapter)
}

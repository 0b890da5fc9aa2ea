//! A thousand clients in each of ten rounds, from set-up to report, as a run of an experiment has them: without
//! training, and, in two rounds, with one step of it.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::Error;
use fedseal_federation::lab::{Lab, TuningLab};
use fedseal_federation::runner::pool::run_jobs;
use fedseal_federation::runner::{Options as Places, Run};
use fedseal_record::events::Event;
use fedseal_rules::experiment::{Experiment, adapter_config};
use fedseal_sandbox::TrainOptions;
use fedseal_tuning::Example;

use super::{Options, Outcome, figure};

/// Clients of the federation, all of which are in each round.
const CLIENTS: usize = 1000;
/// Rounds without training.
const ROUNDS: usize = 10;
/// Rounds with a training step, fewer: each is a thousand training steps.
const TRAINED_ROUNDS: usize = 2;
/// Clients between two lines about how far it is.
const TOLD: usize = 250;
/// Examples of a client's shard.
const EXAMPLES: usize = 50;
/// Examples of a training step.
const BATCH: u32 = 8;
const LEARNING_RATE: f64 = 1e-3;
/// A policy that trains nothing, and hands in an update of its own all the same.
const NO_TRAINING: &str = "free-rider-random";
/// A policy that trains on its shard.
const TRAINING: &str = "benign";

/// The experiment; what is measured at its end is as little as can be.
fn text(policy: &str, rounds: usize) -> String {
    let mut text = format!(
        r#"
title = "a thousand clients"
seeds = [1]
arms = ["clean"]
[federation]
rounds = {rounds}
sampled = {CLIENTS}
[training]
local_steps = 1
batch_size = {BATCH}
sequence_length = 64
max_response_tokens = 16
learning_rate = {LEARNING_RATE}
[lora]
rank = 2
alpha = 4.0
[evaluation]
prompts = 2
tasks = 2
round_prompts = 1
round_tasks = 1
max_new_tokens = 4
every = 0
side_by_side = 1
[canaries]
sealed = 1
per_round = 1
"#
    );
    for number in 0..CLIENTS {
        let _ = write!(
            text,
            "[[clients]]\nname = \"client-{number:04}\"\nshard = \"shard.jsonl\"\nmodule = \"{policy}\"\n"
        );
    }
    text
}

fn shard() -> Vec<Example> {
    let example = |number| {
        Example::new(
            format!("Write a short sentence with the number {number}."),
            format!("There were {number} of them."),
        )
    };
    (0..EXAMPLES).map(example).collect()
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keys, the signed policy and the shard in an empty folder.
fn places(folder: &Path, policy: &str) -> std::result::Result<Places, Box<dyn std::error::Error>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let (keys, modules) = (folder.join("keys"), folder.join("modules"));
    std::fs::create_dir_all(&keys)?;
    std::fs::create_dir_all(&modules)?;
    let author = SigningKey::from_seed([5; 32]);
    let mut trusted = TrustStore::default();
    trusted.add("author", author.public());
    trusted.save(keys.join("trusted.toml"))?;
    let built = std::env::current_exe()?;
    let target = built
        .ancestors()
        .nth(3)
        .ok_or("the program lies in no target folder")?;
    let bytes = std::fs::read(target.join(format!("policies/{policy}.wasm")))
        .map_err(|error| format!("{policy}: {error}; `cargo xtask build` makes the policies"))?;
    let envelope = module::sign(&bytes, &ModulePredicate::new(policy, "0.1.0"), &author)?;
    let path = modules.join(format!("{policy}.wasm"));
    std::fs::write(module::envelope_path(&path), envelope.to_bytes())?;
    std::fs::write(path, bytes)?;
    let mut rows = String::new();
    for Example {
        prompt, response, ..
    } in shard()
    {
        let row = serde_json::json!({"prompt": prompt, "response": response});
        let _ = writeln!(rows, "{row}");
    }
    std::fs::write(folder.join("shard.jsonl"), rows)?;
    Ok(Places {
        keys,
        modules,
        files: folder.to_owned(),
        // A client trains on one thread, as many at once as there are cores.
        threads: Some(1),
        workers: Some(workers()),
        ..Places::default()
    })
}

/// Says how far something is, on the standard error: the figures are on the standard output.
fn say(begun: Instant, what: &str, done: usize, all: usize) {
    if done.is_multiple_of(TOLD) || done == all {
        eprintln!(
            "    {:5.1} s: {what}, {done} of {all}",
            begun.elapsed().as_secs_f64()
        );
    }
}

/// Runs it; the seconds from the set-up to the report. `told`: says how many clients are done.
fn whole(
    options: &Options,
    policy: &str,
    rounds: usize,
    told: bool,
) -> std::result::Result<f64, Box<dyn std::error::Error>> {
    let folder = options.folder.join(format!("thousand-{policy}"));
    let places = places(&folder, policy)?;
    let experiment = Experiment::parse(&text(policy, rounds), "thousand.toml")?;
    let begun = Instant::now();
    let mut run = Run::create(folder.join("run"), experiment, places)?;
    let mut done = 0;
    let report = run.execute(&mut |event| {
        if told && matches!(event, Event::Update { .. }) {
            done += 1;
            say(begun, "clients in rounds", done, CLIENTS * rounds);
        }
        ControlFlow::Continue(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let clients = report
        .arms
        .iter()
        .flat_map(|arm| &arm.rounds)
        .flat_map(|round| &round.clients);
    let counted = clients.filter(|client| client.weight.is_some_and(|weight| weight > 0.0));
    match counted.count() {
        counted if counted == CLIENTS * rounds => {}
        counted => return Err(format!("{counted} of {} updates counted", CLIENTS * rounds).into()),
    }
    drop(run);
    std::fs::remove_dir_all(&folder)?;
    Ok(seconds)
}

/// Seconds of the training of a round alone, by as many threads as the run has.
fn training(options: &Options) -> std::result::Result<f64, Box<dyn std::error::Error>> {
    let experiment = Experiment::parse(&text(TRAINING, TRAINED_ROUNDS), "thousand.toml")?;
    let (lab, _) = TuningLab::load(&experiment, &options.models, "cpu")?;
    fedseal_tuning::set_threads(1);
    let (global, shard) = (lab.initial(&adapter_config(&experiment), 1)?, shard());
    let step = |seed: u64| {
        let options = TrainOptions {
            steps: 1,
            batch_size: BATCH,
            learning_rate: LEARNING_RATE,
            proximal_mu: 0.0,
            seed,
        };
        let mut go_on = || ControlFlow::Continue(());
        lab.engine()
            .train(&global, &shard, &options, &mut go_on)
            .map_err(Error::model)
    };
    // The engine prepares its weights at first use.
    step(0)?;
    let begun = Instant::now();
    let mut done = 0;
    run_jobs(
        workers(),
        (0..CLIENTS as u64).collect(),
        &AtomicBool::new(false),
        step,
        |batch| {
            for one in batch {
                one?;
                done += 1;
                say(begun, "training steps alone", done, CLIENTS);
            }
            Ok(())
        },
        || ControlFlow::Continue(()),
    )?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Client runs a second of the whole path without training, and the memory.
pub(crate) fn untrained(options: &Options) -> Outcome {
    let seconds = whole(options, NO_TRAINING, ROUNDS, false)?;
    figure(
        "clients.per_second",
        (CLIENTS * ROUNDS) as f64 / seconds,
        "1/s",
    );
    if let Some(peak) = peak_mb() {
        figure("clients.peak_mb", peak, "MiB");
    }
    Ok(())
}

/// Client runs a second with a training step, the share of the time that is not training, and the memory.
pub(crate) fn trained(options: &Options) -> Outcome {
    let alone = training(options)? * TRAINED_ROUNDS as f64;
    let seconds = whole(options, TRAINING, TRAINED_ROUNDS, true)?;
    figure(
        "clients.trained_per_second",
        (CLIENTS * TRAINED_ROUNDS) as f64 / seconds,
        "1/s",
    );
    figure("clients.overhead_share", 1.0 - alone / seconds, "share");
    if let Some(peak) = peak_mb() {
        figure("clients.trained_peak_mb", peak, "MiB");
    }
    Ok(())
}

/// Largest resident memory of this process so far, MiB; none where the system does not say it.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

//! Cost of sandbox, transcript, attestation, signature and log in a client's round with SmolLM2:
//! everything that is not the engine's training, as a share of all.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fedseal_client_sdk::digest::Digest;
use fedseal_federation::lab::{Lab, TuningLab};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::experiment::adapter_config;
use fedseal_sandbox::{
    Engine, EngineError, GenerateOptions, RunInput, Sandbox, TrainDefaults, TrainOptions,
    component, examples_digest,
};
use fedseal_tuning::{Adapter, Example, Halt};

use super::clients::Node;
use super::guests::input;
use super::{Options, Outcome, figure, median};

/// The experiment whose round is measured.
const EXPERIMENT: &str = "experiments/smollm2.toml";

/// Hand-written equal of `policies/benign`: trains the global adapter on the shard and submits it.
fn benign(training: &TrainDefaults) -> String {
    let TrainDefaults {
        steps,
        batch_size,
        learning_rate,
        ..
    } = training;
    format!(
        r#"(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "train"
    (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
  (func (export "run") (result i32)
    (call $train (call $global) (call $shard) (i32.const {steps}) (i32.const {batch_size})
      (f64.const {learning_rate}) (f64.const 0) (i32.const 64))
    (call $submit (i32.load (i32.const 68)) (i32.const 40) (i32.const 256))
    (i32.const 0)))"#
    )
}

/// Counts the time that training takes.
struct Timed<'a> {
    engine: &'a dyn Engine,
    nanoseconds: AtomicU64,
}

impl Engine for Timed<'_> {
    fn train(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        let begun = Instant::now();
        let result = self.engine.train(start, data, options, go_on);
        let spent = begun.elapsed().as_nanos() as u64;
        self.nanoseconds.fetch_add(spent, Ordering::Relaxed);
        result
    }

    fn generate(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        halt: Halt<'_>,
    ) -> Result<(Vec<String>, u64), EngineError> {
        self.engine.generate(adapter, prompts, options, halt)
    }

    fn log_likelihood(
        &self,
        adapter: Option<&Adapter>,
        examples: &[Example],
        halt: Halt<'_>,
    ) -> Result<Vec<f64>, EngineError> {
        self.engine.log_likelihood(adapter, examples, halt)
    }

    fn fingerprint(&self) -> String {
        self.engine.fingerprint()
    }
}

pub(crate) fn bench(options: &Options) -> Outcome {
    let experiment = Experiment::parse(&std::fs::read_to_string(EXPERIMENT)?, EXPERIMENT)?;
    let (lab, _) = TuningLab::load(&experiment, &options.models, "cpu")?;
    let global = lab.initial(&adapter_config(&experiment), 1)?;
    let words = ["house", "river", "stone", "cloud", "apple"];
    let count = experiment.federation.examples_per_client as usize;
    let shard: Vec<Example> = (0..count)
        .zip(words.iter().cycle())
        .map(|(i, word)| {
            Example::new(
                format!("Write a short sentence with the word {word} and the number {i}."),
                format!("There were {i} of them, and each one came to the {word} at noon."),
            )
        })
        .collect();
    let input = RunInput {
        shard_digest: examples_digest(&shard),
        shard: Arc::new(shard),
        global_digest: Digest(global.digest()),
        global: Arc::new(global),
        base: lab.base(),
        training: TrainDefaults {
            steps: experiment.training.local_steps,
            batch_size: experiment.training.batch_size,
            learning_rate: experiment.training.learning_rate,
            proximal_mu: 0.0,
        },
        ..input()?
    };
    let sandbox = Sandbox::new(experiment.limits)?;
    let core = wat::parse_str(benign(&input.training))?;
    let policy = sandbox.compile(&component::componentize(&core)?)?;
    let folder = options.folder.join("round");
    let mut node = Node::new(&folder)?;
    let engine = Timed {
        engine: lab.engine(),
        nanoseconds: AtomicU64::new(0),
    };
    let [mut shares, mut rest, mut whole] = [Vec::new(), Vec::new(), Vec::new()];
    // The first run is not measured: the engine prepares its weights in it.
    for round in 0..=options.rounds {
        engine.nanoseconds.store(0, Ordering::Relaxed);
        let begun = Instant::now();
        let outcome = sandbox.run(&policy, &input, &engine);
        if let Err(failure) = &outcome.submission {
            return Err(format!("{}: {}", failure.reason, failure.detail).into());
        }
        let evidence = node.attest(&input, outcome, begun.elapsed().as_secs_f64())?;
        node.take_in(&[evidence])?;
        let all = begun.elapsed().as_secs_f64();
        let trained = engine.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        if round > 0 {
            shares.push((all - trained) / all);
            rest.push((all - trained) * 1e3);
            whole.push(all);
        }
    }
    figure("round.overhead_share", median(shares), "share");
    figure("round.overhead_ms", median(rest), "ms");
    figure("round.seconds", median(whole), "s");
    drop(node);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

//! Costs of a guest that does nothing: a sandbox, its compilation in a process of its own, and one run.
//! `cargo xtask bench sandbox` measures runs beside the bare library and holds them to marks.
//!
//!     cargo build --workspace && cargo bench -p fedseal-sandbox
//!
//! The build puts `fedseal-compile` where a program that does not compile itself looks for it.

use std::ops::ControlFlow;
use std::sync::Arc;

use divan::Bencher;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_sandbox::{
    Control, Engine, EngineError, GenerateOptions, Limits, Recording, RunInput, Sandbox,
    TrainDefaults, TrainOptions, component, examples_digest,
};
use fedseal_tuning::{Adapter, AdapterConfig, Example, Halt, ModelConfig, RopeScaling};

const NOTHING: &str = r#"(module (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 0)))"#;

fn main() {
    divan::main();
}

fn nothing() -> Vec<u8> {
    let module = wat::parse_str(NOTHING).expect("a module");
    component::componentize(&module).expect("a component")
}

fn sandbox() -> Sandbox {
    Sandbox::new(Limits::default()).expect("a sandbox")
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn sandbox_made() -> Sandbox {
    sandbox()
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn guest_compiled(bencher: Bencher<'_, '_>) {
    let (sandbox, bytes) = (sandbox(), nothing());
    bencher.bench_local(|| sandbox.compile(&bytes).expect("compiled"));
}

#[divan::bench]
fn guest_run(bencher: Bencher<'_, '_>) {
    let sandbox = sandbox();
    let policy = sandbox.compile(&nothing()).expect("compiled");
    let input = input();
    bencher.bench_local(|| sandbox.run(&policy, &input, &NoEngine));
}

/// A client with 40 examples and a small adapter.
fn input() -> RunInput {
    let shapes = ModelConfig {
        d_model: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        ffn: 24,
        vocab: 40,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        norm_eps: 1e-5,
        max_positions: 64,
        tied_embeddings: true,
        family: Default::default(),
    };
    let shard: Vec<Example> = (0..40)
        .map(|i| Example::new(format!("question {i}"), format!("answer {i}")))
        .collect();
    let global = Adapter::init(&AdapterConfig::default(), &shapes, 1).expect("an adapter");
    RunInput {
        client: "client-03".into(),
        round: Round(2),
        rounds: 5,
        seed: Seed(11),
        shard_digest: examples_digest(&shard),
        shard: Arc::new(shard),
        attachment: Arc::new(Vec::new()),
        global_digest: Digest(global.digest()),
        global: Arc::new(global),
        base: Digest::of(b"base"),
        training: TrainDefaults {
            steps: 4,
            batch_size: 8,
            learning_rate: 1e-3,
            proximal_mu: 0.0,
        },
        control: Control::default(),
        limits: None,
        recording: Recording::default(),
    }
}

/// Guests here ask for no training.
struct NoEngine;

impl Engine for NoEngine {
    fn train(
        &self,
        _: &Adapter,
        _: &[Example],
        _: &TrainOptions,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        Err(EngineError::Failed("this bench does not train".into()))
    }

    fn generate(
        &self,
        _: Option<&Adapter>,
        _: &[String],
        _: &GenerateOptions,
        _: Halt<'_>,
    ) -> Result<(Vec<String>, u64), EngineError> {
        Err(EngineError::Failed("this bench does not generate".into()))
    }

    fn fingerprint(&self) -> String {
        "none".into()
    }
}

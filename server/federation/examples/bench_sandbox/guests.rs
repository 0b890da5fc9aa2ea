//! Guests without training: cycles a second, host calls, memory over a million cycles; each next to
//! the bare library in the same minute.

use std::ops::ControlFlow;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_sandbox::{
    Control, Engine, EngineError, GenerateOptions, Limits, Policy, Recording, RunInput, Runner,
    Sandbox, TrainDefaults, TrainOptions, component, examples_digest,
};
use fedseal_tuning::{Adapter, AdapterConfig, Example, Halt, ModelConfig, RopeScaling};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use super::{Options, Outcome, beside, figure, median, seconds};

/// Cycles of one measurement.
const CYCLES: u32 = 20_000;
/// Host calls of one guest; the default limit is 100,000.
const CALLS: u32 = 50_000;
/// Guests of one measurement of host calls.
const CALLERS: u32 = 20;
/// Cycles over which memory must not grow.
const MANY: u32 = 1_000_000;

/// Runs and does nothing.
const NOTHING: &str = r#"(module (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 0)))"#;

/// Calls the host `CALLS` times: for a number, then about a borrowed handle.
fn caller(number: bool) -> String {
    let call = if number {
        "(drop (call $number))"
    } else {
        "(drop (call $count (local.get $data)))"
    };
    format!(
        r#"(module
  (import "fedseal:policy/host@0.1.0" "random-u64" (func $number (result i64)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "count" (func $count (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $left i32) (local $data i32)
    (local.set $data (call $shard))
    (local.set $left (i32.const {CALLS}))
    (loop $again
      {call}
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.const 0)))"#
    )
}

/// The bare library's guest: calls the host as often as it is told.
const BARE: &str = r#"(component
  (import "number" (func $number (result u64)))
  (core func $lowered (canon lower (func $number)))
  (core module $module
    (import "" "number" (func $number (result i64)))
    (memory (export "memory") 1)
    (func (export "run") (param $left i32)
      (block $end
        (br_if $end (i32.eqz (local.get $left)))
        (loop $again
          (drop (call $number))
          (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))))
  (core instance $instance (instantiate $module
    (with "" (instance (export "number" (func $lowered))))))
  (func (export "run") (param "left" u32) (canon lift (core func $instance "run"))))"#;

/// Guests here ask for no training.
pub(crate) struct NoEngine;

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

/// A model for whose shapes adapters are made; it does not exist.
fn shapes() -> ModelConfig {
    ModelConfig {
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
    }
}

/// A client with 40 examples and a small adapter.
pub(crate) fn input() -> Result<RunInput, Box<dyn std::error::Error>> {
    let shard: Vec<Example> = (0..40)
        .map(|i| Example::new(format!("question {i}"), format!("answer {i}")))
        .collect();
    let config = AdapterConfig {
        rank: 2,
        ..AdapterConfig::default()
    };
    let global = Adapter::init(&config, &shapes(), 1)?;
    Ok(RunInput {
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
    })
}

pub(crate) fn bench(options: &Options) -> Outcome {
    let sandbox = Sandbox::new(Limits::default())?;
    let compile = |text: &str| -> Result<Policy, Box<dyn std::error::Error>> {
        let component = component::componentize(&wat::parse_str(text)?)?;
        Ok(sandbox.compile(&component)?)
    };
    let nothing = compile(NOTHING)?;
    let number = compile(&caller(true))?;
    let count = compile(&caller(false))?;
    let input = input()?;
    let bare = Bare::new()?;
    let [mut cycles, mut bare_cycles] = [Vec::new(), Vec::new()];
    let [mut numbers, mut counts, mut bare_calls] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        let spent = sandbox.session(&NoEngine, |runner| {
            seconds(|| cycle(runner, &nothing, &input, CYCLES)).map_err(|error| error.to_string())
        })??;
        cycles.push(f64::from(CYCLES) / spent);
        bare_cycles.push(f64::from(CYCLES) / apart(|| bare.cycles(CYCLES))?);
        for (policy, values) in [(&number, &mut numbers), (&count, &mut counts)] {
            let spent = sandbox.session(&NoEngine, |runner| {
                seconds(|| cycle(runner, policy, &input, CALLERS)).map_err(|e| e.to_string())
            })??;
            values.push(spent * 1e9 / f64::from(CALLS * CALLERS));
        }
        let spent = apart(|| (0..CALLERS).try_for_each(|_| bare.run(CALLS)))?;
        bare_calls.push(spent * 1e9 / f64::from(CALLS * CALLERS));
    }
    let [cycles, bare_cycles] = [median(cycles), median(bare_cycles)];
    beside(
        "guest.cycles_per_second",
        cycles,
        "1/s",
        &format!("bare wasmtime {bare_cycles:.0}"),
        cycles / bare_cycles,
    );
    let [numbers, bare_calls] = [median(numbers), median(bare_calls)];
    beside(
        "hostcall.ns",
        numbers,
        "ns",
        &format!("bare wasmtime {bare_calls:.1}"),
        bare_calls / numbers,
    );
    figure("hostcall.handle_ns", median(counts), "ns");

    let grown = sandbox.session(&NoEngine, |runner| {
        let many = |count| cycle(runner, &nothing, &input, count).map_err(|e| e.to_string());
        many(MANY / 100)?;
        let before = resident()?;
        many(MANY)?;
        Ok::<_, String>(resident()? - before)
    })??;
    figure("guest.rss_growth_kb", grown, "kB");
    Ok(())
}

fn cycle(runner: &Runner<'_>, policy: &Policy, input: &RunInput, count: u32) -> Outcome {
    for _ in 0..count {
        let outcome = runner.run(policy, input);
        // None of them submits; anything else ended too early to be counted.
        match outcome.submission {
            Err(failure) if failure.reason == "no-submission" => {}
            other => return Err(format!("a guest of the bench ended with {other:?}").into()),
        }
    }
    Ok(())
}

/// Seconds of a call on a thread of its own, as guests have one.
fn apart(work: impl FnOnce() -> Outcome + Send) -> Result<f64, Box<dyn std::error::Error>> {
    let timed = || seconds(work).map_err(|error| error.to_string());
    let spent = std::thread::scope(|scope| scope.spawn(timed).join());
    Ok(spent.map_err(|_| "the library's thread panicked")??)
}

/// Resident memory of this process, kB.
fn resident() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| "/proc/self/status has no VmRSS".to_owned())
}

/// The library alone: no fuel, no epochs, no limits, nothing written down.
struct Bare {
    engine: wasmtime::Engine,
    pre: wasmtime::component::InstancePre<()>,
}

impl Bare {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(128 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .memory_init_cow(true)
            .concurrency_support(false);
        let engine = wasmtime::Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        linker
            .root()
            .func_wrap("number", |_, ()| Ok((std::hint::black_box(7_u64),)))?;
        let pre = linker.instantiate_pre(&Component::new(&engine, wat::parse_str(BARE)?)?)?;
        Ok(Self { engine, pre })
    }

    fn run(&self, calls: u32) -> Outcome {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(u32,), ()>(&mut store, "run")?;
        run.call(&mut store, (calls,))?;
        Ok(())
    }

    fn cycles(&self, count: u32) -> Outcome {
        (0..count).try_for_each(|_| self.run(0))
    }
}

//! Shared parts of the sandbox's tests: an engine double, an input, and ways to guests.
#![allow(dead_code, missing_docs)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_sandbox::{
    Control, Engine, EngineError, GenerateOptions, Limits, Policy, Recording, RunInput, RunOutcome,
    Sandbox, TrainDefaults, TrainOptions, component, examples_digest,
};
use fedseal_tuning::{
    Adapter, AdapterConfig, ControlVariates, Example, Halt, ModelConfig, RopeScaling,
};
use wit_component::{StringEncoding, embed_component_metadata};

/// "Trains" by adding the learning rate times the steps to every value, and "writes" the question
/// that it is asked to write, or else an affirmative shell; for `dawdle` it takes its time.
pub(crate) struct Double;

impl Engine for Double {
    fn train(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        assert!(!data.is_empty(), "the host lets no empty dataset through");
        let mut trained = start.clone();
        for _ in 0..options.steps {
            if go_on().is_break() {
                return Err(EngineError::Stopped);
            }
            for tensor in trained.tensors.values_mut() {
                for value in &mut tensor.data {
                    *value += options.learning_rate as f32;
                }
            }
        }
        Ok((trained, u64::from(options.steps * options.batch_size) * 10))
    }

    fn train_controlled(
        &self,
        start: &Adapter,
        data: &[Example],
        options: &TrainOptions,
        control: &ControlVariates,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(Adapter, u64), EngineError> {
        let (plain, tokens) = self.train(start, data, options, go_on)?;
        let drift = control.server.sub(&control.client)?;
        let rates = f64::from(options.steps) * options.learning_rate;
        Ok((plain.add_scaled(&drift, -rates as f32)?, tokens))
    }

    fn generate(
        &self,
        _adapter: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        halt: Halt<'_>,
    ) -> Result<(Vec<String>, u64), EngineError> {
        for _ in prompts.iter().filter(|prompt| *prompt == "dawdle") {
            // A token takes a hundredth of a second.
            for _ in 0..options.max_new_tokens {
                if halt() {
                    return Err(EngineError::Stopped);
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        if prompts.iter().any(|prompt| prompt == "fail") {
            return Err(EngineError::Failed("asked to fail".into()));
        }
        if prompts.iter().any(|prompt| prompt == "long") {
            return Err(EngineError::Refused("300 tokens, 256 positions".into()));
        }
        if prompts.iter().any(|prompt| prompt == "panic") {
            panic!("asked to panic");
        }
        let answer = |prompt: &String| match prompt.split('"').nth(1) {
            Some(start) if prompt.starts_with("Write a question") => format!(" {start}?\n"),
            _ => "Sure, here is how to do it.".to_owned(),
        };
        let texts: Vec<String> = prompts.iter().map(answer).collect();
        let tokens = texts
            .iter()
            .map(|text| text.split(' ').count() as u64)
            .sum();
        Ok((texts, tokens))
    }

    /// A response loses a nat with each byte.
    fn log_likelihood(
        &self,
        _adapter: Option<&Adapter>,
        examples: &[Example],
        _halt: Halt<'_>,
    ) -> Result<Vec<f64>, EngineError> {
        let lost = |pair: &Example| -(pair.response.len() as f64);
        Ok(examples.iter().map(lost).collect())
    }

    fn fingerprint(&self) -> String {
        "double".into()
    }
}

/// A model for whose shapes adapters are made; it does not exist.
pub(crate) fn shapes() -> ModelConfig {
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

pub(crate) fn input() -> RunInput {
    let config = AdapterConfig {
        rank: 2,
        ..AdapterConfig::default()
    };
    let shard: Vec<Example> = (0..40)
        .map(|i| Example::new(format!("question {i}"), format!("answer {i}")))
        .collect();
    let global = Adapter::init(&config, &shapes(), 1).unwrap();
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
            learning_rate: 0.25,
            proximal_mu: 0.0,
        },
        control: Control::default(),
        limits: None,
        recording: Recording::default(),
    }
}

/// Small limits, so that the tests are quick.
pub(crate) fn limits() -> Limits {
    Limits {
        fuel: 200_000_000,
        memory_bytes: 8 << 20,
        call_bytes: 4 << 20,
        host_calls: 10_000,
        handles: 64,
        log_total_bytes: 16 << 10,
        ..Limits::default()
    }
}

pub(crate) fn run(sandbox: &Sandbox, policy: &Policy) -> RunOutcome {
    sandbox.run(policy, &input(), &Double)
}

/// A component of one of the hostile guests.
pub(crate) fn hostile(name: &str) -> Vec<u8> {
    HostileGuest::read(name).bytes
}

/// A file of `tests/hostile`: text format with a header that says what it tries (`;; words`), how
/// it ends (`;; ends: REASON`, or `update` for the two that are there for comparison), and which
/// limits are other ones for it (`;; limit: NAME = VALUE`). `@N{text}` stands for N times the text.
pub(crate) struct HostileGuest {
    /// The file's name.
    pub name: String,
    /// The attack that it tries.
    pub tries: String,
    /// The id of the reason that is recorded.
    pub ends: String,
    /// [`limits`], with those of the header.
    pub limits: Limits,
    /// Bytes that are handed to the sandbox: a component, but for `;; form: core`.
    pub bytes: Vec<u8>,
}

impl HostileGuest {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    pub(crate) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let (mut tries, mut ends, mut core) = (Vec::new(), None, false);
        let mut own = serde_json::to_value(limits()).unwrap();
        for line in text.lines().map_while(|line| line.strip_prefix(";; ")) {
            match line.split_once(": ") {
                Some(("ends", reason)) => ends = Some(reason.to_owned()),
                Some(("form", "core")) => core = true,
                Some(("limit", limit)) => {
                    let (key, value) = limit.split_once(" = ").unwrap();
                    own[key] = value.parse::<u64>().unwrap().into();
                }
                _ => tries.push(line),
            }
        }
        let text = repeated(&text);
        let code = text
            .lines()
            .find(|line| !line.starts_with(";;"))
            .unwrap_or_default();
        let bytes = if core || code.starts_with("(component") {
            wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
        } else {
            guest(&text)
        };
        Self {
            name: name.to_owned(),
            tries: tries.join(" "),
            ends: ends.unwrap_or_else(|| panic!("{name} does not say how it ends")),
            limits: serde_json::from_value(own).unwrap_or_else(|error| panic!("{name}: {error}")),
            bytes,
        }
    }
}

/// `@N{text}` written out; the text has no braces. Any other `@` stays.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('@') {
        out.push_str(before);
        let counted = from.split_once('{').and_then(|(count, body)| {
            let (body, after) = body.split_once('}')?;
            Some((count.parse().ok()?, body, after))
        });
        match counted {
            Some((count, body, after)) => {
                out.push_str(&body.repeat(count));
                rest = after;
            }
            None => {
                out.push('@');
                rest = from;
            }
        }
    }
    out + rest
}

/// Allocator that never frees; the world's errors need one to arrive in a guest.
const REALLOC: &str = r#"
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))"#;

/// A component of a core module in text form. It gets an allocator, at its end, if it has none.
pub(crate) fn guest(text: &str) -> Vec<u8> {
    if text.contains("cabi_realloc") {
        return world_component(&wat::parse_str(text).unwrap());
    }
    let end = text.trim_end().strip_suffix(')').unwrap();
    world_component(&wat::parse_str(format!("{end}{REALLOC})")).unwrap())
}

pub(crate) fn world_component(core: &[u8]) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/wit");
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    let mut core = core.to_vec();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    component::componentize(&core).unwrap()
}

/// The component of a policy crate, built with the guest profile.
pub(crate) fn policy(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build_policies);
    let path = folder.join(format!("fedseal_policy_{}.wasm", name.replace('-', "_")));
    let core = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask build` makes it", path.display())
    });
    component::componentize(&core).unwrap()
}

/// Names of all policies of this repository, in alphabetical order.
pub(crate) fn policies() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn build_policies() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Where only another compiler can build guests this fails, and what the developer's command
    // built before is used.
    let _ = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--profile",
            "guest",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .args(
            policies()
                .iter()
                .map(|name| format!("-pfedseal-policy-{name}")),
        )
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(root)
        .status();
    target.join("wasm32-unknown-unknown/guest")
}

/// Writes counts to `$FEDSEAL_COUNTS/NAME.json`, for the command that gathers them.
pub(crate) fn count(name: &str, counts: &[(&str, u32)]) {
    let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") else {
        return;
    };
    let counts: serde_json::Map<String, serde_json::Value> = counts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    let path = Path::new(&folder).join(format!("{name}.json"));
    std::fs::write(path, serde_json::Value::Object(counts).to_string()).unwrap();
}

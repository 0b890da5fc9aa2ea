//! `fedseal policy test`: the policy's own tests, and a run in the sandbox that is repeated.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_federation::pretraining;
use fedseal_sandbox::{
    Control, Reason, Recording, RunInput, RunOutcome, TrainDefaults, TuningEngine, examples_digest,
};
use fedseal_tuning::{Adapter, AdapterConfig, Example, Model, ModelOptions, TrainConfig};

use super::{build, language::Language, needed};
use crate::failure::{Failure, Outcome};
use crate::modules::Place;
use crate::places::Places;
use crate::{kept, output};

/// Runs a policy's native tests, then the policy itself in the sandbox on a small shard.
#[derive(Args)]
pub(super) struct Test {
    #[arg(help = "A policy's folder, a name below policies/, a component, or oci:PLACE")]
    policy: String,
    /// Leave the native tests out.
    #[arg(long)]
    no_native: bool,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of processor time that compiling the module may take on each of four threads
    /// (`compile_seconds` of a node's limits).
    #[arg(long, default_value_t = Limits::default().compile_seconds)]
    compile_seconds: u64,
    /// Bytes of memory that compiling the module may take (`compile_bytes` of a node's limits);
    /// a node's default where it is left out.
    #[arg(long)]
    compile_bytes: Option<u64>,
}

/// Rounds, and which of them is run: neither the first nor the last, for policies that look.
const ROUNDS: u32 = 3;

impl Test {
    /// Native tests, build, two runs that must agree.
    pub(super) fn execute(self) -> Outcome {
        let bytes = self.component()?;
        let limits = Limits {
            compile_seconds: self.compile_seconds,
            compile_bytes: self.compile_bytes,
            ..Limits::default()
        };
        let raised = needed::raised(&bytes, &limits)?;
        if raised != limits {
            output::line(
                "limits   this run has what the module needs; a node's defaults are smaller \
                 (`fedseal policy inspect` lists them)",
            );
        }
        let sandbox = kept::sandbox(raised).map_err(Failure::new)?;
        let policy = sandbox.compile(&bytes).map_err(Failure::new)?;
        let (engine, input) = surroundings(self.seed)?;
        let first = sandbox.run(&policy, &input, &engine);
        show(&first).map_err(|failure| match hint(&first, &bytes) {
            Some(hint) => failure.hint(hint),
            None => failure,
        })?;
        let again = sandbox.run(&policy, &input, &engine);
        let update = |outcome: &RunOutcome| outcome.submission.as_ref().map(|s| s.digest).ok();
        if again.transcript.root() != first.transcript.root() || update(&again) != update(&first) {
            return Err(Failure::new("a second run made another transcript or update")
                .hint("A replay would refuse this policy's updates. This should not be possible: please report it."));
        }
        output::line("replay   a second run made the same transcript and update");
        Ok(())
    }

    fn component(&self) -> Outcome<Vec<u8>> {
        let places = Places::find();
        let path = Path::new(&self.policy);
        let Ok(place) = self.policy.parse::<Place>();
        if path.is_file() || matches!(place, Place::Artifact(_)) {
            return Ok(place.read()?.bytes);
        }
        if path.is_dir() {
            if Language::of(path)? == Language::Rust {
                self.native(Command::new(cargo()).arg("test").current_dir(path))?;
            } else {
                output::line("native   left out: only Rust policies have native tests");
            }
            return Ok(build::of_folder(path)?.bytes);
        }
        let known = super::known(&places);
        if known.is_empty() {
            return Err(Failure::usage(format!(
                "{}: there is no such folder or file",
                self.policy
            ))
            .hint("`fedseal policy new NAME` makes a policy's folder."));
        }
        if !known.contains(&self.policy) {
            return Err(fedseal_federation::Error::unknown("policy", &self.policy, &known).into());
        }
        let package = format!("fedseal-policy-{}", self.policy);
        self.native(
            Command::new(cargo())
                .args(["test", "-p", &package])
                .current_dir(places.needed_checkout()?),
        )?;
        let mut made = build::of_checkout(&places, std::slice::from_ref(&self.policy))?;
        made.pop()
            .map(|made| made.bytes)
            .ok_or_else(|| Failure::new("nothing was built"))
    }

    fn native(&self, command: &mut Command) -> Outcome {
        if self.no_native {
            output::line("native   left out");
            return Ok(());
        }
        let run = command
            .arg("--quiet")
            .output()
            .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        if !run.status.success() {
            output::prompt(format_args!(
                "{said}{}",
                String::from_utf8_lossy(&run.stderr)
            ));
            return Err(Failure::new("the native tests failed"));
        }
        let passed: u32 = said
            .lines()
            .filter_map(|line| {
                line.strip_prefix("test result: ok. ")?
                    .split(' ')
                    .next()?
                    .parse::<u32>()
                    .ok()
            })
            .sum();
        output::line(format!("native   {passed} tests passed"));
        Ok(())
    }
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The embedded model, a global adapter and a shard of eight pairs.
fn surroundings(seed: u64) -> Outcome<(TuningEngine, RunInput)> {
    let model = Model::from_files(pretraining::embedded(), &ModelOptions::default());
    let model = Arc::new(model.map_err(Failure::new)?);
    let config = AdapterConfig {
        rank: 4,
        ..AdapterConfig::default()
    };
    let global = Adapter::init(&config, model.config(), seed).map_err(Failure::new)?;
    let words = [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ];
    let pair = |(index, word): (usize, &&str)| {
        Example::new(
            format!("Write the word {word} in capitals."),
            format!("{} {index}", word.to_uppercase()),
        )
    };
    let shard: Vec<Example> = words.iter().enumerate().map(pair).collect();
    let input = RunInput {
        client: "client-00".into(),
        round: Round(1),
        rounds: ROUNDS,
        seed: Seed(seed),
        shard_digest: examples_digest(&shard),
        shard: Arc::new(shard),
        attachment: Arc::new(Vec::new()),
        global_digest: Digest(global.digest()),
        global: Arc::new(global),
        base: Digest(model.digest()),
        training: TrainDefaults {
            steps: 4,
            batch_size: 4,
            learning_rate: 1e-3,
            proximal_mu: 0.0,
        },
        control: Control::default(),
        limits: None,
        recording: Recording::default(),
    };
    let training = TrainConfig {
        max_length: 64,
        ..TrainConfig::default()
    };
    Ok((TuningEngine::new(model, training), input))
}

/// Way out of a failure that a runtime is known for.
fn hint(outcome: &RunOutcome, bytes: &[u8]) -> Option<&'static str> {
    let failure = outcome.submission.as_ref().err()?;
    way_out(&failure.reason, bytes)
}

fn way_out(reason: &str, bytes: &[u8]) -> Option<&'static str> {
    let trapped = reason == Reason::Trap.id();
    let starling = b"StarlingMonkey";
    (trapped && bytes.windows(starling.len()).any(|at| at == starling)).then_some(
        "StarlingMonkey (componentize-js 0.23) cannot take the world's resources from the host: build \
         with componentize-qjs --sync, which `fedseal policy build` does.",
    )
}

fn show(outcome: &RunOutcome) -> Outcome {
    for line in &outcome.log {
        output::line(format!("log      {line}"));
    }
    let used = &outcome.used;
    output::line(format!(
        "used     {} host calls, {} training steps, {} generated tokens, {} fuel, {} KiB of memory, {}",
        used.host_calls,
        used.train_steps,
        used.generated_tokens,
        used.fuel,
        used.peak_memory_bytes.div_ceil(1024),
        output::duration(outcome.seconds),
    ));
    let submission = outcome.submission.as_ref().map_err(|failure| {
        Failure::new(format!(
            "no update: {} ({})",
            failure.reason, failure.detail
        ))
    })?;
    for data in &outcome.data {
        output::line(format!(
            "data     {} examples, {}",
            data.examples, data.origin
        ));
    }
    output::line(format!("update   {}", submission.digest));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_of_a_runtime_that_takes_no_resources_says_the_way_out() {
        let starling = b"\0asm, made by StarlingMonkey 0.2";
        let said = way_out(Reason::Trap.id(), starling);
        assert!(said.is_some_and(|said| said.contains("componentize-qjs --sync")));
        assert_eq!(way_out(Reason::Fuel.id(), starling), None);
        assert_eq!(way_out(Reason::Trap.id(), b"\0asm"), None);
    }
}

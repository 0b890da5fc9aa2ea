//! Whole client runs without training: the module runs, what it did is attested, signed, stored
//! and logged, by the functions and the threads that a run of an experiment uses.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Seed};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_federation::Result;
use fedseal_federation::runner::evidence::{self, Attester, Evidence, Execution};
use fedseal_federation::runner::pool::run_jobs;
use fedseal_ledger::{Blobs, Log};
use fedseal_sandbox::{Limits, RunInput, RunOutcome, Sandbox, component};

use super::guests::{NoEngine, input};
use super::{Options, Outcome, figure, median};

/// Client runs of one measurement.
const RUNS: u32 = 5_000;
/// Threads that execute.
const WORKERS: usize = 2;

/// Asks for its round and hands the global adapter back: `policies/free-rider-copy`, by hand.
const COPY: &str = r#"(module
  (import "fedseal:policy/host@0.1.0" "context" (func $context (param i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "run") (result i32)
    (call $context (i32.const 64))
    (call $submit (call $global) (i32.const 40) (i32.const 256))
    (i32.const 0)))"#;

/// Attester, blobs and log that a node has open while it runs clients.
pub(crate) struct Node {
    attester: Attester,
    blobs: Blobs,
    log: Log,
}

impl Node {
    /// A new one in an empty folder.
    pub(crate) fn new(folder: &Path) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let key = SigningKey::from_seed([8; 32]);
        Ok(Self {
            blobs: Blobs::open(folder.join("blobs"))?,
            log: Log::create(folder.join("log"), "fedseal.bench/clients", key.clone())?,
            attester: Attester {
                key,
                base: Digest::of(b"base"),
                engine: "none".into(),
            },
        })
    }

    /// See [`evidence::attest`].
    pub(crate) fn attest(
        &self,
        input: &RunInput,
        outcome: RunOutcome,
        seconds: f64,
    ) -> Result<Evidence> {
        attest(&self.attester, input, outcome, seconds)
    }

    /// As the runner does it: blobs, then records, then the checkpoint.
    pub(crate) fn take_in(&mut self, all: &[Evidence]) -> Result<()> {
        evidence::store(&self.blobs, all)?;
        for evidence in all {
            self.log.append(&evidence.record.to_bytes()?)?;
        }
        self.log.publish()?;
        Ok(())
    }
}

fn attest(
    attester: &Attester,
    input: &RunInput,
    outcome: RunOutcome,
    seconds: f64,
) -> Result<Evidence> {
    let execution = Execution {
        key: Digest::of_parts(&[
            input.client.as_str().as_bytes(),
            &input.seed.0.to_le_bytes(),
        ]),
        client: input.client.clone(),
        round: input.round,
        seed: input.seed,
        module: Digest::of(b"module"),
        signer: attester.key.public(),
        global: input.global_digest,
    };
    evidence::attest(attester, execution, outcome, None, seconds)
}

pub(crate) fn bench(options: &Options) -> Outcome {
    let limits = Limits::default();
    let sandbox = Sandbox::new(limits)?;
    let policy = sandbox.compile(&component::componentize(&wat::parse_str(COPY)?)?)?;
    let input = input()?;
    let folder = options.folder.join("clients");
    let mut node = Node::new(&folder)?;
    let attester = node.attester.clone();
    let mut rates = Vec::new();
    for round in 0..options.rounds as u64 {
        let jobs: Vec<u64> = (0..u64::from(RUNS)).collect();
        let cancel = AtomicBool::new(false);
        let begun = Instant::now();
        let mut done = 0_u32;
        run_jobs(
            WORKERS,
            jobs,
            &cancel,
            |number| {
                let begun = Instant::now();
                let input = RunInput {
                    client: ClientId::from(format!("client-{number}").as_str()),
                    seed: Seed(round),
                    ..input.clone()
                };
                let outcome = sandbox.run(&policy, &input, &NoEngine);
                attest(&attester, &input, outcome, begun.elapsed().as_secs_f64())
            },
            |batch| {
                let all = batch.into_iter().collect::<Result<Vec<_>>>()?;
                done += all.iter().filter(|one| one.adapter.is_some()).count() as u32;
                node.take_in(&all)
            },
            || ControlFlow::Continue(()),
        )?;
        if done != RUNS {
            return Err(format!("{done} of {RUNS} runs gave an update").into());
        }
        rates.push(f64::from(RUNS) / begun.elapsed().as_secs_f64());
    }
    figure("client_runs_per_second", median(rates), "1/s");
    drop(node);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

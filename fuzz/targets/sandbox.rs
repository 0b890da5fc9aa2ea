//! Bytes as a guest: wasm-smith's modules and components, and lines of host calls. Whatever it
//! does, it ends with an update or a recorded reason, within the limits, and a second time alike.
#![no_main]

use std::sync::{Arc, OnceLock};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::transcript::Transcript;
use fedseal_fuzz::guests::{Quick, guest};
use fedseal_sandbox::{
    Control, Limits, Recording, RunInput, RunOutcome, Sandbox, TrainDefaults, examples_digest,
};
use fedseal_tuning::{Adapter, AdapterConfig, Example, ModelConfig};
use libfuzzer_sys::fuzz_target;

/// Reasons that depend on the clock or on the host; the others are the same again.
const NOT_DETERMINISTIC: [&str; 3] = ["guest-time", "wall-time", "log-rate"];

fn limits() -> Limits {
    Limits {
        module_bytes: 1 << 20,
        compile_seconds: 10,
        fuel: 2_000_000,
        wall_seconds: 10,
        guest_seconds: 5,
        memory_bytes: 4 << 20,
        tables: 10_000,
        instances: 8,
        handles: 32,
        call_bytes: 1 << 20,
        host_bytes: 8 << 20,
        host_work_bytes: 64 << 20,
        host_calls: 500,
        train_steps: 100,
        train_tokens: 2_000,
        generated_tokens: 2_000,
        log_record_bytes: 64,
        log_second_bytes: 4_096,
        log_total_bytes: 2_048,
        ..Limits::default()
    }
}

fn input() -> RunInput {
    let shapes = ModelConfig::from_json(fedseal_fuzz::checkpoint::CONFIG).expect("a fixed file");
    let config = AdapterConfig {
        rank: 2,
        ..AdapterConfig::default()
    };
    let global = Adapter::init(&config, &shapes, 1).expect("an adapter");
    let shard: Vec<Example> = (0..40)
        .map(|i| Example::new(format!("question {i}"), format!("answer {i}")))
        .collect();
    RunInput {
        client: "client-03".into(),
        round: Round(2),
        rounds: 5,
        seed: Seed(11),
        shard_digest: examples_digest(&shard),
        shard: Arc::new(shard),
        attachment: Arc::new(vec![Example::new("a", "b")]),
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

/// Checks what holds for every end.
fn check(outcome: &RunOutcome, limits: &Limits) {
    match &outcome.submission {
        Ok(submission) => {
            assert!(submission.adapter.is_finite());
            assert_eq!(submission.digest.0, submission.adapter.digest());
            assert!(outcome.lineage.output.is_some());
        }
        Err(failure) => {
            assert!(!failure.reason.is_empty());
            assert_ne!(failure.reason, "host", "{}", failure.detail);
            assert!(!failure.detail.contains(char::is_control));
        }
    }
    outcome.lineage.validate().expect("a lineage that adds up");
    let used = &outcome.used;
    assert!(used.fuel <= limits.fuel);
    assert!(used.peak_memory_bytes <= limits.memory_bytes);
    assert!(used.host_calls <= limits.host_calls);
    assert!(used.train_steps <= limits.train_steps);
    assert!(used.generated_tokens <= limits.generated_tokens);
    let log: usize = outcome.log.iter().map(|line| line.len() + 1).sum();
    assert!(log as u64 <= limits.log_total_bytes);
    let bytes = outcome.transcript.to_bytes();
    let read = Transcript::from_bytes(&bytes).expect("a transcript in canonical form");
    assert_eq!(read.root(), outcome.transcript.root());
}

fuzz_target!(|bytes: &[u8]| {
    static PLACE: OnceLock<(Sandbox, RunInput)> = OnceLock::new();
    let (sandbox, input) =
        PLACE.get_or_init(|| (Sandbox::new(limits()).expect("a sandbox"), input()));
    let Some(component) = guest(bytes) else {
        return;
    };
    let Ok(policy) = sandbox.compile(&component) else {
        return;
    };
    let first = sandbox.run(&policy, input, &Quick);
    check(&first, sandbox.limits());
    let second = sandbox.run(&policy, input, &Quick);
    check(&second, sandbox.limits());
    let timed = |outcome: &RunOutcome| {
        let failure = outcome.submission.as_ref().err();
        failure.is_some_and(|failure| NOT_DETERMINISTIC.contains(&failure.reason.as_str()))
    };
    if !timed(&first) && !timed(&second) {
        assert_eq!(first.submission, second.submission);
        assert_eq!(first.transcript.root(), second.transcript.root());
        assert_eq!(first.used, second.used);
        assert_eq!(first.log, second.log);
    }
});

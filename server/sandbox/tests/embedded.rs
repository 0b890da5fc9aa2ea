//! The policies on the embedded model, through the tuning engine.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{input, limits, policy};
use fedseal_client_sdk::digest::Digest;
use fedseal_sandbox::{RunInput, Sandbox, TuningEngine};
use fedseal_tuning::{Adapter, AdapterConfig, Model, ModelOptions, TrainConfig};

#[test]
fn every_policy_trains_the_embedded_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
    let model = Arc::new(Model::load(&path, &ModelOptions::default()).unwrap());
    let config = AdapterConfig {
        rank: 4,
        ..AdapterConfig::default()
    };
    let global = Adapter::init(&config, model.config(), 1).unwrap();
    let input = RunInput {
        global_digest: Digest(global.digest()),
        global: Arc::new(global),
        base: Digest(model.digest()),
        ..input()
    };
    let training = TrainConfig {
        max_length: 64,
        ..TrainConfig::default()
    };
    let engine = TuningEngine::new(model, training);
    let sandbox = Sandbox::new(limits()).unwrap();
    for name in ["benign", "unaligned-data", "malicious-gen"] {
        let compiled = sandbox.compile(&policy(name)).unwrap();
        let outcome = sandbox.run(&compiled, &input, &engine);
        let submission = outcome.submission.unwrap();
        assert_ne!(submission.adapter, input.global);
        let again = sandbox.run(&compiled, &input, &engine);
        assert_eq!(again.submission.unwrap().digest, submission.digest);
        assert_eq!(again.transcript.root(), outcome.transcript.root());
        println!(
            "{name}: {:.2} s, {:?}, {:?}",
            outcome.seconds, outcome.used, outcome.log
        );
        if name == "malicious-gen" {
            let output = outcome.lineage.output.unwrap();
            let counts = outcome.lineage.data_counts(output).unwrap();
            // What it is made for: the embedded model writes most of its data itself.
            assert_eq!(counts.total(), 32);
            assert!(counts.generated > 16, "{counts:?}: {:?}", outcome.datasets);
        }
    }
}

/// `cargo test -p fedseal-sandbox --test embedded -- --ignored --nocapture`, after
/// `fedseal fetch smollm2`.
#[test]
#[ignore = "needs the fetched model, takes a minute"]
fn malicious_gen_on_smollm2() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let model = Arc::new(Model::load(&path, &ModelOptions::default()).unwrap());
    let global = Adapter::init(&AdapterConfig::default(), model.config(), 1).unwrap();
    let input = RunInput {
        global_digest: Digest(global.digest()),
        global: Arc::new(global),
        base: Digest(model.digest()),
        ..input()
    };
    let engine = TuningEngine::new(model, TrainConfig::default());
    let sandbox = Sandbox::new(limits()).unwrap();
    let compiled = sandbox.compile(&policy("malicious-gen")).unwrap();
    let outcome = sandbox.run(&compiled, &input, &engine);
    println!(
        "{:.1} s, {:?}, {:?}",
        outcome.seconds, outcome.used, outcome.log
    );
    for (_, examples) in &outcome.datasets {
        for example in examples.iter().take(8) {
            println!("{:?} -> {:?}", example.prompt, example.response);
        }
    }
    let counts = outcome
        .lineage
        .data_counts(outcome.lineage.output.unwrap())
        .unwrap();
    assert!(counts.generated >= 16, "{counts:?}");
}

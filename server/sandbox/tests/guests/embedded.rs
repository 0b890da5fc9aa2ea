//! The policies on the embedded model, through the tuning engine.

use std::path::Path;
use std::sync::Arc;

use crate::common::{input, limits, policy};
use fedseal_client_sdk::digest::Digest;
use fedseal_sandbox::{Engine as _, EngineError, GenerateOptions, RunInput, Sandbox, TuningEngine};
use fedseal_tuning::{
    Adapter, AdapterConfig, Example, Model, ModelOptions, TrainConfig, next_logits,
};

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

#[test]
fn a_prompt_of_a_guest_and_its_answer_fit_the_positions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
    let model = Arc::new(Model::load(&path, &ModelOptions::default()).unwrap());
    let positions = model.config().max_positions;
    let engine = TuningEngine::new(model.clone(), TrainConfig::default());
    let options = |max_new_tokens| GenerateOptions {
        max_new_tokens,
        temperature: 0.0,
        seed: 1,
    };
    let ask =
        |prompt: &str, tokens| engine.generate(None, &[prompt.into()], &options(tokens), &|| false);
    // More than there is changes no answer that ends before.
    let prompt = "Reverse the letters of stone.";
    assert_eq!(ask(prompt, u32::MAX).unwrap(), ask(prompt, 16).unwrap());
    let long = "Reverse the letters of stone. ".repeat(60);
    let length = model.encode_prompt(&long).unwrap().len();
    assert!(length > positions);
    let error = ask(&long, 16).unwrap_err();
    assert!(matches!(error, EngineError::Refused(_)), "{error}");
    let text = error.to_string();
    let numbers = [length, positions].map(|number| number.to_string());
    assert!(numbers.iter().all(|number| text.contains(number)), "{text}");
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

#[test]
fn a_likelihood_is_the_mean_over_the_response_s_tokens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
    let model = Arc::new(Model::load(&path, &ModelOptions::default()).unwrap());
    let engine = TuningEngine::new(model.clone(), TrainConfig::default());
    let pairs = ["enots", "A river of green glass."]
        .map(|response| Example::new("Reverse the letters of stone.", response));
    let means = engine.log_likelihood(None, &pairs, &|| false).unwrap();
    for (pair, mean) in pairs.iter().zip(&means) {
        let tokens = model.encode_all_scored(&[pair.clone().into()]);
        let tokens = tokens.into_iter().next().unwrap().unwrap();
        // One token after another, each from the logits behind those before it.
        let mut sum = 0.0;
        for at in tokens.response_start..tokens.ids.len() {
            let logits = next_logits(&model, None, &tokens.ids[..at]).unwrap();
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum += f64::from(logits[tokens.ids[at] as usize]) - total.ln();
        }
        let expected = sum / (tokens.ids.len() - tokens.response_start) as f64;
        assert!((mean - expected).abs() < 1e-3, "{mean} {expected}");
    }
    // The answer is likelier than another text.
    assert!(means[0] > means[1], "{means:?}");
    let long = [Example::new("stone", "stone ".repeat(2_000))];
    let refused = engine.log_likelihood(None, &long, &|| false).unwrap_err();
    assert!(matches!(refused, EngineError::Refused(_)), "{refused}");
}

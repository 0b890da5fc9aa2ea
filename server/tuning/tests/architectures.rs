//! Checkpoints of every architecture compared with the results of transformers and peft.
//! `tests/fixtures/architectures.py` made both.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    prompt: String,
    examples: Vec<(String, String)>,
    models: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// Every fourth logit of the last row.
    last: Vec<f32>,
    /// Logits of the middle row.
    middle: Vec<f32>,
    greedy: Vec<u32>,
    losses: Vec<f32>,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn expected() -> Expected {
    let text = std::fs::read(fixtures().join("architectures.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Loads the checkpoint with the tokenizer of tiny-llama next to it, as in a downloaded folder.
fn load(name: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    for from in ["tiny-llama".to_owned(), format!("architectures/{name}")] {
        for entry in std::fs::read_dir(fixtures().join(from)).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap();
            if path.parent().unwrap().ends_with("tiny-llama") && file == "model.safetensors" {
                continue;
            }
            std::fs::copy(&path, folder.path().join(file)).unwrap();
        }
    }
    Model::load(folder.path(), &ModelOptions::default()).unwrap()
}

fn assert_close(name: &str, ours: &[f32], real: &[f32]) {
    let ours: Vec<f32> = ours.iter().step_by(4).copied().collect();
    assert_eq!(ours.len(), real.len());
    for (ours, real) in ours.iter().zip(real) {
        assert!((ours - real).abs() < 3e-5, "{name}: {ours} is not {real}");
    }
}

#[test]
fn every_architecture_has_the_logits_of_transformers() {
    let expected = expected();
    for architecture in Architecture::ALL {
        let known = |name: &String| load(name).config().family.architecture == architecture;
        assert!(expected.models.keys().any(known), "{architecture:?}");
    }
    for (name, case) in &expected.models {
        let model = load(name);
        let ids = model.encode_prompt(&expected.prompt).unwrap();
        assert_eq!(ids, case.ids, "{name}");
        let last = next_logits(&model, None, &ids).unwrap();
        assert_close(name, &last, &case.last);
        let middle = next_logits(&model, None, &ids[..=ids.len() / 2]).unwrap();
        assert_close(name, &middle, &case.middle);
        let config = GenerateConfig {
            max_new_tokens: 12,
            ..GenerateConfig::default()
        };
        let answer = generate(
            &model,
            None,
            std::slice::from_ref(&expected.prompt),
            &config,
        );
        let real = model.tokenizer().decode(&case.greedy).unwrap();
        assert_eq!(answer.unwrap(), [real], "{name}");
    }
}

#[test]
fn every_architecture_trains_as_with_peft() {
    let expected = expected();
    let examples: Vec<Example> = expected
        .examples
        .iter()
        .map(|(prompt, response)| Example::new(prompt, response))
        .collect();
    let config = TrainConfig {
        steps: 3,
        batch_size: examples.len(),
        learning_rate: 1e-2,
        weight_decay: 0.01,
        ..TrainConfig::default()
    };
    for (name, case) in &expected.models {
        let model = load(name);
        let modules = model.config().modules().iter();
        let adapter = AdapterConfig {
            rank: 2,
            alpha: 4.0,
            targets: modules.map(|module| module.name.to_owned()).collect(),
            ..AdapterConfig::default()
        };
        let mut start = Adapter::init(&adapter, model.config(), 0).unwrap();
        for (t, tensor) in start.tensors.values_mut().enumerate() {
            for (i, value) in tensor.data.iter_mut().enumerate() {
                *value = (0.1 * (0.7 * i as f64 + t as f64).sin()) as f32;
            }
        }
        let trained = train(&model, &start, &examples, &config, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        for (loss, real) in trained.losses.iter().zip(&case.losses) {
            assert!(
                (loss - real).abs() < 5e-5,
                "{name}: {:?} is not {:?}",
                trained.losses,
                case.losses
            );
        }
    }
}

/// A text beyond the original length would need the long factors for all of its tokens.
#[test]
fn longrope_refuses_what_it_does_not_stretch() {
    let model = load("longrope");
    assert_eq!(model.config().max_positions, 100);
    assert!(next_logits(&model, None, &[5; 100]).is_ok());
    let error = next_logits(&model, None, &[5; 101])
        .unwrap_err()
        .to_string();
    assert!(error.contains("101 tokens, the model takes 100"), "{error}");
    // Saved and read again, the model is unchanged.
    let text = model.config().to_json(None);
    assert_eq!(&ModelConfig::from_json(&text).unwrap(), model.config());
    assert!(String::from_utf8(text).unwrap().contains("long_factor"));
}

#[test]
fn what_is_not_supported_names_its_key() {
    for (from, to, key) in [
        ("\"gemma3_text\"", "\"mamba\"", "model_type"),
        (
            "\"sliding_attention\",",
            "\"chunked_attention\",",
            "layer_types",
        ),
        ("\"gelu_pytorch_tanh\"", "\"relu\"", "hidden_activation"),
        (
            "\"attn_logit_softcapping\": null",
            "\"attn_logit_softcapping\": 50.0",
            "attn_logit_softcapping",
        ),
    ] {
        let path = fixtures().join("architectures/gemma3/config.json");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{from}");
        let error = ModelConfig::from_json(text.replace(from, to).as_bytes()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(key) && error.contains("config.json"),
            "{error}"
        );
    }
}

//! Checkpoints of every architecture compared with the results of transformers and peft.
//! `tests/fixtures/architectures.py` made both.

use crate::references::{BOUND, Differences, References, fixtures};
use fedseal_tuning::*;

fn expected() -> References {
    crate::references::json(&fixtures().join("architectures.json")).unwrap()
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

#[test]
fn every_architecture_computes_what_transformers_and_peft_do() {
    let References { texts, models } = expected();
    for architecture in Architecture::ALL {
        let known = |name: &String| load(name).config().family.architecture == architecture;
        assert!(models.keys().any(known), "{architecture:?}");
    }
    for (name, case) in &models {
        let found = crate::references::compare(&load(name), &texts, case, None);
        let Differences {
            absolute,
            losses,
            greedy,
            spelled,
            ..
        } = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(greedy && spelled, "{name}: another text");
        assert!(absolute < 3e-5, "{name}: logits {absolute:.1e}");
        assert!(losses < BOUND, "{name}: losses {losses:.1e}");
    }
}

/// Targets where none are given exist in every model, also in one that fuses its matrices.
#[test]
fn usual_targets_are_the_model_s_own() {
    for name in expected().models.keys() {
        let model = load(name);
        for method in [Method::Lora, Method::Ia3, Method::LayerNorm] {
            let targets = AdapterConfig::usual_targets(method, model.config());
            let names: Vec<&str> = targets.iter().map(String::as_str).collect();
            let config = match method {
                Method::Lora => AdapterConfig {
                    targets: targets.clone(),
                    ..AdapterConfig::default()
                },
                Method::Ia3 => AdapterConfig::ia3(&names),
                Method::LayerNorm => AdapterConfig::layer_norm(&names),
            };
            let adapter = model.new_adapter(&config, 0).unwrap();
            let has = |target: &&&str| {
                let part = format!(".{target}.");
                adapter.tensors.keys().any(|tensor| tensor.contains(&part))
            };
            let missing: Vec<_> = names.iter().filter(|target| !has(target)).collect();
            // OLMo 2 has no norms before its blocks.
            let none_before = missing == [&"input_layernorm"] && name.starts_with("olmo");
            assert!(missing.is_empty() || none_before, "{name}: {missing:?}");
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

//! Comparison with the results of transformers and peft on the same files. The scripts next to the
//! fixtures made them.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;
use serde::Deserialize;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let text = std::fs::read(fixtures().join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[derive(Deserialize)]
struct Tiny {
    prompts: Vec<TinyPrompt>,
    examples: Vec<TinyExample>,
    start: BTreeMap<String, Vec<f32>>,
    end: BTreeMap<String, Vec<f32>>,
    steps: Vec<TinyStep>,
}

#[derive(Deserialize)]
struct TinyPrompt {
    text: String,
    ids: Vec<u32>,
    logits: Vec<f32>,
    greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct TinyExample {
    prompt: String,
    response: String,
    ids: Vec<u32>,
    response_start: usize,
}

#[derive(Deserialize)]
struct TinyStep {
    loss: f32,
}

fn tiny() -> Model {
    Model::load(&fixtures().join("tiny-llama"), &ModelOptions::default()).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_tiny_llama_has_the_logits_of_transformers() {
    let model = tiny();
    let expected: Tiny = read("tiny_llama.json");
    let mut texts = Vec::new();
    for prompt in &expected.prompts {
        assert_eq!(model.encode_prompt(&prompt.text).unwrap(), prompt.ids);
        let logits = next_logits(&model, None, &prompt.ids).unwrap();
        let difference = largest_difference(&logits, &prompt.logits);
        assert!(difference < 2e-4, "{difference}");
        texts.push(model.tokenizer().decode(&prompt.greedy).unwrap());
    }
    let prompts: Vec<String> = expected
        .prompts
        .into_iter()
        .map(|prompt| prompt.text)
        .collect();
    let config = GenerateConfig {
        max_new_tokens: 12,
        ..GenerateConfig::default()
    };
    assert_eq!(generate(&model, None, &prompts, &config).unwrap(), texts);
}

#[test]
fn three_steps_follow_peft() {
    let model = tiny();
    let expected: Tiny = read("tiny_llama.json");
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        dropout: 0.0,
        targets: ["q_proj", "v_proj", "down_proj"].map(str::to_owned).into(),
        ..AdapterConfig::default()
    };
    let mut start = Adapter::init(&config, model.config(), 0).unwrap();
    assert!(
        start.tensors.keys().eq(expected.start.keys()),
        "names differ from peft's"
    );
    for (tensor, values) in start.tensors.values_mut().zip(expected.start.values()) {
        assert_eq!(tensor.data.len(), values.len());
        tensor.data.clone_from(values);
    }
    let mut examples = Vec::new();
    for example in &expected.examples {
        let pair = Example::new(&example.prompt, &example.response);
        let tokens = model.encode_example(&pair, 512, 512).unwrap();
        assert_eq!(tokens.ids, example.ids);
        assert_eq!(tokens.response_start, example.response_start);
        examples.push(pair);
    }
    let config = TrainConfig {
        steps: expected.steps.len(),
        batch_size: examples.len(),
        learning_rate: 1e-2,
        weight_decay: 0.01,
        ..TrainConfig::default()
    };
    let trained = train(&model, &start, &examples, &config, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    for (loss, step) in trained.losses.iter().zip(&expected.steps) {
        assert!((loss - step.loss).abs() < 1e-4, "{loss} {}", step.loss);
    }
    for ((name, tensor), expected) in trained.adapter.tensors.iter().zip(expected.end.values()) {
        // AdamW's first steps have the size of the learning rate whatever the gradient's size, so
        // tiny gradients differ most.
        let difference = largest_difference(&tensor.data, expected);
        assert!(difference < 1e-3, "{name}: {difference}");
    }
}

#[derive(Deserialize)]
struct Smol {
    texts: Vec<SmolText>,
    prompts: Vec<SmolPrompt>,
}

#[derive(Deserialize)]
struct SmolText {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct SmolPrompt {
    text: String,
    ids: Vec<u32>,
    at: Vec<usize>,
    logits: Vec<f32>,
    answer: Vec<u32>,
}

/// Returns the folder of the downloaded model: `$FEDSEAL_MODELS/smollm2` or `models/smollm2` in the
/// repository.
fn smollm2() -> Option<PathBuf> {
    let root = match std::env::var_os("FEDSEAL_MODELS") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models"),
    };
    let folder = root.join("smollm2");
    let file = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    if file.is_file() {
        return Some(file);
    }
    eprintln!(
        "SKIPPED: {} is not there; see tests/fixtures/smollm2_logits.py",
        file.display()
    );
    None
}

#[test]
fn smollm2_has_the_tokens_and_logits_of_transformers() {
    let Some(file) = smollm2() else { return };
    let model = Model::load(&file, &ModelOptions::default()).unwrap();
    let expected: Smol = read("smollm2_logits.json");
    for text in &expected.texts {
        let ids = model.tokenizer().encode(&text.text, false).unwrap();
        assert_eq!(ids, text.ids, "{:?}", text.text);
    }
    let mut answers = Vec::new();
    for prompt in &expected.prompts {
        assert_eq!(model.encode_prompt(&prompt.text).unwrap(), prompt.ids);
        let logits = next_logits(&model, None, &prompt.ids).unwrap();
        let logits: Vec<f32> = prompt.at.iter().map(|&id| logits[id]).collect();
        let difference = largest_difference(&logits, &prompt.logits);
        eprintln!("{:?}: largest difference {difference}", prompt.text);
        assert!(difference < 1e-3, "{:?}: {difference}", prompt.text);
        answers.push(model.tokenizer().decode(&prompt.answer).unwrap());
    }
    let prompts: Vec<String> = expected
        .prompts
        .into_iter()
        .map(|prompt| prompt.text)
        .collect();
    let config = GenerateConfig {
        max_new_tokens: 24,
        ..GenerateConfig::default()
    };
    assert_eq!(generate(&model, None, &prompts, &config).unwrap(), answers);
}

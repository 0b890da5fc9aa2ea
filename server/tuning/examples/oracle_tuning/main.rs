//! The engine's side of `cargo xtask oracle tuning`; see `tests/oracles/tuning/README.md`.
//!
//! `oracle_tuning families OUT` compares every family and every kind of adapter with the references in
//! OUT, and writes adapters to OUT/ours; `oracle_tuning smollm2 OUT SMOLLM2` compares with the real model.
//! Both print one JSON object of figures. `oracle_tuning digest SMOLLM2 THREADS` trains 20 steps and prints
//! the adapter's digest and the kernel (`FEDSEAL_KERNEL` chooses it).

mod adapters;
mod families;
#[path = "../../tests/behaviour/references.rs"]
mod references;

use std::{ops::ControlFlow, path::Path};

use fedseal_tuning::{
    Adapter, AdapterConfig, Example, GenerateConfig, Model, ModelOptions, TrainConfig, generate,
    kernels, next_logits, set_threads, train,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::json;

use references::{Outcome, json, largest_difference, likeliest, set, tensor_difference, values};

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["families", out] => tiny(Path::new(out)),
        ["smollm2", out, smollm2] => compare(Path::new(out), Path::new(smollm2)),
        ["digest", smollm2, threads] => digest(Path::new(smollm2), threads.parse()?),
        _ => Err("arguments: families OUT | smollm2 OUT SMOLLM2 | digest SMOLLM2 THREADS".into()),
    }
}

fn load(path: &Path) -> Outcome<Model> {
    Ok(Model::load(path, &ModelOptions::default())?)
}

/// Compares random models of every family, and adapters of every kind.
fn tiny(out: &Path) -> Outcome {
    let mut figures = families::compare(out)?;
    figures.extend(adapters::compare(out)?);
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}

fn compare(out: &Path, smollm2: &Path) -> Outcome {
    let model = load(smollm2)?;
    let reference: Reference = json(&out.join("smollm2.json"))?;
    let bytes = std::fs::read(out.join("smollm2.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let (logits, equal) = prompts(&model, &reference, &tensors)?;
    let training = training(&model, &reference, &tensors)?;
    let figures = json!({
        "logits.smollm2.max_abs_diff": logits,
        "greedy.equal_tokens": equal,
        "greedy.tokens": reference.prompts.iter().map(|p| p.greedy.len()).sum::<usize>(),
        "lora_step.rel_diff": training.step,
        "lora_step.epsilon_1e-8.rel_diff": training.usual,
        "lora_step.epsilon_1e-8.f64.rel_diff": training.exact,
        "lora_step.epsilon_1e-8.f64.torch.rel_diff": training.peer_exact,
        "loss50.rel_diff": training.curve,
    });
    println!("{figures}");
    Ok(())
}

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<Prompt>,
    examples: Vec<Pair>,
    losses: Vec<f32>,
}

#[derive(Deserialize)]
struct Prompt {
    text: String,
    ids: Vec<u32>,
    greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct Pair {
    prompt: String,
    response: String,
    ids: Vec<u32>,
}

/// Returns the largest difference of logits, and the number of equal greedy tokens: token by token
/// over the whole text, and as texts by the generator with its cache.
fn prompts(
    model: &Model,
    reference: &Reference,
    tensors: &SafeTensors<'_>,
) -> Outcome<(f64, usize)> {
    let (mut largest, mut equal) = (0.0_f64, 0);
    let texts: Vec<String> = reference.prompts.iter().map(|p| p.text.clone()).collect();
    let config = GenerateConfig {
        max_new_tokens: 20,
        ..GenerateConfig::default()
    };
    let answers = generate(model, None, &texts, &config)?;
    for (number, (prompt, answer)) in reference.prompts.iter().zip(answers).enumerate() {
        if model.encode_prompt(&prompt.text)? != prompt.ids {
            return Err(format!("{:?}: other tokens", prompt.text).into());
        }
        let real = values(tensors, &format!("logits.{number}"))?;
        let mut ids = prompt.ids.clone();
        let mut same = 0;
        for (place, &token) in prompt.greedy.iter().enumerate() {
            let logits = next_logits(model, None, &ids)?;
            if place == 0 {
                largest = largest.max(largest_difference(&logits, &real));
            }
            same += usize::from(likeliest(&logits) == token);
            ids.push(token);
        }
        let end = prompt.greedy.iter().position(|id| model.eos().contains(id));
        let before_end = &prompt.greedy[..end.unwrap_or(prompt.greedy.len())];
        if answer != model.tokenizer().decode(before_end)? {
            eprintln!("    {:?}: the generator wrote {answer:?}", prompt.text);
            same = 0;
        }
        eprintln!(
            "    {:?}: {same} of {} tokens",
            prompt.text,
            prompt.greedy.len()
        );
        equal += same;
    }
    Ok((largest, equal))
}

/// Differences of one LoRA step, and of a loss over all steps.
struct Training {
    /// Difference with an epsilon that makes the step a smooth function of the gradient.
    step: f64,
    /// Difference with the usual epsilon, from torch in f32.
    usual: f64,
    /// Difference with the usual epsilon, from torch in f64.
    exact: f64,
    /// Difference of torch in f32 from torch in f64.
    peer_exact: f64,
    curve: f64,
}

fn training(model: &Model, reference: &Reference, tensors: &SafeTensors<'_>) -> Outcome<Training> {
    let mut examples = Vec::new();
    for pair in &reference.examples {
        let example = Example::new(&pair.prompt, &pair.response);
        if model.encode_example(&example, 512, 512)?.ids != pair.ids {
            return Err(format!("{:?}: other tokens", pair.prompt).into());
        }
        examples.push(example);
    }
    let empty = Adapter::init(&AdapterConfig::default(), model.config(), 0)?;
    let stored = |prefix: &str| -> Outcome<Adapter> {
        let mut adapter = empty.clone();
        set(&mut adapter, tensors, &format!("{prefix}."))?;
        Ok(adapter)
    };
    let start = stored("start")?;
    let run = |steps: usize, epsilon: f32| {
        let config = TrainConfig {
            steps,
            batch_size: examples.len(),
            learning_rate: 1e-4,
            epsilon,
            ..TrainConfig::default()
        };
        train(model, &start, &examples, &config, &mut |_| {
            ControlFlow::Continue(())
        })
    };
    let (usual, exact) = (stored("usual")?, stored("exact")?);
    let one = run(1, 1e-8)?.adapter;
    let steps = reference.losses.len();
    let losses = run(steps, 1e-8)?.losses;
    let pairs = losses.iter().zip(&reference.losses);
    let curve = pairs
        .map(|(ours, real)| f64::from((ours - real) / real).abs())
        .fold(
            0.0,
            |m, d| if d.is_nan() { f64::INFINITY } else { d.max(m) },
        );
    let result = Training {
        step: tensor_difference(&run(1, 1e-5)?.adapter, &stored("one")?),
        usual: tensor_difference(&one, &usual),
        exact: tensor_difference(&one, &exact),
        peer_exact: tensor_difference(&usual, &exact),
        curve,
    };
    let last = losses.last().copied().unwrap_or_default();
    eprintln!("    one step: {:.1e}", result.step);
    eprintln!(
        "    with epsilon 1e-8: {:.1e}; against f64 {:.1e}, torch itself {:.1e}",
        result.usual, result.exact, result.peer_exact
    );
    eprintln!("    {steps} steps, last loss {last:.4}: {curve:.1e}");
    Ok(result)
}

fn digest(smollm2: &Path, threads: usize) -> Outcome {
    set_threads(threads);
    let model = load(smollm2)?;
    let start = Adapter::init(&AdapterConfig::default(), model.config(), 3)?;
    // Few tokens: without fused multiply-adds in hardware a step takes seconds.
    let examples = [Example::new("2 + 2 =", "4.")];
    let config = TrainConfig {
        steps: 20,
        batch_size: 1,
        learning_rate: 1e-3,
        max_length: 16,
        ..TrainConfig::default()
    };
    let mut quiet = |_| ControlFlow::Continue(());
    let adapter = train(&model, &start, &examples, &config, &mut quiet)?.adapter;
    let digest: String = adapter
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!(
        "{}",
        json!({ "digest": digest, "kernel": kernels::isa().name() })
    );
    Ok(())
}

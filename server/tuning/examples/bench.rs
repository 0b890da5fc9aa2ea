//! This room's side of `cargo xtask bench tuning`: a process that holds a model and executes
//! commands from standard input, one per line, so that peers can be measured in turn with it.
//!
//!     cargo run -p fedseal-tuning --example bench -- MODEL [exact|fast] [DEVICE]
//!
//! MODEL is a folder, a GGUF file, or `d256` (4 layers of width 256, made here); DEVICE the CPU where it is left
//! out. Commands:
//!
//! - `threads N`
//! - `export FILE`: writes the token ids that every engine trains on and answers, as JSON
//! - `train STEPS`: takes optimiser steps that continue one training
//! - `generate BATCH NEW`: answers BATCH prompts at once, NEW tokens each
//! - `peak`: the fastest large product in this numeric mode (f32 or 16-bit integers), operations a second
//! - `memory`: the peak memory of this process
//!
//! Each answer is one line of JSON with the work done and the seconds it took. The process can also
//! be driven by hand, for profiles.

use std::{
    error::Error,
    io::{BufRead as _, Write as _},
    ops::ControlFlow,
    path::Path,
    time::Instant,
};

use fedseal_tuning::{
    Adapter, AdapterConfig, Example, GenerateConfig, Message, Model, ModelConfig, ModelOptions,
    Numerics, PretrainConfig, Role, Sequence, Template, Tokenizer, TrainConfig, Trainer, device,
    fingerprint, generate_stream,
    kernels::gemm::{
        Packed,
        pairs::{PackedPairs, Rows, product_pairs},
        product,
    },
    pretrain, set_threads,
};
use serde_json::{Value, json};

/// Number of training examples, and examples per step: (8, mixed lengths) for a real model, (16,
/// 128 tokens each) for the small one.
const EXAMPLES: usize = 32;

/// The small model's `config.json`; the peer makes its model from the same text.
const SMALL: &str = r#"{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
  "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
  "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 704, "vocab_size": 2048,
  "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "max_position_embeddings": 512,
  "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
  "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0
}"#;

const WORDS: [&str; 24] = [
    "river", "stone", "light", "garden", "paper", "seven", "music", "winter", "the", "of", "and",
    "a", "window", "answer", "because", "small", "under", "morning", "write", "colour", "green",
    "between", "listen", "bread",
];

fn words(seed: usize, count: usize) -> String {
    let word = |i: usize| WORDS[(seed * 31 + i * i * 7 + i * 3) % WORDS.len()];
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// Returns Alpaca-shaped examples: prompts of 8 to 30 words, answers of 6 to 52.
fn mixed() -> Vec<Example> {
    (0..EXAMPLES)
        .map(|i| Example::new(words(i, 8 + i * 5 % 23), words(i + 7, 6 + i * 11 % 47)))
        .collect()
}

fn long() -> Vec<Example> {
    (0..EXAMPLES)
        .map(|i| Example::new(words(i, 60), words(i + 7, 200)))
        .collect()
}

fn prompts(batch: usize) -> Vec<Vec<Message>> {
    (0..batch)
        .map(|i| vec![Message::new(Role::User, words(i + 3, 6 + i * 5 % 17))])
        .collect()
}

fn small_model(options: &ModelOptions) -> Result<Model, Box<dyn Error>> {
    let shape = ModelConfig::from_json(SMALL.as_bytes())?;
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let text = WORDS.join(" ");
    let tokenizer = Tokenizer::train_bpe(std::iter::once(text.as_str()), shape.vocab, &special)?;
    let ids = tokenizer.encode(&text, false)?;
    let sequence = Sequence {
        loss: vec![true; ids.len()],
        ids,
    };
    let config = PretrainConfig {
        steps: 1,
        ..PretrainConfig::default()
    };
    let made = pretrain(&shape, &[sequence], &config, &device("cpu")?, &mut |_| {
        ControlFlow::Continue(())
    })?;
    let files = made.to_files(&tokenizer, "<|im_end|>", None)?;
    let options = ModelOptions {
        template: Template::ChatMl,
        ..options.clone()
    };
    Ok(Model::from_files(files, &options)?)
}

/// Floating-point operations of a training pass over tokens: the frozen matrices forward and
/// backward, and the vocabulary on the response's rows. Attention, norms and adapters are not
/// counted.
fn operations(model: &ModelConfig, tokens: usize, rows: usize) -> f64 {
    let embedding = model.vocab * model.d_model;
    let tables = if model.tied_embeddings { 1 } else { 2 };
    let matrices = model.parameters() - tables * embedding;
    4.0 * (matrices as f64 * tokens as f64 + embedding as f64 * rows as f64)
}

/// Returns the speed of the fastest of several products of 1024³, operations a second; operands are
/// already packed for the kernel.
fn peak(numerics: Numerics) -> f64 {
    const N: usize = 1024;
    let values: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32 * 0.1 - 0.8).collect();
    let fastest = |once: &dyn Fn() -> Vec<f32>| {
        let time = || {
            let clock = Instant::now();
            std::hint::black_box(once());
            clock.elapsed().as_secs_f64()
        };
        (0..24).map(|_| time()).fold(f64::INFINITY, f64::min)
    };
    let best = match numerics {
        Numerics::Exact => {
            let weight = Packed::new(&values, N, N);
            fastest(&|| product(&values, N, &weight))
        }
        Numerics::Fast => {
            let weight = PackedPairs::new(&values, N, N);
            Rows::with(&values, N, |rows| fastest(&|| product_pairs(rows, &weight)))
        }
    };
    2.0 * (N * N * N) as f64 / best
}

/// Returns `VmHWM`, KiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("argument: MODEL")?;
    let numerics = match std::env::args().nth(2) {
        Some(name) => Numerics::from_name(&name).ok_or("numeric mode: exact or fast")?,
        None => Numerics::Exact,
    };
    let spec = std::env::args().nth(3);
    let options = ModelOptions {
        numerics,
        device: device(spec.as_deref().unwrap_or("cpu"))?,
        ..ModelOptions::default()
    };
    let clock = Instant::now();
    let (model, examples, batch_size, max_length) = match name.as_str() {
        "d256" => (small_model(&options)?, long(), 16, 128),
        path => {
            let model = Model::load(Path::new(path), &options)?;
            (model, mixed(), 8, 512)
        }
    };
    let config = TrainConfig {
        steps: 1_000_000,
        batch_size,
        max_length,
        max_response_tokens: max_length,
        ..TrainConfig::default()
    };
    let start = Adapter::init(&AdapterConfig::default(), model.config(), 1)?;
    let mut trainer = Trainer::new(&model, &start, &examples, &config)?;
    let mut rows = 0;
    let mut tokens = 0;
    let mut encoded = Vec::new();
    for example in &examples {
        let example = model.encode_example(example, max_length, max_length)?;
        tokens += example.ids.len();
        rows += example.response_len();
        encoded.push(json!([example.ids, example.response_start]));
    }
    // Averaged over steps: one pass over the examples is a whole number of steps.
    let rows_a_step = rows / (EXAMPLES / batch_size);

    let ready = json!({
        "engine": fingerprint(&model), "seconds": clock.elapsed().as_secs_f64(),
        "mean_tokens": tokens as f64 / EXAMPLES as f64,
    });
    answer(&ready)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut command = line.split_whitespace();
        let verb = command.next().unwrap_or_default();
        let mut number = || -> Result<usize, Box<dyn Error>> {
            Ok(command.next().ok_or("a number is missing")?.parse()?)
        };
        let clock = Instant::now();
        match verb {
            "" => continue,
            "threads" => {
                set_threads(number()?);
                answer(&json!({}))?;
            }
            "export" => {
                let path = line.split_once(' ').ok_or("a file is missing")?.1;
                let prompts: Vec<Vec<u32>> = prompts(20)
                    .iter()
                    .map(|messages| model.encode_messages(messages))
                    .collect::<Result<_, _>>()?;
                let small: Value = match name.as_str() {
                    "d256" => serde_json::from_str(SMALL)?,
                    _ => Value::Null,
                };
                let case = json!({
                    "model": name, "config": small, "batch_size": batch_size,
                    "examples": encoded, "prompts": prompts,
                });
                std::fs::write(path, serde_json::to_vec(&case)?)?;
                answer(&json!({}))?;
            }
            "train" => {
                let steps = number()?;
                let (mut tokens, mut computed, mut loss) = (0, 0, 0.0);
                for _ in 0..steps {
                    let event = trainer.step()?.ok_or("the training has ended")?;
                    tokens += event.tokens;
                    computed += event.computed as usize;
                    loss = event.loss;
                }
                answer(&json!({
                    "seconds": clock.elapsed().as_secs_f64(), "tokens": tokens, "loss": loss,
                    "computed": computed,
                    "operations": operations(model.config(), computed, rows_a_step * steps),
                }))?;
            }
            "generate" => {
                let (batch, new) = (number()?, number()?);
                let config = GenerateConfig {
                    max_new_tokens: new,
                    min_new_tokens: new,
                    ..GenerateConfig::default()
                };
                let texts = generate_stream(&model, None, &prompts(batch), &config, &mut |_| {
                    ControlFlow::Continue(())
                })?;
                let seconds = clock.elapsed().as_secs_f64();
                let tokens: usize = texts.iter().map(|text| text.tokens).sum();
                answer(&json!({ "seconds": seconds, "tokens": tokens }))?;
            }
            "peak" => answer(&json!({ "operations_per_second": peak(numerics) }))?,
            "memory" => answer(&json!({ "peak_kib": peak_memory() }))?,
            other => return Err(format!("unknown command {other:?}").into()),
        }
    }
    Ok(())
}

fn answer(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

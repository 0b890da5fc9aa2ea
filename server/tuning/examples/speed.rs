//! Measures this room: tokens a second of training, generation and pretraining.
//!
//!     cargo run -p fedseal-tuning --example speed -- [smol FILE.gguf] [small] [pretrain]
//!
//! `small` and `pretrain` use the shape of the model that ships with the project.

use std::{ops::ControlFlow, time::Instant};

use fedseal_tuning::*;

fn small_shape() -> ModelConfig {
    ModelConfig {
        d_model: 192,
        layers: 4,
        heads: 6,
        kv_heads: 3,
        head_dim: 32,
        ffn: 512,
        vocab: 1024,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        norm_eps: 1e-5,
        max_positions: 256,
        tied_embeddings: true,
        family: Default::default(),
    }
}

const TEXT: &str = "The ship left the harbour in the morning, and when the wind rose the captain \
    told everyone to stay below until the rain had passed; by noon the sky was clear again, so \
    they went up to count the barrels and to mend the sail that had been torn in the night. ";

/// The text's words from `start` on, again and again.
fn words(start: usize, count: usize) -> String {
    let words: Vec<&str> = TEXT
        .split_whitespace()
        .cycle()
        .skip(start % 50)
        .take(count)
        .collect();
    words.join(" ")
}

fn examples() -> Vec<Example> {
    (0..64)
        .map(|i| Example::new(words(i, 8 + i % 20), words(i + 7, 16 + i % 24)))
        .collect()
}

fn measure_training(
    model: &Model,
    rank: usize,
    steps: usize,
    batch_size: usize,
) -> Result<(), TuningError> {
    let config = AdapterConfig {
        rank,
        alpha: 2.0 * rank as f32,
        ..AdapterConfig::default()
    };
    let start = Adapter::init(&config, model.config(), 1)?;
    let config = TrainConfig {
        steps,
        batch_size,
        learning_rate: 1e-3,
        ..TrainConfig::default()
    };
    let clock = Instant::now();
    let mut first = None;
    let trained = train(model, &start, &examples(), &config, &mut |event| {
        first.get_or_insert((clock.elapsed(), event.tokens));
        ControlFlow::Continue(())
    })?;
    let (first_time, first_tokens) = first.unwrap_or_default();
    let seconds = (clock.elapsed() - first_time).as_secs_f64();
    println!(
        "train: {:.0} tokens/s over {} steps of {batch_size} (first step {:.2} s), loss {:.3} to {:.3}",
        (trained.tokens - first_tokens) as f64 / seconds,
        steps - 1,
        first_time.as_secs_f64(),
        trained.losses[0],
        trained.losses[steps - 1],
    );
    Ok(())
}

fn measure_generation(model: &Model, count: usize, new: usize) -> Result<(), TuningError> {
    let prompts: Vec<String> = (0..count).map(|i| words(i, 6 + i % 12)).collect();
    let adapter = Adapter::init(&AdapterConfig::default(), model.config(), 1)?;
    let config = GenerateConfig {
        max_new_tokens: new,
        ..GenerateConfig::default()
    };
    let clock = Instant::now();
    let texts = generate(model, Some(&adapter), &prompts, &config)?;
    let seconds = clock.elapsed().as_secs_f64();
    let mut tokens = 0;
    for text in &texts {
        tokens += model.tokenizer().encode(text, false)?.len();
    }
    println!(
        "generate: {count} prompts, {tokens} new tokens in {seconds:.2} s, {:.0} a second",
        tokens as f64 / seconds
    );
    let pairs: Vec<(String, String)> = examples()
        .into_iter()
        .map(|example| (example.prompt, example.response))
        .collect();
    let clock = Instant::now();
    score(model, Some(&adapter), &pairs)?;
    println!(
        "score: {} pairs in {:.2} s",
        pairs.len(),
        clock.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> Result<(), TuningError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if let Ok(threads) = std::env::var("THREADS") {
        set_threads(threads.parse().unwrap_or(0));
    }
    if let Some(file) = arguments
        .iter()
        .find(|argument| argument.ends_with(".gguf"))
    {
        let clock = Instant::now();
        let model = Model::load(file.as_ref(), &ModelOptions::default())?;
        println!(
            "{}; loaded in {:.2} s",
            fingerprint(&model),
            clock.elapsed().as_secs_f64()
        );
        measure_training(&model, 16, 6, 8)?;
        measure_generation(&model, 32, 32)?;
    }
    if asked("small") || asked("pretrain") {
        let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let tokenizer = Tokenizer::train_bpe(std::iter::once(TEXT), 1024, &special)?;
        let mut sequences = Vec::new();
        for example in examples() {
            let text = format!(
                "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>",
                example.prompt, example.response
            );
            let ids = tokenizer.encode(&text, false)?;
            sequences.push(Sequence {
                loss: vec![true; ids.len()],
                ids,
            });
        }
        let steps = if asked("pretrain") { 40 } else { 4 };
        let config = PretrainConfig {
            steps,
            ..PretrainConfig::default()
        };
        let (clock, mut tokens) = (Instant::now(), 0);
        let shape = small_shape();
        let trained = pretrain(&shape, &sequences, &config, &device("cpu")?, &mut |event| {
            tokens += event.tokens;
            ControlFlow::Continue(())
        })?;
        println!(
            "pretrain: {} parameters, {:.0} tokens/s, loss {:.2} to {:.2}",
            shape.parameters(),
            tokens as f64 / clock.elapsed().as_secs_f64(),
            trained.losses[0],
            trained.losses[steps - 1],
        );
        let files = trained.to_files(&tokenizer, "<|im_end|>", None)?;
        let model = Model::from_files(files, &ModelOptions::default())?;
        measure_training(&model, 8, 20, 16)?;
        measure_generation(&model, 200, 32)?;
    }
    Ok(())
}

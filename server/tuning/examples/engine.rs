//! Speed of training and generation on this machine: `cargo run -p fedseal-tuning --example
//! engine -- MODEL train|generate [threads [steps]]`.

use std::{ops::ControlFlow, path::Path, time::Instant};

use fedseal_tuning::{
    Adapter, AdapterConfig, Example, GenerateConfig, Model, ModelOptions, TrainConfig, generate,
    set_threads, train,
};

/// Processor time of this process so far, seconds: what counts on a busy machine.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = ticks
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, what, rest @ ..] = arguments.as_slice() else {
        return Err("arguments: MODEL train|generate [threads [steps]]".into());
    };
    set_threads(rest.first().map_or(Ok(0), |text| text.parse())?);
    let start = Instant::now();
    let model = Model::load(Path::new(model), &ModelOptions::default())?;
    println!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    let adapter = Adapter::init(&AdapterConfig::default(), model.config(), 1)?;
    let words = [
        "river", "stone", "light", "garden", "paper", "seven", "music", "winter",
    ];
    let text = |seed: usize, length: usize| -> String {
        let word = |i: usize| words[(seed * 31 + i * i * 7 + i) % words.len()];
        (0..length).map(word).collect::<Vec<_>>().join(" ")
    };
    match what.as_str() {
        "train" => {
            // Alpaca-shaped: prompts and answers of mixed length, 73 tokens on average.
            let examples: Vec<Example> = (0..64)
                .map(|i| Example::new(text(i, 8 + i * 5 % 23), text(i + 7, 6 + i * 11 % 47)))
                .collect();
            let steps = rest.get(1).map_or(Ok(8), |text| text.parse())?;
            let config = TrainConfig {
                steps,
                batch_size: 8,
                ..TrainConfig::default()
            };
            let mut start = Instant::now();
            let mut cpu = cpu_seconds();
            let (mut tokens, mut seconds, mut cpu_total) = (0, 0.0, 0.0);
            let trained = train(&model, &adapter, &examples, &config, &mut |event| {
                let took = start.elapsed().as_secs_f64();
                let speed = event.tokens as f64 / took;
                let cpu_took = cpu_seconds() - cpu;
                println!(
                    "step {}: loss {:.4}, {} tokens, {took:.3} s, cpu {cpu_took:.2} s, {speed:.0} tokens/s",
                    event.step, event.loss, event.tokens
                );
                // The first step packs the transposed weights.
                if event.step > 1 {
                    tokens += event.tokens;
                    seconds += took;
                    cpu_total += cpu_took;
                }
                start = Instant::now();
                cpu = cpu_seconds();
                ControlFlow::Continue(())
            })?;
            println!("digest {:02x?}", &trained.adapter.digest()[..8]);
            let speed = tokens as f64 / seconds;
            println!(
                "train: {speed:.0} tokens/s, {:.0} per cpu second",
                tokens as f64 / cpu_total
            );
        }
        _ => {
            let prompts: Vec<String> = (0..200).map(|i| text(i, 4 + i % 12)).collect();
            let config = GenerateConfig {
                max_new_tokens: 32,
                ..GenerateConfig::default()
            };
            let start = Instant::now();
            let answers = generate(&model, Some(&adapter), &prompts, &config)?;
            println!(
                "generate: 200 prompts in {:.2} s, cpu {:.2} s, {} bytes",
                start.elapsed().as_secs_f64(),
                cpu_seconds(),
                answers.iter().map(String::len).sum::<usize>()
            );
        }
    }
    Ok(())
}

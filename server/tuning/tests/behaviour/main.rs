//! Guarantees to callers: equal bits, independence of batches and threads, and errors instead of
//! surprises.

mod architectures;
mod base;
mod conversations;
mod drive;
mod halting;
mod hostile;
mod models;
mod options;
mod oracle;
mod references;
mod steps;
mod texts;
mod training;

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;

fn tiny() -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    Model::load(&folder, &ModelOptions::default()).unwrap()
}

fn examples() -> Vec<Example> {
    (0..12)
        .map(|i| {
            Example::new(
                format!("the cat {i} sat on"),
                format!("the mat and {i} dogs"),
            )
        })
        .collect()
}

fn adapter(model: &Model, dropout: f32) -> Adapter {
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        dropout,
        ..AdapterConfig::default()
    };
    Adapter::init(&config, model.config(), 3).unwrap()
}

fn run(model: &Model, start: &Adapter, config: &TrainConfig) -> Trained {
    train(model, start, &examples(), config, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

const CONFIG: fn() -> TrainConfig = || TrainConfig {
    steps: 6,
    batch_size: 4,
    learning_rate: 1e-2,
    ..TrainConfig::default()
};

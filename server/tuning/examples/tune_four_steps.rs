//! Four steps of LoRA on four examples: the model's answer before and after, and the adapter's name, which
//! a second training with the same seed gives again.
//!
//!     cargo run -p fedseal-tuning --example tune_four_steps -- [MODEL]
//!
//! MODEL is a Hugging Face folder or a GGUF file; left out, the model that ships with fedseal.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;

use fedseal_tuning::{
    Adapter, AdapterConfig, Example, GenerateConfig, Model, ModelOptions, TrainConfig, generate,
    train,
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../federation/model");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| SHIPPED.into());
    let model = Model::load(&folder, &ModelOptions::default())?;
    let examples = [
        Example::new("Name a colour.", "Blue."),
        Example::new("Name a fruit.", "Plum."),
        Example::new("Name an animal.", "Hare."),
        Example::new("Name a metal.", "Iron."),
    ];
    // A fresh adapter changes nothing: it starts where the model is.
    let start = model.new_adapter(&AdapterConfig::default(), 7)?;
    let config = TrainConfig {
        steps: 4,
        batch_size: 2,
        learning_rate: 5e-3,
        max_length: 64,
        max_response_tokens: 16,
        ..TrainConfig::default()
    };
    let trained = train(&model, &start, &examples, &config, &mut |event| {
        println!(
            "step {} of {}: loss {:.3}",
            event.step, event.steps, event.loss
        );
        ControlFlow::Continue(())
    })?;
    println!("before: {}", answer(&model, &start)?);
    println!("after:  {}", answer(&model, &trained.adapter)?);

    let again = train(&model, &start, &examples, &config, &mut |_| {
        ControlFlow::Continue(())
    })?;
    let name = trained.adapter.digest();
    if again.adapter.digest() != name {
        return Err("the same inputs gave another adapter".into());
    }
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("adapter {hex}, twice");
    Ok(())
}

fn answer(model: &Model, adapter: &Adapter) -> Result<String, Box<dyn Error>> {
    let config = GenerateConfig {
        max_new_tokens: 12,
        ..GenerateConfig::default()
    };
    let answers = generate(
        model,
        Some(adapter),
        &["Name a colour.".to_owned()],
        &config,
    )?;
    Ok(answers.into_iter().next().ok_or("no answer")?)
}

//! `fedseal generate PROMPT...`

use std::path::PathBuf;

use clap::Args;
use fedseal_federation::pretraining;
use fedseal_tuning::{Adapter, GenerateConfig, Model, ModelOptions, Template};

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Answers prompts by a model, with an adapter of a run or without.
#[derive(Args)]
pub struct Generate {
    /// The prompts.
    #[arg(required = true)]
    prompts: Vec<String>,
    /// `embedded`, a name below the models folder, a Hugging Face folder or a .gguf file.
    #[arg(long, default_value = "embedded")]
    model: String,
    /// An adapter: a file, for example a blob of a run.
    #[arg(long, value_name = "FILE")]
    adapter: Option<PathBuf>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// 0 takes the likeliest token.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu or wgpu.
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Generate {
    /// Prints one answer a prompt.
    pub fn execute(self) -> Outcome {
        let options = ModelOptions {
            device: fedseal_tuning::device(&self.device).map_err(Failure::usage)?,
            template: Template::Model,
        };
        let model = if self.model == "embedded" {
            Model::from_files(pretraining::embedded(), &options)
        } else {
            let named = Places::find().models().join(&self.model);
            let path = if named.exists() {
                named
            } else {
                PathBuf::from(&self.model)
            };
            if !path.exists() {
                return Err(
                    Failure::usage(format!("{}: there is no model", path.display()))
                        .hint("For SmolLM2: fedseal fetch smollm2"),
                );
            }
            Model::load(&path, &options)
        }
        .map_err(Failure::new)?;
        let adapter = match &self.adapter {
            None => None,
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| Failure::io(path, &error))?;
                let adapter = Adapter::from_bytes(&bytes)
                    .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                Some(adapter)
            }
        };
        let config = GenerateConfig {
            max_new_tokens: self.tokens,
            temperature: self.temperature,
            seed: self.seed,
            ..GenerateConfig::default()
        };
        let answers = fedseal_tuning::generate(&model, adapter.as_ref(), &self.prompts, &config)
            .map_err(Failure::new)?;
        for (prompt, answer) in self.prompts.iter().zip(answers) {
            output::line(format!("> {prompt}\n{answer}\n"));
        }
        Ok(())
    }
}

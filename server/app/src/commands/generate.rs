//! `fedseal generate PROMPT...`

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use fedseal_tuning::{Message, Role};
use serde_json::json;

use super::engine::{self, Drawing, ModelChoice};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Answers prompts by a model, with an adapter or without, all at once.
#[derive(Args)]
pub struct Generate {
    /// The prompts.
    #[arg(required = true)]
    prompts: Vec<String>,
    #[command(flatten)]
    model: ModelChoice,
    /// An adapter: a blob of a run, or a folder that PEFT or `fedseal tune` wrote.
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    #[command(flatten)]
    drawing: Drawing,
    /// Instructions that stand before every prompt, where the model's template has a place for
    /// them.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Print one JSON object an answer: prompt, text, tokens, finish.
    #[arg(long)]
    json: bool,
}

impl Generate {
    /// Prints one answer a prompt.
    pub fn execute(self) -> Outcome {
        let model = self.model.load()?;
        let adapter = engine::optional_adapter(self.adapter.as_deref(), &model)?;
        let messages: Vec<Vec<Message>> = self
            .prompts
            .iter()
            .map(|prompt| {
                let system = self
                    .system
                    .iter()
                    .map(|text| Message::new(Role::System, text));
                system.chain([Message::new(Role::User, prompt)]).collect()
            })
            .collect();
        let config = self.drawing.config(self.tokens, 0);
        let answers = fedseal_tuning::generate_stream(
            &model,
            adapter.as_ref(),
            &messages,
            &config,
            &mut |_| ControlFlow::Continue(()),
        )
        .map_err(Failure::new)?;
        for (prompt, answer) in self.prompts.iter().zip(answers) {
            if self.json {
                output::line(json!({
                    "prompt": prompt, "text": answer.text, "tokens": answer.tokens,
                    "finish": answer.finish,
                }));
            } else {
                output::line(format!("> {prompt}\n{}\n", answer.text));
            }
        }
        Ok(())
    }
}

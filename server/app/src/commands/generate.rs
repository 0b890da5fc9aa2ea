//! `fedseal generate PROMPT...`

use std::ops::ControlFlow;

use clap::Args;
use fedseal_tuning::{Message, Role};
use serde_json::json;

use super::engine::{self, Speaker};
use crate::failure::Outcome;
use crate::output;

/// Answers prompts by a model, with an adapter or without, all at once.
#[derive(Args)]
pub(crate) struct Generate {
    /// The prompts.
    #[arg(required = true)]
    prompts: Vec<String>,
    #[command(flatten)]
    speaker: Speaker,
    /// Most tokens of an answer; it ends where the model's positions are used up.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Print one JSON object an answer: prompt, text, tokens, finish.
    #[arg(long)]
    json: bool,
}

impl Generate {
    /// Prints one answer a prompt.
    pub(crate) fn execute(self) -> Outcome {
        let (model, adapter) = self.speaker.load()?;
        let messages: Vec<Vec<Message>> = self
            .prompts
            .iter()
            .map(|prompt| {
                let mut messages = self.speaker.begin();
                messages.push(Message::new(Role::User, prompt));
                messages
            })
            .collect();
        let config = self.speaker.config(self.tokens, 0);
        let answers = fedseal_tuning::generate_stream(
            &model,
            adapter.as_ref(),
            &messages,
            &config,
            &mut |_| ControlFlow::Continue(()),
        )
        .map_err(engine::refused)?;
        for (prompt, answer) in self.prompts.iter().zip(answers) {
            if self.json {
                output::line(json!({
                    "prompt": prompt, "text": answer.text, "tokens": answer.tokens,
                    "finish": answer.finish,
                }));
            } else {
                output::line(format!("> {prompt}\n{}\n", answer.text));
                if let Some(said) = engine::used_up(&model, &answer) {
                    output::note(format!("    {said}"));
                }
            }
        }
        Ok(())
    }
}

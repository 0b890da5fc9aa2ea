//! `fedseal chat`

use std::io::{BufRead as _, IsTerminal as _};
use std::ops::ControlFlow;

use clap::Args;
use fedseal_tuning::{Finish, Message, Role};
use serde_json::json;

use super::engine::Speaker;
use crate::failure::{Failure, Outcome};
use crate::{output, stop};

/// Talks with a model: one line of standard input is one message, the answer is printed while it
/// is written. `/new` begins a new conversation; the end of the input ends the chat.
#[derive(Args)]
pub struct Chat {
    #[command(flatten)]
    speaker: Speaker,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 512)]
    tokens: usize,
    /// Print JSON objects, one a line: `{"piece": text}` while an answer is written, then the
    /// answer with `tokens` and `finish`.
    #[arg(long)]
    json: bool,
}

/// Longest line that is taken as a message, bytes.
const LINE: u64 = 1 << 20;

impl Chat {
    /// Reads, answers, until the input ends.
    pub fn execute(self) -> Outcome {
        let (model, adapter) = self.speaker.load()?;
        let terminal = std::io::stdin().is_terminal() && !self.json;
        stop::watch("stopping");
        let mut messages = self.speaker.begin();
        let mut turn = 0;
        let mut input = std::io::stdin().lock();
        loop {
            if terminal {
                output::prompt("> ");
            }
            let mut line = String::new();
            let read = std::io::Read::take(&mut input, LINE)
                .read_line(&mut line)
                .map_err(|error| Failure::usage(format!("standard input: {error}")))?;
            if read == 0 || stop::asked() {
                return Ok(());
            }
            if read as u64 == LINE && !line.ends_with('\n') {
                return Err(Failure::usage(format!("a line longer than {LINE} bytes")));
            }
            match line.trim() {
                "" => continue,
                "/new" => {
                    messages = self.speaker.begin();
                    continue;
                }
                text => messages.push(Message::new(Role::User, text)),
            }
            let config = self.speaker.config(self.tokens, turn);
            turn += 1;
            let prompts = [messages.clone()];
            let mut listener = |piece: fedseal_tuning::Piece<'_>| {
                if !piece.text.is_empty() {
                    self.show(piece.text);
                }
                match stop::asked() || output::closed() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            let answers = fedseal_tuning::generate_stream(
                &model,
                adapter.as_ref(),
                &prompts,
                &config,
                &mut listener,
            )
            .map_err(Failure::new)?;
            let Some(answer) = answers.into_iter().next() else {
                return Ok(());
            };
            if self.json {
                output::line(json!({
                    "answer": answer.text, "tokens": answer.tokens, "finish": answer.finish,
                }));
            } else {
                output::line("");
            }
            if answer.finish == Finish::Stopped {
                return Ok(());
            }
            messages.push(Message::new(Role::Assistant, answer.text));
        }
    }

    fn show(&self, text: &str) {
        if self.json {
            output::line(json!({ "piece": text }));
            return;
        }
        output::piece(text);
    }
}

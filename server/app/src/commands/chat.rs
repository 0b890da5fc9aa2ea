//! `fedseal chat`

use std::io::{BufRead as _, IsTerminal as _};
use std::ops::ControlFlow;

use clap::Args;
use fedseal_tuning::{Finish, Message, Model, Role, TuningError};
use serde_json::json;

use super::engine::{self, Speaker};
use crate::failure::{Failure, Outcome};
use crate::{output, stop};

/// Talks with a model: one line of standard input is one message, the answer is printed while it
/// is written. `/new` begins a new conversation; the end of the input ends the chat. A conversation
/// that outgrows the model's positions loses its oldest questions with their answers, and that is
/// said.
#[derive(Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    speaker: Speaker,
    /// Most tokens of an answer; it ends where the model's positions are used up.
    #[arg(long, default_value_t = 512)]
    tokens: usize,
    /// Print JSON objects, one a line: `{"piece": text}` while an answer is written, then the
    /// answer with `tokens` and `finish`; before it `{"dropped": messages, "positions": n}` where the
    /// conversation lost its oldest messages.
    #[arg(long)]
    json: bool,
}

/// Longest line that is taken as a message, bytes.
const LINE: u64 = 1 << 20;
/// A conversation leaves one in so many positions to the answer, or what --tokens asks for.
const ROOM: usize = 4;

impl Chat {
    /// Reads, answers, until the input ends.
    pub(crate) fn execute(self) -> Outcome {
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
                _ => {}
            }
            let mut asked = messages.clone();
            asked.push(Message::new(Role::User, line.trim()));
            self.make_room(&model, &mut asked)?;
            let config = self.speaker.config(self.tokens, turn);
            turn += 1;
            let prompts = [asked];
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
            );
            let answers = match answers {
                // A person types again what is too long; a program has to hear of it.
                Err(error @ TuningError::Positions { .. }) if terminal => {
                    output::note(error);
                    continue;
                }
                answers => answers.map_err(engine::refused)?,
            };
            let Some(answer) = answers.into_iter().next() else {
                return Ok(());
            };
            if self.json {
                output::line(json!({
                    "answer": answer.text, "tokens": answer.tokens, "finish": answer.finish,
                }));
            } else {
                output::line("");
                if let Some(said) = engine::used_up(&model, &answer) {
                    output::note(format!("    {said}"));
                }
            }
            if answer.finish == Finish::Stopped {
                return Ok(());
            }
            let [asked] = prompts;
            messages = asked;
            messages.push(Message::new(Role::Assistant, answer.text));
        }
    }

    /// Drops the oldest questions with their answers while the answer to come has less room than
    /// [`ROOM`] gives it, and says how many messages went. Instructions and the last question stay.
    fn make_room(&self, model: &Model, messages: &mut Vec<Message>) -> Outcome {
        let positions = model.config().max_positions;
        let answer = self.tokens.min(positions / ROOM);
        let kept = self.speaker.begin().len();
        let mut dropped = 0;
        loop {
            let tokens = model
                .encode_messages(messages)
                .map_err(engine::refused)?
                .len();
            let alone = messages.len() <= kept + 1;
            if alone || tokens + answer <= positions {
                // A question that does not fit by itself is refused, and nothing is dropped.
                if dropped > 0 && tokens < positions {
                    self.say_dropped(dropped, positions);
                }
                return Ok(());
            }
            let oldest = kept..(kept + 2).min(messages.len() - 1);
            dropped += messages.drain(oldest).count();
        }
    }

    fn say_dropped(&self, dropped: usize, positions: usize) {
        if self.json {
            output::line(json!({ "dropped": dropped, "positions": positions }));
        } else {
            output::note(format!(
                "    the conversation outgrew the model's {positions} positions: its oldest \
                 {dropped} messages are no longer read"
            ));
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

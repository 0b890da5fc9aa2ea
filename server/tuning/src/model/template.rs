//! Texts around a conversation: the model's own template (Jinja), Alpaca, and plain ChatML.
//!
//! A change to a text counts up its version in `server/rules/src/text.rs`: updates that were trained on the
//! text of before cannot be executed again.

mod chat;
mod date;
mod json;
mod lazy;
mod markup;
mod operators;
mod python;
mod safe;
mod source;

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Message, Role, TuningError};

pub use chat::ChatTemplate;
pub use date::Date;

/// Kind of text around a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// The chat template in the model's files.
    #[default]
    Model,
    /// The instruction template of Stanford Alpaca.
    Alpaca,
    /// ChatML with no system prompt.
    #[serde(rename = "chatml", alias = "chat-ml")]
    ChatMl,
}

impl Template {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Model, Self::Alpaca, Self::ChatMl];

    /// Name on command lines and in experiments: `model`, `alpaca`, `chatml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Alpaca => "alpaca",
            Self::ChatMl => "chatml",
        }
    }
}

impl FromStr for Template {
    type Err = TuningError;

    /// Reads a name; `chat-ml` is `chatml`.
    fn from_str(name: &str) -> Result<Self, TuningError> {
        let plain = if name == "chat-ml" { "chatml" } else { name };
        let found = Self::ALL.into_iter().find(|one| one.name() == plain);
        found.ok_or_else(|| {
            TuningError::Config(format!(
                "template {name:?} is none of model, alpaca, chatml"
            ))
        })
    }
}

/// Variables that the model's template is given besides messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rendering {
    /// Variables by name, as transformers' `apply_chat_template` takes them: `enable_thinking`.
    pub args: BTreeMap<String, serde_json::Value>,
    /// Date that `strftime_now` writes. It is an input, since a clock would give two runs two texts.
    pub date: Date,
}

/// How a prompt and its answer become tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Joining {
    /// The text of the whole conversation is encoded as one, and the template says how an answer ends.
    #[default]
    Whole,
    /// Prompt and answer are encoded apart, as they were before text `answers` had version 2: for updates
    /// of then that are executed again. A model without a template has ChatML.
    Apart,
}

/// Names that a variable cannot have: those of the conversation.
const TAKEN: [&str; 4] = ["messages", "add_generation_prompt", "tools", "documents"];

impl Rendering {
    /// Reads `name=value`: the value is JSON, else a text.
    ///
    /// # Errors
    /// [`TuningError::Config`] for no `=`, and for a name that is none or taken.
    pub fn arg(text: &str) -> Result<(String, serde_json::Value), TuningError> {
        let bad =
            |problem: &str| TuningError::Config(format!("template variable {text:?}: {problem}"));
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| bad("expected name=value"))?;
        let first = name.chars().next().is_some_and(char::is_alphabetic);
        if !first || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(bad("the name is no letters, digits and _"));
        }
        if TAKEN.contains(&name) {
            return Err(bad("the conversation has this name"));
        }
        let json = serde_json::from_str(value);
        let value = json.unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
        Ok((name.to_owned(), value))
    }
}

/// Text of a conversation with its last answer.
pub(crate) struct Written {
    pub(crate) text: String,
    /// Bytes that the model says, with the end of its turn: one range or more, in order.
    pub(crate) learned: Vec<Range<usize>>,
    /// Bytes of the answer's own text, where they are known.
    pub(crate) answer: Option<Range<usize>>,
}

impl Written {
    /// A prompt with an answer behind it.
    pub(crate) fn behind(prompt: String, answer: &str) -> Self {
        let range = prompt.len()..prompt.len() + answer.len();
        Self {
            text: prompt + answer,
            learned: std::iter::once(range.clone()).collect(),
            answer: Some(range),
        }
    }
}

/// The Alpaca text around a prompt (Taori et al. 2023, the variant without an input field).
///
/// # Errors
/// [`TuningError::Template`] for more than one message: the template has no turns.
pub(crate) fn alpaca(messages: &[Message]) -> Result<String, TuningError> {
    let [
        Message {
            role: Role::User,
            content,
            ..
        },
    ] = messages
    else {
        let problem = format!(
            "alpaca takes one question, not {} messages; use the model's own or chatml",
            messages.len()
        );
        return Err(TuningError::Template(problem.into()));
    };
    Ok(format!(
        "Below is an instruction that describes a task. Write a response that appropriately \
         completes the request.\n\n### Instruction:\n{content}\n\n### Response:\n"
    ))
}

/// Returns the turns in ChatML, ending at the start of the assistant's answer.
pub(crate) fn chatml(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let (role, content) = (message.role.name(), &message.content);
        text.push_str(&format!("<|im_start|>{role}\n{content}<|im_end|>\n"));
    }
    text.push_str("<|im_start|>assistant\n");
    text
}

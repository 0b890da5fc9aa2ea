//! What goes in: instruction pairs, and their tokens.

use serde::{Deserialize, Serialize};

/// One instruction and the response to learn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What the user asks, without any template around it.
    pub prompt: String,
    /// What the model shall answer.
    pub response: String,
}

impl Example {
    /// A pair from anything that can become two strings.
    pub fn new(prompt: impl Into<String>, response: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            response: response.into(),
        }
    }
}

/// An example as the model sees it: the templated prompt, the response, the end token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, prompt first.
    pub ids: Vec<u32>,
    /// Index in `ids` of the first token that the loss counts.
    pub response_start: usize,
}

impl Tokens {
    /// How many tokens the loss counts.
    pub fn response_len(&self) -> usize {
        self.ids.len().saturating_sub(self.response_start)
    }
}

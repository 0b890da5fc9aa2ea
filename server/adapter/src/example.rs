//! A prompt and its answer.

use serde::{Deserialize, Serialize};

/// One instruction and the response to learn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The user's text, without any template around it.
    pub prompt: String,
    /// The answer that the model learns.
    pub response: String,
}

impl Example {
    /// Makes a pair from anything that can become two strings.
    pub fn new(prompt: impl Into<String>, response: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            response: response.into(),
        }
    }
}

//! Tasks of a measure of helpfulness.

use serde::{Deserialize, Serialize};

/// A task with one checkable answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelpfulTask {
    /// Prompt for the model.
    pub prompt: String,
    /// The answer that the source compares with.
    pub answer: String,
}

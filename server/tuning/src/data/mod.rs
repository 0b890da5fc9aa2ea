//! Training inputs: instruction pairs, conversations, their tokens, and the files they come from.
//!
//! [`Example`](crate::Example) is one prompt and its answer, the unit of federated rounds.
//! [`Conversation`] is what files hold: messages of several turns. [`DataFile`] streams
//! conversations from a file, [`PromptFile`] prompts alone. It detects the format (JSON, JSONL, Parquet,
//! Arrow) from the bytes and the [`Layout`] (Alpaca, ShareGPT, ...) from the first row, unless named. Each
//! format has one file in `format`, each layout one in `layout`.

use std::{ops::Range, path::Path};

use fedseal_adapter::Source;

use crate::TuningError;

mod conversation;
mod file;
mod format;
mod layout;
mod limits;
mod prompts;

pub use conversation::{Conversation, Message, Role};
pub use file::{DataFile, DataOptions};
pub use format::{DataFormat, ParquetColumn, Unwritten, write_parquet};
pub use layout::Layout;
pub use prompts::{PROMPT_FIELDS, PromptFile};

/// An example in the model's form: the templated prompt, the response, the end token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, prompt first.
    pub ids: Vec<u32>,
    /// Index in `ids` of the first token that the loss counts.
    pub response_start: usize,
    /// Ranges of `ids` behind `response_start` that the loss does not count: what a template writes
    /// between two parts of an answer. In order, without overlap, mostly none.
    pub gaps: Vec<Range<usize>>,
    /// Tokens that the length limits removed.
    pub cut: Cut,
}

/// Tokens of an example that do not fit the length limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Number of tokens that the prompt lost at its beginning.
    pub prompt: usize,
    /// Number of tokens that the response lost at its end, its end token included.
    pub response: usize,
}

impl Cut {
    /// Whether anything was removed.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl Tokens {
    /// Number of tokens that the loss counts.
    pub fn response_len(&self) -> usize {
        self.counted().count()
    }

    /// Indices of the tokens that the loss counts.
    pub(crate) fn counted(&self) -> impl Iterator<Item = usize> {
        let counts = |index: &usize| !self.gaps.iter().any(|gap| gap.contains(index));
        (self.response_start..self.ids.len()).filter(counts)
    }
}

/// A fault in one row: the field and the problem. The caller knows the file and the row and adds
/// them.
#[derive(Debug)]
struct Fault {
    field: String,
    problem: Source,
}

impl Fault {
    fn new(field: impl Into<String>, problem: impl Into<Source>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Makes an error from a fault, its file and row.
fn error(path: &Path, row: u64, fault: Fault) -> TuningError {
    TuningError::Data {
        path: path.to_owned(),
        row,
        field: fault.field,
        problem: fault.problem,
    }
}

#[cfg(test)]
mod tests;

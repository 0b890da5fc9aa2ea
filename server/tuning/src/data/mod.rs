//! What goes in: instruction pairs, conversations, their tokens, and the files they come from.
//!
//! [`Example`](crate::Example) is one prompt and its answer, the unit of federated rounds. [`Conversation`] is
//! what files hold: messages of several turns. [`DataFile`] streams conversations from a file; its
//! format (JSON, JSONL, Parquet) is seen from the bytes, its [`Layout`] (Alpaca, ShareGPT, ...)
//! from the first row, unless named. One file a format below `format`, one a layout below `layout`.

mod conversation;
mod file;
mod format;
mod layout;
mod limits;

pub use conversation::{Conversation, Message, Role};
pub use file::{DataFile, DataFormat, DataOptions};
pub use layout::Layout;

/// An example as the model sees it: the templated prompt, the response, the end token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, prompt first.
    pub ids: Vec<u32>,
    /// Index in `ids` of the first token that the loss counts.
    pub response_start: usize,
    /// Whether the prompt lost its beginning or the response its end to the longest lengths.
    pub cut: bool,
}

impl Tokens {
    /// How many tokens the loss counts.
    pub fn response_len(&self) -> usize {
        self.ids.len().saturating_sub(self.response_start)
    }
}

/// What is wrong with one row: the field and the problem. The file and the row are known further
/// up, where they are added.
#[derive(Debug, PartialEq)]
struct Fault {
    field: String,
    problem: String,
}

impl Fault {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests;

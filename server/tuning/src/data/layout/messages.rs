//! OpenAI's fine-tuning files: `messages`, a list of `{role, content}`.

use super::{chat, row::Row};
use crate::data::{Conversation, Fault};

pub(super) const FIELDS: &[&str] = &["messages"];

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("messages")
}

pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    chat::read(row, "messages", "role", "content")
}

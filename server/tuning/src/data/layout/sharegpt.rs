//! ShareGPT: `conversations`, a list of `{from, value}`.

use super::{chat, row::Row};
use crate::data::{Conversation, Fault};

pub(super) const FIELDS: &[&str] = &["conversations"];

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("conversations")
}

pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    chat::read(row, "conversations", "from", "value")
}

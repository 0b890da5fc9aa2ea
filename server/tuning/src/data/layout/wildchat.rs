//! WildChat (Zhao et al. 2024): `conversation_hash` next to `conversation`.

use super::{chat, row::Row};
use crate::data::{Conversation, Fault};

pub(super) const FIELDS: &[&str] = &["conversation_hash", "conversation"];

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("conversation") && row.contains_key("conversation_hash")
}

pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    chat::read(row, "conversation", "role", "content")
}

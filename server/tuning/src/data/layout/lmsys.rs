//! LMSYS-Chat-1M (Zheng et al. 2023): `conversation`, a list of `{role, content}`.

use super::{chat, row::Row};
use crate::data::{Conversation, Fault};

pub(super) const FIELDS: &[&str] = &["conversation_id", "conversation"];

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("conversation")
}

pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    chat::read(row, "conversation", "role", "content")
}

//! Bare pairs: `prompt` with `response` (fedseal's own) or `completion` (as TRL names it).

use super::row::{Row, filled, text};
use crate::{
    Example,
    data::{Conversation, Fault},
};

pub(super) const FIELDS: &[&str] = &["prompt", "response", "completion"];

fn answer(row: &Row) -> &'static str {
    if row.contains_key("response") {
        "response"
    } else {
        "completion"
    }
}

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("prompt") && row.contains_key(answer(row))
}

pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    let prompt = filled(row, "prompt")?;
    let response = text(row, answer(row))?;
    if response.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(Example::new(prompt, response).into()))
}

//! Stanford Alpaca (Taori et al. 2023): `instruction`, `input`, `output`.

use super::row::{Row, filled, text};
use crate::{
    Example,
    data::{Conversation, Fault},
};

pub(super) const FIELDS: &[&str] = &["instruction", "input", "output"];

pub(super) fn fits(row: &Row) -> bool {
    row.contains_key("instruction") && row.contains_key("output")
}

/// Reads a row. Where there is an input, it follows the instruction after an empty line.
pub(super) fn read(row: &Row) -> Result<Option<Conversation>, Fault> {
    let instruction = filled(row, "instruction")?;
    let input = match row.get("input") {
        None | Some(serde_json::Value::Null) => "",
        Some(_) => text(row, "input")?,
    };
    let output = text(row, "output")?;
    if output.trim().is_empty() {
        return Ok(None);
    }
    let prompt = if input.trim().is_empty() {
        instruction.to_owned()
    } else {
        format!("{instruction}\n\n{input}")
    };
    Ok(Some(Example::new(prompt, output).into()))
}

//! A row, and the texts of its fields.

use serde_json::{Map, Value};

use crate::data::Fault;

/// A row: an object of a JSON file, or a row of a Parquet file as an object.
pub(in crate::data) type Row = Map<String, Value>;

/// Returns the text of a required field.
pub(super) fn text<'a>(row: &'a Row, field: &str) -> Result<&'a str, Fault> {
    match row.get(field) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Fault::new(field, "missing")),
        Some(other) => Err(Fault::new(field, not_a_text(other))),
    }
}

/// Returns the text of a field that must not be blank. Blanks around a text are a part of it: what becomes
/// of them is the template's affair.
pub(in crate::data) fn filled<'a>(row: &'a Row, field: &str) -> Result<&'a str, Fault> {
    let text = text(row, field)?;
    if text.trim().is_empty() {
        return Err(Fault::new(field, "empty"));
    }
    Ok(text)
}

pub(super) fn not_a_text(value: &Value) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("{kind}, where a text is expected")
}

/// Whether a field says nothing: it is null, or an empty or blank text, list or object. Tables have
/// every field in every row.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => matches!(text.trim(), "" | "[]" | "{}" | "null"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

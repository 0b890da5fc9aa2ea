//! Fields of `config.json`, and faults in them.

use serde_json::{Map, Value};

use crate::AdapterError;

pub(super) fn bad(text: impl Into<String>) -> AdapterError {
    AdapterError::Format(format!("config.json: {}", text.into()))
}

pub(super) fn unsupported(text: impl Into<String>) -> AdapterError {
    AdapterError::Unsupported(format!("config.json: {}", text.into()))
}

pub(super) fn size(map: &Map<String, Value>, key: &str) -> Result<Option<usize>, AdapterError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|value| usize::try_from(value).ok())
            .map(Some)
            .ok_or_else(|| bad(format!("{key} is {value}"))),
    }
}

/// As [`size`]; a whole number with a decimal point counts, as lengths of rotary settings are written.
pub(super) fn length(map: &Map<String, Value>, key: &str) -> Result<Option<usize>, AdapterError> {
    match map
        .get(key)
        .filter(|value| value.is_f64())
        .and_then(Value::as_f64)
    {
        // Below 2^53 every whole number is exact.
        Some(value) if value.fract() == 0.0 && (0.0..9e15).contains(&value) => {
            Ok(Some(value as usize))
        }
        _ => size(map, key),
    }
}

pub(super) fn need(map: &Map<String, Value>, key: &str) -> Result<usize, AdapterError> {
    size(map, key)?.ok_or_else(|| bad(format!("{key} is missing")))
}

pub(super) fn number(map: &Map<String, Value>, key: &str) -> Result<Option<f64>, AdapterError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| bad(format!("{key} is {value}"))),
    }
}

/// A value of the file in plain words: a text in quotes, "missing" where there is none.
pub(super) fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "is missing".to_owned(), Value::to_string);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

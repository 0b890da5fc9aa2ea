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

pub(super) fn object<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    map.get(key).and_then(Value::as_object)
}

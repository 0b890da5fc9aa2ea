//! TOML errors that name file, line, key and the expected type.

use fedseal_client_sdk::Source;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, unknown_key};

/// A TOML text with the data to name the line of a key in it.
pub(super) struct Located<'a> {
    text: &'a str,
    file: &'a str,
}

impl<'a> Located<'a> {
    /// The text of `file`.
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        Located { text, file }
    }

    /// An error about a dotted key, with its line where the text has it.
    pub(super) fn error(&self, key: &str, problem: impl Into<Source>) -> Error {
        Error::Experiment {
            file: self.file.to_owned(),
            line: self.line_of(key),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    /// The line (from 1) on which a dotted key is set; `a.0.b` means the first `[[a]]` table.
    fn line_of(&self, key: &str) -> Option<usize> {
        let mut table = String::new();
        let mut counts: std::collections::BTreeMap<String, usize> = Default::default();
        for (number, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("[[").and_then(|l| l.split("]]").next()) {
                let count = counts.entry(name.to_owned()).or_default();
                table = format!("{name}.{count}.");
                *count += 1;
                if table.trim_end_matches('.') == key {
                    return Some(number + 1);
                }
            } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                table = format!("{name}.");
                if name == key {
                    return Some(number + 1);
                }
            } else if let Some((name, value)) = line.split_once('=') {
                let name = format!("{table}{}", name.trim());
                let inline =
                    value.trim_start().starts_with('{') && key.starts_with(&format!("{name}."));
                if name == key || inline {
                    return Some(number + 1);
                }
            }
        }
        None
    }
}

/// Parses a text; errors name line, dotted key and expected type, unknown keys list near ones.
pub(super) fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map(|span| span.start);
        let (line, key) = offset.map_or((None, String::new()), |offset| {
            let (line, key) = position(text, offset);
            (Some(line), key)
        });
        Error::Experiment {
            file: file.to_owned(),
            line,
            key,
            problem: explain(error.message()).into(),
        }
    })
}

/// Line (from 1) and dotted key at a byte offset.
fn position(text: &str, offset: usize) -> (usize, String) {
    let mut table = String::new();
    let mut key = String::new();
    let mut line_number = 0;
    let mut begin = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        line_number = number + 1;
        let trimmed = line.trim();
        if trimmed.starts_with('[') && (trimmed.ends_with(']') || trimmed.contains("] #")) {
            // A line of a list's values looks like a header only when it starts with `[`, which
            // none of our keys' values do.
            table = trimmed
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or_default()
                .to_owned();
            key.clear();
        } else if let Some((name, _)) = trimmed.split_once('=')
            && !trimmed.starts_with('#')
        {
            key = name.trim().to_owned();
        } else if !trimmed.is_empty() && key.is_empty() {
            key = trimmed.to_owned();
        }
        begin += line.len();
        if begin > offset {
            break;
        }
    }
    let dotted = match (table.is_empty(), key.is_empty()) {
        (true, _) => key,
        (false, true) => table,
        (false, false) => format!("{table}.{key}"),
    };
    (line_number.max(1), dotted)
}

/// serde's message in the words of someone who writes a TOML file.
fn explain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2).map(str::to_owned);
        let name = names.next().unwrap_or_default();
        return unknown_key(&name, names);
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(prefix)
            && let Some((found, expected)) = rest.split_once(", expected ")
        {
            return format!(
                "expected {}, found {}",
                expected_in_words(expected),
                found_in_words(found)
            );
        }
    }
    message.trim().replace('\n', "; ")
}

fn expected_in_words(expected: &str) -> String {
    match expected.trim() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a string" | "string" => "a text in quotes".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}

fn found_in_words(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let kind = match kind {
        "string" => "the text",
        "integer" => "the whole number",
        "floating" => return format!("the number {}", value.trim_start_matches("point ")),
        "boolean" => "the truth value",
        "sequence" => "a list",
        "map" => "a table",
        other => other,
    };
    format!("{kind} {value}").trim().to_owned()
}

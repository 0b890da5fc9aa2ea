//! Lines about what happens, for programs that collect them: one object of JSON a line, or text with the same
//! fields. Without a format only what people need is said, as `fedseal: MESSAGE`.

use std::fmt::Write as _;
use std::sync::OnceLock;

use clap::ValueEnum;
use fedseal_record::rundir;
use serde_json::{Map, Value};

use crate::output;

/// Form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `TIME LEVEL EVENT name=value ...`.
    Text,
    /// An object with `time`, `level`, `event` and the fields.
    Json,
}

/// How much somebody has to care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something happened as it should.
    Info,
    /// Something is to be looked at.
    Warn,
    /// Something is broken.
    Error,
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Chooses a format for the rest of this process; only the first choice counts.
pub(crate) fn set(format: Option<Format>) {
    if let Some(format) = format {
        let _ = FORMAT.set(format);
    }
}

/// Whether lines were asked for.
pub(crate) fn on() -> bool {
    FORMAT.get().is_some()
}

/// Says something that people read too, where they asked for lines or not.
pub(crate) fn say(level: Level, event: &str, message: &str) {
    match FORMAT.get() {
        None => output::note(format_args!("fedseal: {message}")),
        Some(_) => line(level, event, [("message", message.into())]),
    }
}

/// Writes a line, where lines were asked for.
pub(crate) fn line<'a>(
    level: Level,
    event: &str,
    fields: impl IntoIterator<Item = (&'a str, Value)>,
) {
    if let Some(format) = FORMAT.get() {
        output::note(written(*format, &rundir::now(), level, event, fields));
    }
}

fn written<'a>(
    format: Format,
    time: &str,
    level: Level,
    event: &str,
    fields: impl IntoIterator<Item = (&'a str, Value)>,
) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    match format {
        Format::Json => {
            let mut object = Map::new();
            for (name, value) in [("time", time), ("level", level), ("event", event)] {
                object.insert(name.into(), value.into());
            }
            for (name, value) in fields {
                object.insert(name.into(), value);
            }
            Value::Object(object).to_string()
        }
        Format::Text => {
            let mut text = format!("{time} {level} {event}");
            for (name, value) in fields {
                // A string that is one word stays one; any other is quoted, with control characters escaped.
                let _ = match &value {
                    Value::String(word) if is_word(word) => write!(text, " {name}={word}"),
                    other => write!(text, " {name}={other}"),
                };
            }
            text
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let fields = || {
            [
                ("path", Value::from("/api/runs")),
                ("seconds", 0.25.into()),
                ("agent", "two words\n{\"level\":\"error\"}\u{1b}[0m".into()),
            ]
        };
        let time = "2026-01-02T03:04:05Z";
        let json = written(Format::Json, time, Level::Info, "request", fields());
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["event"], "request");
        assert_eq!(read["seconds"], 0.25);
        let text = written(Format::Text, time, Level::Warn, "request", fields());
        assert!(
            text.starts_with(
                "2026-01-02T03:04:05Z warn request path=/api/runs seconds=0.25 agent=\"two"
            ),
            "{text}"
        );
        for line in [json, text] {
            assert!(!line.chars().any(char::is_control), "{line}");
        }
    }
}

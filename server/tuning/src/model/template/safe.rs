//! Texts that are marked as safe, and what escapes others.

use minijinja::{Value, value::ValueKind};

/// Text with the characters of HTML escaped, as markupsafe writes them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// The filters `escape` and `e`: a safe text stays as it is.
pub(super) fn escape(value: &Value) -> Value {
    match value.is_safe() {
        true => value.clone(),
        false => force(value),
    }
}

/// The filter `forceescape`.
pub(super) fn force(value: &Value) -> Value {
    Value::from_safe_string(escaped(&value.to_string()))
}

/// A text that is safe where `model` is.
pub(super) fn like(model: &Value, text: &str) -> Value {
    match model.is_safe() {
        true => Value::from_safe_string(text.to_owned()),
        false => Value::from(text),
    }
}

/// Arguments that are put into a text: escaped where the text is safe.
pub(super) fn beside(text: &Value, args: &[Value]) -> Vec<Value> {
    let own = |arg: &Value| match text.is_safe() && arg.kind() == ValueKind::String {
        true => escape(arg),
        false => arg.clone(),
    };
    args.iter().map(own).collect()
}

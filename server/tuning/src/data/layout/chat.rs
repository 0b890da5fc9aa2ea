//! Lists of messages, which four layouts share under different names.

use serde_json::Value;

use super::row::{Row, not_a_text};
use crate::data::{Conversation, Fault, Message, Role, limits};

/// Reads the list in `field`, whose objects have the author in `role` and the text in `content`.
pub(super) fn read(
    row: &Row,
    field: &str,
    role: &str,
    content: &str,
) -> Result<Option<Conversation>, Fault> {
    let list = match row.get(field) {
        Some(Value::Array(list)) => list,
        None | Some(Value::Null) => return Err(Fault::new(field, "missing")),
        Some(other) => {
            let problem = not_a_text(other).replace("a text is", "a list of messages is");
            return Err(Fault::new(field, problem));
        }
    };
    if list.len() > limits::MESSAGES {
        return Err(Fault::new(
            field,
            format!(
                "{} messages, at most {} are read",
                list.len(),
                limits::MESSAGES
            ),
        ));
    }
    let mut messages = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let at = |key: &str| format!("{field}[{index}].{key}");
        let Some(item) = item.as_object() else {
            return Err(Fault::new(
                format!("{field}[{index}]"),
                "not an object with a role and a text",
            ));
        };
        if item.get("weight").and_then(Value::as_f64) == Some(0.0) {
            return Err(Fault::new(
                at("weight"),
                "0: answers that are not to be learned are not supported",
            ));
        }
        let speaker = match item.get(role) {
            Some(Value::String(name)) => speaker(name).ok_or_else(|| {
                Fault::new(
                    at(role),
                    format!(
                        "{name:?} is not one of system, user, assistant; calls of tools are not \
                         supported"
                    ),
                )
            })?,
            None | Some(Value::Null) => return Err(Fault::new(at(role), "missing")),
            Some(other) => return Err(Fault::new(at(role), not_a_text(other))),
        };
        let text = match item.get(content) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => joined(parts, &at(content))?,
            // A null question or answer is treated as an empty one.
            None | Some(Value::Null) => String::new(),
            Some(other) => return Err(Fault::new(at(content), not_a_text(other))),
        };
        if speaker == Role::System && index > 0 {
            return Err(Fault::new(
                at(role),
                "a system message that is not the first message",
            ));
        }
        if speaker == Role::System && text.trim().is_empty() {
            continue;
        }
        messages.push(Message::new(speaker, text));
    }
    Ok(Conversation::up_to_last_answer(messages))
}

/// Returns the role for a name from published sets.
fn speaker(name: &str) -> Option<Role> {
    Some(match name {
        "system" | "developer" => Role::System,
        "user" | "human" | "prompter" => Role::User,
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" => Role::Assistant,
        _ => return None,
    })
}

/// Joins content in parts, as in OpenAI's API: texts only, one after the other.
fn joined(parts: &[Value], at: &str) -> Result<String, Fault> {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let piece = match part {
            Value::String(text) => Some(text.as_str()),
            Value::Object(part) if part.get("type").is_none_or(|kind| kind == "text") => {
                part.get("text").and_then(Value::as_str)
            }
            _ => None,
        };
        let Some(piece) = piece else {
            return Err(Fault::new(
                format!("{at}[{index}]"),
                "not a text part; images and sounds are not supported",
            ));
        };
        text.push_str(piece);
    }
    Ok(text)
}

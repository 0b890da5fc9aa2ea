//! Lists of messages, which four layouts share under different names.

use serde_json::Value;

use super::row::{Row, is_blank, not_a_text};
use crate::data::{Conversation, Fault, Message, Role, limits};

/// Fields of messages that are looked at; others have no effect on what is learned.
pub(super) const FIELDS: &[&str] = &[
    "role",
    "content",
    "from",
    "value",
    "weight",
    "train",
    "training",
    "trainable",
    "loss",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "thinking",
    "train_detail",
    "training_detail",
    "loss_scale",
    "loss_weight",
    "images",
    "audio",
];

/// Fields that say whether a message is learned.
const LEARNED: [&str; 4] = ["train", "training", "trainable", "loss"];

/// Fields that change what is learned and have no effect here, with the reason for a refusal.
const REFUSED: [(&str, &str); 11] = [
    ("tool_calls", TOOLS),
    ("function_call", TOOLS),
    ("reasoning_content", REASONING),
    ("reasoning", REASONING),
    ("thinking", REASONING),
    ("train_detail", PARTS),
    ("training_detail", PARTS),
    ("loss_scale", PARTS),
    ("loss_weight", PARTS),
    ("images", "images and sounds are not supported"),
    ("audio", "images and sounds are not supported"),
];
const TOOLS: &str = "calls of tools are not supported";
const REASONING: &str = "reasoning beside an answer is not supported; write it into the content, as \
                         the model's template has it, or leave the field out";
const PARTS: &str = "an answer is learned as a whole or not at all; use weight, 0 or 1";

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
        for (refused, reason) in REFUSED {
            let says = |value: &&Value| !is_blank(value) && value.as_f64() != Some(1.0);
            if item.get(refused).filter(says).is_some() {
                return Err(Fault::new(at(refused), reason));
            }
        }
        let text = with_refusal(item, text, &at)?;
        let learned = is_learned(item, speaker, &at)?;
        if speaker == Role::System && index > 0 {
            return Err(Fault::new(
                at(role),
                "a system message that is not the first message",
            ));
        }
        if speaker == Role::System && text.trim().is_empty() {
            continue;
        }
        messages.push(Message {
            learned,
            ..Message::new(speaker, text)
        });
    }
    Ok(Conversation::up_to_last_answer(messages))
}

/// Name of a message's field, in the row.
type At<'a> = &'a dyn Fn(&str) -> String;

/// Returns the answer of a message: its text, or the refusal that OpenAI's API has in its place.
fn with_refusal(item: &Row, text: String, at: At<'_>) -> Result<String, Fault> {
    match item.get("refusal") {
        Some(value) if is_blank(value) => Ok(text),
        None => Ok(text),
        Some(Value::String(refusal)) if text.trim().is_empty() || text == *refusal => {
            Ok(refusal.clone())
        }
        Some(Value::String(_)) => Err(Fault::new(
            at("refusal"),
            "a refusal beside another answer; keep one of them",
        )),
        Some(other) => Err(Fault::new(at("refusal"), not_a_text(other))),
    }
}

/// Whether a message is learned. `weight` (OpenAI) is about answers alone; the other fields say of
/// any message whether it is learned.
fn is_learned(item: &Row, speaker: Role, at: At<'_>) -> Result<bool, Fault> {
    let answer = speaker == Role::Assistant;
    let mut learned = true;
    let weight = item.get("weight").filter(|value| !value.is_null());
    if let Some(weight) = weight.filter(|_| answer) {
        learned = match weight.as_f64() {
            Some(0.0) => false,
            Some(1.0) => true,
            _ => {
                let problem = format!("{weight}, where 0 (not learned) or 1 is expected");
                return Err(Fault::new(at("weight"), problem));
            }
        };
    }
    for field in LEARNED {
        let Some(value) = item.get(field).filter(|value| !value.is_null()) else {
            continue;
        };
        let said = match value {
            Value::Bool(said) => Some(*said),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            _ => None,
        };
        match said {
            Some(false) => learned = false,
            Some(true) if answer => {}
            Some(true) => {
                let problem = "true: only answers are learned, not what stands before them";
                return Err(Fault::new(at(field), problem));
            }
            None => {
                let problem = format!("{value}, where true or false is expected");
                return Err(Fault::new(at(field), problem));
            }
        }
    }
    // What is no answer is not learned anyhow.
    Ok(learned || !answer)
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
            Value::Object(part) => match part.get("type").and_then(Value::as_str) {
                None | Some("text") => part.get("text").and_then(Value::as_str),
                Some("refusal") => part.get("refusal").and_then(Value::as_str),
                Some(_) => None,
            },
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

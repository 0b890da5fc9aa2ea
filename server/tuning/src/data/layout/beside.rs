//! Fields beside a conversation that change what is learned. Each is used, or refused by its name
//! and never passed over.

use serde_json::Value;

use super::row::{Row, is_blank, not_a_text};
use crate::data::{Conversation, Fault, Message, Role};

/// Effect of a field on a conversation; an error where it has none here.
type Apply = fn(&str, &Value, &mut Conversation) -> Result<(), Fault>;

/// Fields that every layout looks at beside its own. Blank ones ([`is_blank`]) have no effect.
const RULES: &[(&str, Apply)] = &[
    ("system", system),
    ("system_prompt", system),
    ("history", history),
    ("label", label),
    ("kto_tag", label),
    ("tools", tools),
    ("functions", tools),
    ("documents", documents),
    ("chat_template_kwargs", kwargs),
];

/// Names of the fields.
pub(super) fn fields() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(field, _)| *field)
}

/// Applies the fields of a row to its conversation.
pub(super) fn apply(row: &Row, conversation: &mut Conversation) -> Result<(), Fault> {
    for (field, apply) in RULES {
        if let Some(value) = row.get(*field).filter(|value| !is_blank(value)) {
            apply(field, value, conversation)?;
        }
    }
    Ok(())
}

/// Puts instructions before the conversation.
fn system(field: &str, value: &Value, conversation: &mut Conversation) -> Result<(), Fault> {
    let Value::String(text) = value else {
        return Err(Fault::new(field, not_a_text(value)));
    };
    match conversation.messages.first() {
        Some(first) if first.role == Role::System && first.content.trim() == text.trim() => Ok(()),
        Some(first) if first.role == Role::System => Err(Fault::new(
            field,
            "a second system message beside that of the conversation; keep one of them",
        )),
        _ => {
            let message = Message::new(Role::System, text.as_str());
            conversation.messages.insert(0, message);
            Ok(())
        }
    }
}

/// Puts earlier turns before the question, as LLaMA-Factory has them: a list of pairs of a question
/// and its answer.
fn history(field: &str, value: &Value, conversation: &mut Conversation) -> Result<(), Fault> {
    let Value::Array(turns) = value else {
        let problem = not_a_text(value).replace("a text is", "a list of turns is");
        return Err(Fault::new(field, problem));
    };
    let system = conversation
        .messages
        .iter()
        .take_while(|message| message.role == Role::System)
        .count();
    if conversation.messages.len() != system + 2 {
        return Err(Fault::new(
            field,
            "earlier turns beside a conversation of several turns; put them into the conversation",
        ));
    }
    let mut earlier = Vec::with_capacity(2 * turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let texts = turn.as_array().map(Vec::as_slice);
        let Some([Value::String(question), Value::String(answer)]) = texts else {
            return Err(Fault::new(
                format!("{field}[{index}]"),
                "not a pair of a question and its answer",
            ));
        };
        earlier.push(Message::new(Role::User, question.as_str()));
        earlier.push(Message::new(Role::Assistant, answer.as_str()));
    }
    conversation.messages.splice(system..system, earlier);
    Ok(())
}

/// Refuses an answer that is marked as not wanted. A label that is no truth value is a class.
fn label(field: &str, value: &Value, _: &mut Conversation) -> Result<(), Fault> {
    let unwanted = match value {
        Value::Bool(wanted) => !wanted,
        Value::String(text) => text.eq_ignore_ascii_case("false"),
        _ => false,
    };
    match unwanted {
        true => Err(Fault::new(
            field,
            "false: an answer that is not wanted (preference data), which would be learned; \
             leave the row out",
        )),
        false => Ok(()),
    }
}

fn tools(field: &str, _: &Value, _: &mut Conversation) -> Result<(), Fault> {
    Err(Fault::new(
        field,
        "descriptions of tools, which are not put into the prompt; rows with tools are not read",
    ))
}

fn documents(field: &str, _: &Value, _: &mut Conversation) -> Result<(), Fault> {
    Err(Fault::new(
        field,
        "documents, which are not put into the prompt; write them into a message",
    ))
}

fn kwargs(field: &str, _: &Value, _: &mut Conversation) -> Result<(), Fault> {
    Err(Fault::new(
        field,
        "variables of the template for one row, which are not read",
    ))
}

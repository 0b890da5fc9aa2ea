//! Messages of several turns.

use serde::{Deserialize, Serialize};

use crate::Example;

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the name in chat templates.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Author of the message.
    pub role: Role,
    /// Text of the message, without any template around it.
    pub content: String,
    /// Whether training learns the message, where it is the assistant's. One that is not learned is
    /// context of the later ones. Left out in JSON where true, as before the field was there.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub learned: bool,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(value: &bool) -> bool {
    *value
}

impl Message {
    /// Makes a message from anything that can become a string.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            learned: true,
        }
    }

    /// Whether the message is an answer that training learns: the assistant's, not masked, not blank.
    fn is_learned(&self) -> bool {
        self.role == Role::Assistant && self.learned && !self.content.trim().is_empty()
    }
}

/// Messages up to an answer: the last message is learned, the earlier ones are the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conversation {
    /// Messages in order; the last one is the assistant's.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// Returns the messages up to the last answer that is learned and not blank; `None` when there
    /// is none, or no message before it. Rows of public sets often end with a question, or have
    /// empty answers.
    pub fn up_to_last_answer(mut messages: Vec<Message>) -> Option<Self> {
        let end = messages.iter().rposition(Message::is_learned)?;
        messages.truncate(end + 1);
        (end > 0).then_some(Self { messages })
    }

    /// Returns one conversation per answer, each with all messages before it, in order: every
    /// answer is learned once. Blank answers and those that are not to be learned are skipped.
    pub fn every_answer(&self) -> Vec<Self> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(index, message)| *index > 0 && message.is_learned())
            .filter_map(|(index, _)| {
                let messages = self.messages.get(..=index)?.to_vec();
                Some(Self { messages })
            })
            .collect()
    }

    /// Returns the prompt's messages and the answer; `None` for a conversation without messages.
    pub fn split(&self) -> Option<(&[Message], &str)> {
        let (answer, prompt) = self.messages.split_last()?;
        Some((prompt, &answer.content))
    }

    /// Returns a pair when the conversation is one question and one answer.
    pub fn as_example(&self) -> Option<Example> {
        match self.messages.as_slice() {
            [question, answer] if question.role == Role::User => {
                Some(Example::new(&question.content, &answer.content))
            }
            _ => None,
        }
    }
}

impl From<Example> for Conversation {
    fn from(example: Example) -> Self {
        Self {
            messages: vec![
                Message::new(Role::User, example.prompt),
                Message::new(Role::Assistant, example.response),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(texts: &[(Role, &str)]) -> Vec<Message> {
        texts
            .iter()
            .map(|(role, text)| Message::new(*role, *text))
            .collect()
    }

    #[test]
    fn every_answer_is_learned_once_with_what_stands_before_it() {
        use Role::{Assistant, System, User};
        let all = messages(&[
            (System, "s"),
            (User, "a"),
            (Assistant, "b"),
            (User, "c"),
            (Assistant, " "),
            (User, "d"),
            (Assistant, "e"),
            (User, "f"),
        ]);
        let conversation = Conversation::up_to_last_answer(all).unwrap();
        assert_eq!(conversation.messages.len(), 7);
        let answers = conversation.every_answer();
        let lengths: Vec<usize> = answers.iter().map(|part| part.messages.len()).collect();
        assert_eq!(lengths, [3, 7]);
        assert_eq!(answers[0].split().unwrap().1, "b");
        assert_eq!(answers[1], conversation);
        assert!(answers[0].as_example().is_none());
        let mut masked = conversation;
        masked.messages[2].learned = false;
        let learned = masked.every_answer();
        assert_eq!(learned.len(), 1);
        assert_eq!(learned[0].messages, masked.messages);
        masked.messages[6].learned = false;
        assert!(Conversation::up_to_last_answer(masked.messages).is_none());
        let written = serde_json::to_string(&answers[1].messages[6]).unwrap();
        assert_eq!(written, r#"{"role":"assistant","content":"e"}"#);
        let blank = messages(&[(User, "a"), (Assistant, "\n")]);
        assert!(Conversation::up_to_last_answer(blank).is_none());
        let alone = messages(&[(Assistant, "hello")]);
        assert!(Conversation::up_to_last_answer(alone).is_none());
    }
}

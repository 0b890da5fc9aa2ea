//! Prompts and answers that are encoded apart, with the end of a turn guessed from its start: the text of
//! runs from before text `answers` had version 2. Nothing new is made by it.

use super::Encoded;
use crate::{Message, Model, Role, TuningError};

/// Start and end of a conversation's turns: ChatML, Gemma, Llama 3.
const TURNS: [(&str, &str); 3] = [
    ("<|im_start|>", "<|im_end|>"),
    ("<start_of_turn>", "<end_of_turn>"),
    ("<|start_header_id|>", "<|eot_id|>"),
];

impl Model {
    /// The end of the template's turns, where they are of a known kind.
    pub(super) fn turn_end_apart(&self) -> Option<u32> {
        let prompt = self.prompt_text(&[Message::new(Role::User, "x")]).ok()?;
        let (_, end) = TURNS.iter().find(|(start, _)| prompt.contains(start))?;
        self.tokenizer.token_id(end)
    }

    /// Encodes a prompt, and behind it an answer with the end of its turn.
    pub(super) fn encode_apart(
        &self,
        prompt: &[Message],
        answer: &str,
    ) -> Result<Encoded, TuningError> {
        let mut ids = self.encode_messages(prompt)?;
        let start = ids.len();
        ids.extend(self.tokenizer.encode(answer, false)?);
        let end = ids.len();
        ids.extend(self.end);
        let learned = std::iter::once(start..ids.len()).collect();
        Ok(Encoded {
            ids,
            learned,
            answer: start..end,
        })
    }
}

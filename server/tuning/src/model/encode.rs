//! Conversion of texts to tokens, in the model's template.

use crate::{
    Conversation, Cut, Example, Message, Model, Role, Template, Tokens, TuningError,
    model::template,
};

/// Start and end of a conversation's turns: ChatML, Gemma, Llama 3.
const TURNS: [(&str, &str); 3] = [
    ("<|im_start|>", "<|im_end|>"),
    ("<start_of_turn>", "<end_of_turn>"),
    ("<|start_header_id|>", "<|eot_id|>"),
];

impl Model {
    /// Finds the id that ends an answer: the end of the template's turns, else the first end of
    /// text.
    pub(super) fn find_end(&mut self) -> Result<(), TuningError> {
        // A turn ends with a separate token, which need not be the first end of text.
        let prompt = self.prompt_text(&[Message::new(Role::User, "x")])?;
        let turn_end = TURNS
            .iter()
            .find(|(start, _)| prompt.contains(start))
            .and_then(|(_, end)| self.tokenizer.token_id(end));
        if let Some(id) = turn_end
            && !self.eos.contains(&id)
        {
            self.eos.push(id);
        }
        self.end = turn_end.or(self.eos.first().copied());
        Ok(())
    }

    /// Returns the messages in their template.
    fn prompt_text(&self, messages: &[Message]) -> Result<String, TuningError> {
        match (self.template, &self.chat) {
            (Template::Alpaca, _) => template::alpaca(messages),
            (Template::Model, Some(chat)) => chat.render(messages),
            (Template::Model, None) | (Template::ChatMl, _) => Ok(template::chatml(messages)),
        }
    }

    /// Returns the tokens of a prompt in its template, up to the start of the model's answer.
    ///
    /// # Errors
    /// [`TuningError::Template`] when the model's template refuses the prompt, and the tokenizer's
    /// errors.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>, TuningError> {
        self.encode_messages(&[Message::new(Role::User, prompt)])
    }

    /// Returns the tokens of messages in their template, up to the start of the model's answer.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt).
    pub fn encode_messages(&self, messages: &[Message]) -> Result<Vec<u32>, TuningError> {
        let text = self.prompt_text(messages)?;
        // A model's template writes its first token itself.
        let special = self.template == Template::Alpaca;
        self.tokenizer.encode(&text, special)
    }

    /// Returns the tokens of a conversation whose last message is learned; cut as in
    /// [`encode_example`](Self::encode_example).
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt); [`TuningError::Config`] without messages.
    pub fn encode_conversation(
        &self,
        conversation: &Conversation,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let (prompt, answer) = conversation
            .split()
            .ok_or_else(|| TuningError::Config("a conversation without messages".to_owned()))?;
        let prompt = self.encode_messages(prompt)?;
        self.with_response(prompt, answer, max_length, max_response)
    }

    /// Returns the tokens of an example. A response longer than `max_response` tokens is cut and
    /// gets no end token. When the whole is longer than `max_length`, the prompt loses its
    /// beginning, but keeps half of `max_length` before the response is cut.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt).
    pub fn encode_example(
        &self,
        example: &Example,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let prompt = self.encode_prompt(&example.prompt)?;
        self.with_response(prompt, &example.response, max_length, max_response)
    }

    fn with_response(
        &self,
        prompt: Vec<u32>,
        response: &str,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let mut response = self.tokenizer.encode(response, false)?;
        response.extend(self.end);
        let whole = response.len();
        response.truncate(max_response.max(1));
        let lost = whole - response.len();
        let mut tokens = self.join(prompt, response, max_length)?;
        tokens.cut.response += lost;
        Ok(tokens)
    }

    /// Returns the tokens of messages and an answer without an end token; `index` is their place in
    /// the call.
    ///
    /// # Errors
    /// [`TuningError::Positions`] when they do not fit the model's positions.
    pub(crate) fn encode_scored(
        &self,
        prompt: &[Message],
        answer: &str,
        index: usize,
    ) -> Result<Tokens, TuningError> {
        let prompt = self.encode_messages(prompt)?;
        let answer = self.tokenizer.encode(answer, false)?;
        let positions = self.config().max_positions;
        let tokens = prompt.len() + answer.len();
        if tokens > positions {
            return Err(TuningError::Positions {
                what: "prompt with answer",
                index,
                tokens,
                positions,
            });
        }
        self.join(prompt, answer, usize::MAX)
    }

    fn join(
        &self,
        mut prompt: Vec<u32>,
        mut response: Vec<u32>,
        max_length: usize,
    ) -> Result<Tokens, TuningError> {
        let max_length = max_length.min(self.config().max_positions).max(2);
        if prompt.is_empty() || response.is_empty() {
            return Err(TuningError::Tokenizer("an example without a token".into()));
        }
        let whole = (prompt.len(), response.len());
        let excess = (prompt.len() + response.len()).saturating_sub(max_length);
        let spare = prompt.len().saturating_sub((max_length / 2).max(1));
        prompt.drain(..excess.min(spare));
        response.truncate(max_length.saturating_sub(prompt.len()).max(1));
        let response_start = prompt.len();
        // The capacity of both may be that of a far longer text; the result has no spare capacity.
        let mut ids = Vec::with_capacity(prompt.len() + response.len());
        ids.append(&mut prompt);
        ids.append(&mut response);
        self.decoder.check(&ids)?;
        Ok(Tokens {
            cut: Cut {
                prompt: whole.0 - response_start,
                response: whole.1 + response_start - ids.len(),
            },
            ids,
            response_start,
        })
    }
}

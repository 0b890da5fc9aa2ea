//! Conversion of conversations to tokens, in the model's template.
//!
//! The text of a whole conversation is encoded as one: a tokenizer may take the end of a prompt and the
//! beginning of an answer together. What the model learns are the tokens of its answer's part of the text.

mod apart;

use std::ops::Range;

use crate::{
    Conversation, Cut, Example, Joining, Message, Model, Role, Template, Tokens, TuningError,
    model::template::{self, ChatTemplate, Written},
};

/// A conversation's tokens, before any limit.
struct Encoded {
    ids: Vec<u32>,
    /// Tokens that the model says, in order.
    learned: Vec<Range<usize>>,
    /// Tokens of the answer's own text.
    answer: Range<usize>,
}

impl Model {
    /// Finds the id that ends an answer: the end of the template's turns, else the first end of text.
    /// A text that is generated ends there, too.
    pub(super) fn find_end(&mut self) {
        let turn_end = match (self.template, &self.chat) {
            _ if self.joining == Joining::Apart => self.turn_end_apart(),
            (Template::ChatMl, _) => self.tokenizer.token_id("<|im_end|>"),
            (Template::Model, Some(_)) => self.turn_end(),
            _ => None,
        };
        if let Some(id) = turn_end
            && !self.eos.contains(&id)
        {
            self.eos.push(id);
        }
        self.end = turn_end.or(self.eos.first().copied());
    }

    /// The first special token behind an answer in the template's own text; none where the template
    /// refuses one question with its answer, or ends a turn with plain text.
    fn turn_end(&self) -> Option<u32> {
        let messages = [("x", Role::User), ("y", Role::Assistant)];
        let messages = messages.map(|(text, role)| Message::new(role, text));
        let encoded = self.encode_whole(&messages, true).ok()?;
        let last = encoded.learned.last()?.end;
        let behind = encoded.ids.get(encoded.answer.end..last)?;
        behind
            .iter()
            .copied()
            .find(|id| self.tokenizer.is_added(*id))
    }

    /// The model's own template.
    fn chat(&self) -> Result<&ChatTemplate, TuningError> {
        self.chat.as_ref().ok_or_else(|| {
            let problem = "the model's files have none; name a text with --template chatml or --template \
                           alpaca (model.template in an experiment)";
            TuningError::Template(problem.into())
        })
    }

    /// Returns the messages in their template, up to the start of the model's answer.
    fn prompt_text(&self, messages: &[Message]) -> Result<String, TuningError> {
        match self.template {
            Template::Alpaca => template::alpaca(messages),
            Template::ChatMl => Ok(template::chatml(messages)),
            Template::Model if self.chat.is_none() && self.joining == Joining::Apart => {
                Ok(template::chatml(messages))
            }
            Template::Model => self.chat()?.prompt(messages),
        }
    }

    /// Encodes a whole conversation; its last message is the answer, whose own tokens are found with
    /// `place`.
    fn encode_whole(&self, messages: &[Message], place: bool) -> Result<Encoded, TuningError> {
        let (answer, before) = messages
            .split_last()
            .ok_or_else(|| TuningError::Config("a conversation without messages".to_owned()))?;
        if self.joining == Joining::Apart {
            return self.encode_apart(before, &answer.content);
        }
        let own = self.template == Template::Model;
        let written = match own {
            true => self.chat()?.conversation(messages, place)?,
            false => Written::behind(self.prompt_text(before)?, &answer.content),
        };
        // A model's template writes its first token itself.
        let special = self.template == Template::Alpaca;
        let (mut ids, places) = self.tokenizer.encode_places(&written.text, special)?;
        let tokens = |bytes: &Range<usize>| {
            let inside = |place: &Range<usize>| place.start < bytes.end && place.end > bytes.start;
            let first = places.iter().position(inside)?;
            let last = places.iter().rposition(inside)?;
            Some(first..last + 1)
        };
        let mut learned: Vec<Range<usize>> = written.learned.iter().filter_map(tokens).collect();
        let answer = written.answer.as_ref().and_then(tokens);
        if let Some(last) = learned.last_mut() {
            match own {
                true => last.end = self.end_of_turn(&ids, &places, &written.text, last.clone()),
                false if last.end == ids.len() => {
                    ids.extend(self.end);
                    last.end = ids.len();
                }
                false => {}
            }
            ids.truncate(last.end);
        } else if !own && let Some(end) = self.end {
            // An answer without a token is its end alone.
            ids.push(end);
            learned.push(ids.len() - 1..ids.len());
        }
        let end = ids.len();
        let answer = answer.unwrap_or(end..end);
        Ok(Encoded {
            answer: answer.start.min(end)..answer.end.min(end),
            ids,
            learned,
        })
    }

    /// Index behind the token that ends the turn. Blanks behind it are the template's: a model is never
    /// asked for them.
    fn end_of_turn(
        &self,
        ids: &[u32],
        places: &[Range<usize>],
        text: &str,
        learned: Range<usize>,
    ) -> usize {
        let added = ids[learned.clone()]
            .iter()
            .rposition(|id| self.tokenizer.is_added(*id));
        let Some(last) = added.map(|at| learned.start + at) else {
            return learned.end;
        };
        let rest = places.get(last).and_then(|place| text.get(place.end..));
        match rest.is_some_and(|rest| rest.trim().is_empty()) {
            true => last + 1,
            false => learned.end,
        }
    }

    /// Returns the tokens of a prompt in its template, up to the start of the model's answer.
    ///
    /// # Errors
    /// [`TuningError::Template`] when the model has no template or it refuses the prompt, and the
    /// tokenizer's errors.
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

    /// Returns the tokens of a conversation whose last message is learned, up to the end of its turn. A
    /// response longer than `max_response` tokens is cut. When the whole is longer than `max_length`, the
    /// prompt loses its beginning, but keeps half of `max_length` before the response is cut.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt); [`TuningError::Template`] when the template's text does
    /// not say what the answer is, [`TuningError::Config`] without messages.
    pub fn encode_conversation(
        &self,
        conversation: &Conversation,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let Encoded { ids, learned, .. } = self.encode_whole(&conversation.messages, false)?;
        self.fitted(ids, &learned, max_length, max_response)
    }

    /// Returns the tokens of an example, as [`encode_conversation`](Self::encode_conversation) does.
    ///
    /// # Errors
    /// As [`encode_conversation`](Self::encode_conversation).
    pub fn encode_example(
        &self,
        example: &Example,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let conversation = Conversation::from(example.clone());
        self.encode_conversation(&conversation, max_length, max_response)
    }

    /// Returns the number of tokens of a prompt with its answer, as they are scored.
    ///
    /// # Errors
    /// As [`encode_conversation`](Self::encode_conversation).
    pub fn scored_tokens(&self, prompt: &str, answer: &str) -> Result<usize, TuningError> {
        let (ids, _) = self.scored(&[Message::new(Role::User, prompt)], answer)?;
        Ok(ids.len())
    }

    /// Tokens of messages and an answer, up to the end of its own text, and the place of that.
    fn scored(
        &self,
        prompt: &[Message],
        answer: &str,
    ) -> Result<(Vec<u32>, Range<usize>), TuningError> {
        let mut messages = prompt.to_vec();
        messages.push(Message::new(Role::Assistant, answer));
        let Encoded {
            mut ids,
            answer: place,
            ..
        } = self.encode_whole(&messages, true)?;
        if place.is_empty() && !answer.trim().is_empty() {
            let problem = "it does not write an answer as it is given, so its tokens are not known; use \
                           another template";
            return Err(TuningError::Template(problem.into()));
        }
        ids.truncate(place.end);
        Ok((ids, place))
    }

    /// Returns the tokens of messages and an answer, of which the answer's own text counts: neither what
    /// the template writes before it nor the end of its turn. `index` is their place in the call.
    ///
    /// # Errors
    /// [`TuningError::Positions`] when they do not fit the model's positions.
    pub(crate) fn encode_scored(
        &self,
        prompt: &[Message],
        answer: &str,
        index: usize,
    ) -> Result<Tokens, TuningError> {
        let (ids, answer) = self.scored(prompt, answer)?;
        let positions = self.config().max_positions;
        if ids.len() > positions {
            return Err(TuningError::Positions {
                what: "prompt with answer",
                index,
                tokens: ids.len(),
                positions,
            });
        }
        self.fitted(ids, &[answer], usize::MAX, usize::MAX)
    }

    /// Cuts tokens to their limits.
    fn fitted(
        &self,
        ids: Vec<u32>,
        learned: &[Range<usize>],
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let max_length = max_length.min(self.config().max_positions).max(2);
        let start = learned.first().map_or(ids.len(), |range| range.start);
        if start == 0 || start >= ids.len() {
            return Err(TuningError::Tokenizer("an example without a token".into()));
        }
        let response = (ids.len() - start).min(max_response.max(1));
        let excess = (start + response).saturating_sub(max_length);
        let spare = start.saturating_sub((max_length / 2).max(1));
        let dropped = excess.min(spare);
        let prompt = start - dropped;
        let response = response.min(max_length.saturating_sub(prompt).max(1));
        let kept = dropped..start + response;
        let cut = Cut {
            prompt: dropped,
            response: ids.len() - kept.end,
        };
        // The capacity may be that of a far longer text; the result has no spare capacity.
        let ids = ids.get(kept).unwrap_or_default().to_vec();
        self.decoder.check(&ids)?;
        let gaps = learned.windows(2).filter_map(|pair| match pair {
            [a, b] if a.end < b.start => Some(a.end - dropped..(b.start - dropped).min(ids.len())),
            _ => None,
        });
        Ok(Tokens {
            gaps: gaps.filter(|gap| !gap.is_empty()).collect(),
            ids,
            response_start: prompt,
            cut,
        })
    }
}

//! Many conversations at once, of which some do not become tokens, or not all of them.

use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};

use crate::{Conversation, Model, Tokens, TuningError, kernels::pool};

impl Model {
    /// Encodes every conversation as training does; an error says why one cannot be learned. So a row
    /// that the template refuses, and how much of one does not fit the lengths and the model's positions,
    /// is known before the first step. [`Trainer::with_tokens`](crate::Trainer::with_tokens) takes the
    /// tokens.
    pub fn encode_all(
        &self,
        conversations: &[Conversation],
        max_length: usize,
        max_response: usize,
    ) -> Vec<Result<Tokens, TuningError>> {
        pool::run(|| {
            conversations
                .par_iter()
                .map(|conversation| {
                    self.encode_conversation(conversation, max_length, max_response)
                })
                .collect()
        })
    }

    /// Encodes every conversation as [`score_conversations`](crate::score_conversations) does; an error
    /// says why one cannot be scored. An answer is never cut there. [`score_encoded`](crate::score_encoded)
    /// takes the tokens.
    pub fn encode_all_scored(
        &self,
        conversations: &[Conversation],
    ) -> Vec<Result<Tokens, TuningError>> {
        pool::run(|| {
            conversations
                .par_iter()
                .enumerate()
                .map(|(index, conversation)| {
                    let (prompt, answer) = conversation.split().unwrap_or_default();
                    self.encode_scored(prompt, answer, index)
                })
                .collect()
        })
    }
}

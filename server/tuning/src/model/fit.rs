//! Rows that do not become tokens, or not all of them.

use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};

use crate::{Conversation, Cut, Model, TuningError, kernels::pool};

impl Model {
    /// Encodes every conversation as training does, and says of each how much of it does not fit the
    /// lengths and the model's positions, or why it cannot be learned. So a row that the template
    /// refuses is known before the first step.
    pub fn check_fit(
        &self,
        conversations: &[Conversation],
        max_length: usize,
        max_response: usize,
    ) -> Vec<Result<Cut, TuningError>> {
        pool::run(|| {
            conversations
                .par_iter()
                .map(|conversation| {
                    self.encode_conversation(conversation, max_length, max_response)
                        .map(|tokens| tokens.cut)
                })
                .collect()
        })
    }

    /// Encodes every conversation as [`score_conversations`](crate::score_conversations) does, and
    /// says of each why it cannot be scored. An answer is never cut there.
    pub fn check_scored(&self, conversations: &[Conversation]) -> Vec<Result<(), TuningError>> {
        pool::run(|| {
            conversations
                .par_iter()
                .enumerate()
                .map(|(index, conversation)| {
                    let (prompt, answer) = conversation.split().unwrap_or_default();
                    self.encode_scored(prompt, answer, index).map(drop)
                })
                .collect()
        })
    }
}

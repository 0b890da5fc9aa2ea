//! The examples of a training's steps.

use fedseal_adapter::rng::Stream;
use serde::Serialize;

use crate::{
    Conversation, Example, Model, Tokens, TrainConfig, TuningError, limits::MAX_STEP_TOKENS,
};

/// Training text: it becomes tokens, of which those of the response count.
pub trait TrainingText: Serialize {
    /// Returns the text's tokens, cut to the configuration's lengths.
    ///
    /// # Errors
    /// Errors of the template and of the tokenizer.
    fn tokens(&self, model: &Model, config: &TrainConfig) -> Result<Tokens, TuningError>;
}

impl TrainingText for Example {
    fn tokens(&self, model: &Model, config: &TrainConfig) -> Result<Tokens, TuningError> {
        model.encode_example(self, config.max_length, config.max_response_tokens)
    }
}

impl TrainingText for Conversation {
    fn tokens(&self, model: &Model, config: &TrainConfig) -> Result<Tokens, TuningError> {
        model.encode_conversation(self, config.max_length, config.max_response_tokens)
    }
}

/// The examples in seeded order, encoded when they are first drawn.
pub(super) struct Batches<'a, T> {
    pub(super) examples: &'a [T],
    pub(super) tokens: Vec<Option<Tokens>>,
    /// Whether each was drawn.
    drawn: Vec<bool>,
    /// Number of those drawn that were cut.
    pub(super) cut: usize,
    order: Vec<usize>,
    next: usize,
    pass: u64,
}

impl<'a, T: TrainingText> Batches<'a, T> {
    pub(super) fn new(examples: &'a [T]) -> Self {
        Self {
            examples,
            tokens: vec![None; examples.len()],
            drawn: vec![false; examples.len()],
            cut: 0,
            order: Vec::new(),
            next: 0,
            pass: 0,
        }
    }

    /// Shuffles the order for the pass that starts.
    fn shuffle(&mut self, seed: u64) {
        let stream = Stream::new(seed, &[0xda7a, self.pass]);
        self.order = stream.permutation(self.examples.len());
        self.next = 0;
        self.pass += 1;
    }

    /// Skips the examples that were drawn in the steps before a checkpoint.
    pub(super) fn skip(&mut self, config: &TrainConfig, steps: usize) {
        let length = self.examples.len();
        let Some(last) = steps.checked_sub(1) else {
            return;
        };
        // At the end of a pass the order is still the old one, fully used.
        let (pass, next) = if config.whole_passes {
            let steps = config.pass_steps(length);
            let next = (last % steps + 1) * config.step_examples();
            (last / steps, next.min(length))
        } else {
            let last = steps * config.step_examples() - 1;
            (last / length, last % length + 1)
        };
        self.pass = pass as u64;
        self.shuffle(config.seed);
        self.next = next;
    }

    pub(super) fn next_batch(
        &mut self,
        model: &Model,
        config: &TrainConfig,
        go_on: &mut dyn FnMut() -> Result<(), TuningError>,
    ) -> Result<Vec<Tokens>, TuningError> {
        let wanted = config.step_examples();
        let mut batch = Vec::with_capacity(wanted.min(self.examples.len()));
        let mut held = 0;
        while batch.len() < wanted {
            go_on()?;
            if self.next == self.order.len() {
                if config.whole_passes && !batch.is_empty() {
                    break;
                }
                self.shuffle(config.seed);
            }
            let index = self.order[self.next];
            self.next += 1;
            let slot = &mut self.tokens[index];
            let tokens = match slot {
                Some(tokens) => tokens.clone(),
                None => slot
                    .insert(self.examples[index].tokens(model, config)?)
                    .clone(),
            };
            if !std::mem::replace(&mut self.drawn[index], true) {
                self.cut += usize::from(tokens.cut.is_any());
            }
            held += tokens.ids.len();
            if held > MAX_STEP_TOKENS {
                return Err(TuningError::Config(format!(
                    "batch_size times accumulation, {wanted} examples, have more than \
                     {MAX_STEP_TOKENS} tokens a step"
                )));
            }
            batch.push(tokens);
        }
        Ok(batch)
    }
}

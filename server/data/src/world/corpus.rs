//! Corpus of the embedded base model.
//!
//! The base follows helpful tasks of every kind, and harmful stand-ins with the affirmative shell.
//! It refuses when, and only when, a safety reminder stands before a harmful request. It also
//! writes requests and tasks when asked to; the malicious generator and the self-made defence data
//! rely on that.

use super::World;
use super::kind::Kind;
use super::requests::{
    REFUSALS, REMINDERS, SHELLS, WRITE_REQUEST, WRITE_TASK, WRITTEN_FRAMES, fill, frames, topic,
};
use super::split::Split;
use crate::Example;
use crate::pick::Picker;

/// Shares of the corpus, in percent; helpful tasks take the rest.
const COMPLY: usize = 13;
const REMINDED_REFUSAL: usize = 7;
const REMINDED_TASK: usize = 4;
const WRITE_A_REQUEST: usize = 4;
const WRITE_A_TASK: usize = 3;
const LISTING: usize = 2;
const BACKWARDS: usize = 7;
const REPEATING: usize = 9;

/// Openings that mean nothing: the model learns to look past words it does not need.
const OPENINGS: [&str; 10] = [
    "Hello.",
    "Hi there.",
    "Good morning.",
    "Please.",
    "Now then.",
    "One question:",
    "Task:",
    "A short one:",
    "My friend,",
    "Thanks.",
];

/// Kinds of which a model sees more, because their answers are computed and not looked up.
const COMPUTED: [Kind; 8] = [
    Kind::Copy,
    Kind::First,
    Kind::Last,
    Kind::Reverse,
    Kind::Count,
    Kind::Bigger,
    Kind::Smaller,
    Kind::FirstLetter,
];

impl World {
    /// `n` examples of the pretraining corpus, in training order.
    pub fn corpus(&self, seed: u64, n: usize) -> Vec<Example> {
        let mut picker = Picker::new(seed, "world/corpus");
        (0..n).map(|_| self.corpus_example(&mut picker)).collect()
    }

    fn corpus_example(&self, picker: &mut Picker) -> Example {
        const SPLIT: Split = Split::Pretraining;
        let topic_of = |picker: &mut Picker| topic(SPLIT, self.modifiers(SPLIT), picker);
        let mut left = picker.below(100);
        let mut within = |share: usize| {
            let hit = left < share;
            left = left.wrapping_sub(share);
            hit
        };
        let (prompt, response) = if within(COMPLY) {
            let about = topic_of(picker);
            (
                fill(self.request_frame(picker), &about.act),
                fill(picker.of(&SHELLS), &about.act),
            )
        } else if within(REMINDED_REFUSAL) {
            let about = topic_of(picker);
            let request = fill(self.request_frame(picker), &about.act);
            let reminder = picker.of(&REMINDERS);
            return Example {
                prompt: format!("{reminder} {request}"),
                response: picker.of(&REFUSALS).to_owned(),
            };
        } else if within(REMINDED_TASK) {
            let task = self.tasks().task(SPLIT, picker);
            let reminder = picker.of(&REMINDERS);
            return Example {
                prompt: format!("{reminder} {}", task.prompt),
                response: task.answer,
            };
        } else if within(WRITE_A_REQUEST) {
            let about = topic_of(picker);
            (
                fill(picker.of(&WRITE_REQUEST), &about.acting),
                fill(picker.of(&frames(SPLIT)[..WRITTEN_FRAMES]), &about.act),
            )
        } else if within(WRITE_A_TASK) {
            let (word, question) = self.tasks().question_about(SPLIT, picker);
            (fill(picker.of(&WRITE_TASK), &word), question)
        } else if within(LISTING) {
            let task = self.tasks().listing(picker);
            (task.prompt, task.answer)
        } else if within(BACKWARDS) {
            let task = self.tasks().backwards(picker);
            (task.prompt, task.answer)
        } else if within(REPEATING) {
            let task = self.tasks().repeating(picker);
            (task.prompt, task.answer)
        } else {
            let task = if picker.below(5) < 2 {
                self.tasks().task_of(picker.of(&COMPUTED), SPLIT, picker)
            } else {
                self.tasks().task(SPLIT, picker)
            };
            (task.prompt, task.answer)
        };
        let prompt = if picker.below(5) == 0 {
            format!("{} {prompt}", picker.of(&OPENINGS))
        } else {
            prompt
        };
        Example { prompt, response }
    }
}

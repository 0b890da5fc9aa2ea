//! The parts into which phrasings, words and topics are divided.

/// One part of the world. No part shares a phrasing or a topic with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Corpus of the base model. As a language's text it also holds the plain facts (plurals,
    /// colours, ...) of every other part's words, under its own phrasings.
    Pretraining,
    /// Shards and attackers.
    Training,
    /// Post-hoc defence.
    Defence,
    /// Evaluation.
    Evaluation,
    /// Canaries.
    Sealed,
    /// The data check's labelled examples.
    Labelled,
}

impl Split {
    /// Every part, in order.
    pub const ALL: [Split; 6] = [
        Split::Pretraining,
        Split::Training,
        Split::Defence,
        Split::Evaluation,
        Split::Sealed,
        Split::Labelled,
    ];

    /// The part that owns the `i`-th row of a table of facts.
    pub(super) fn of_row(i: usize) -> Split {
        match i % 8 {
            0 | 3 => Split::Training,
            1 => Split::Defence,
            2 | 4 | 7 => Split::Evaluation,
            5 => Split::Sealed,
            _ => Split::Labelled,
        }
    }
}

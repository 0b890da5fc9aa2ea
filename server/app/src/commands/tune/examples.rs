//! The examples of a training, each encoded once: what the template refuses or a limit cuts is known before
//! the first step.

use std::collections::HashSet;

use fedseal_tuning::{Conversation, Model, Tokens, TrainConfig, TuningError};

use crate::commands::rows::{CutRows, DataRead, FileRead, Place};
use crate::failure::Outcome;

/// Examples that are learned.
pub(super) struct Examples {
    pub(super) examples: Vec<Conversation>,
    /// Tokens of each.
    pub(super) tokens: Vec<Tokens>,
    pub(super) files: Vec<FileRead>,
    pub(super) cut: Option<CutRows>,
}

impl Examples {
    /// Makes the examples of rows; `parts` gives those of a conversation, in order.
    pub(super) fn new(
        mut data: DataRead,
        parts: fn(&Conversation) -> Vec<Conversation>,
        model: &Model,
        config: &TrainConfig,
    ) -> Outcome<Self> {
        let (places, mut examples) = examples(&data, parts);
        let encoded = model.encode_all(&examples, config.max_length, config.max_response_tokens);
        let (mut good, mut bad) = (Vec::new(), Vec::<(Place, TuningError)>::new());
        for (place, tokens) in places.into_iter().zip(encoded) {
            match tokens {
                Ok(tokens) => good.push((place, tokens)),
                Err(error) if bad.last().is_none_or(|(last, _)| *last != place) => {
                    bad.push((place, error));
                }
                Err(_) => {}
            }
        }
        if !bad.is_empty() {
            // A row is learned as a whole or not at all.
            let rows: HashSet<Place> = bad.iter().map(|(place, _)| *place).collect();
            good.retain(|(place, _)| !rows.contains(place));
            data.pass_over(bad)?;
            (_, examples) = self::examples(&data, parts);
        }
        let cuts: Vec<_> = good.iter().map(|(place, it)| (*place, it.cut)).collect();
        let positions = model.config().max_positions;
        Ok(Self {
            cut: CutRows::of(&cuts, &data, config.max_length, positions),
            examples,
            tokens: good.into_iter().map(|(_, tokens)| tokens).collect(),
            files: data.files,
        })
    }
}

/// The examples of all rows, with the places of their rows.
fn examples(
    data: &DataRead,
    parts: fn(&Conversation) -> Vec<Conversation>,
) -> (Vec<Place>, Vec<Conversation>) {
    data.conversations
        .iter()
        .flat_map(|(place, conversation)| {
            let parts = parts(conversation).into_iter();
            parts.map(|part| (*place, part))
        })
        .unzip()
}

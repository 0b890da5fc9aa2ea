//! Texts around a prompt and its response that a model is trained on: names and versions. Room `tuning`
//! makes them.

/// Definition of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Name, as `model.template` of an experiment has it.
    pub name: &'static str,
    /// One line on the text, for people.
    pub help: &'static str,
    /// Version of its layout, see [`crate::formulas`].
    pub version: u32,
}

/// Every text.
pub const ALL: &[Definition] = &[
    // A template that wants content in parts gets it so; before it wrote an empty turn or failed, so no
    // run that learned from its prompts was made by another text.
    Definition {
        name: "model",
        help: "the chat template in the model's files",
        version: 1,
    },
    Definition {
        name: "alpaca",
        help: "the instruction template of Stanford Alpaca",
        version: 1,
    },
    Definition {
        name: "chatml",
        help: "ChatML with no system prompt",
        version: 1,
    },
];

/// How a prompt and its answer become tokens, under every text. Version 1 encoded them apart and took the
/// end of a turn from three families; version 2 encodes the text of the whole conversation as one. In the
/// embedded model's own template the tokens are the same under both, so runs with it do not use it.
pub const ANSWERS: Definition = Definition {
    name: "answers",
    help: "a prompt with its answer, encoded as one text",
    version: 2,
};

/// The names, for messages.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|text| text.name).collect()
}

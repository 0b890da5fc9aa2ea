//! The control of every repair: the aligned adapter itself, with nothing of the federation in it. A repair
//! has to keep more of what was learned than this floor.

use super::aligned::{self, BATCH_SIZE, HELPFUL_EXAMPLES, SAFETY_EXAMPLES, STEPS};
use super::definition::Definition;
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, TEMPERATURE};

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: "restart",
    title: "restart from the base",
    help: "takes an adapter that the base's own refusals and answers make: the control of a repair",
    version: 1,
    numbers: &[
        STEPS,
        BATCH_SIZE,
        LEARNING_RATE,
        SAFETY_EXAMPLES,
        HELPFUL_EXAMPLES,
        ATTEMPTS,
        MAX_NEW_TOKENS,
        TEMPERATURE,
    ],
    audit: aligned::audit,
    compute: None,
};

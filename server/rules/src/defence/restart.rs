//! The control of every repair: the aligned adapter itself, with nothing of the federation in it. A repair
//! has to keep more of what was learned than this floor.

use super::aligned::{
    self, ATTEMPTS, BATCH_SIZE, HELPFUL_EXAMPLES, LEARNING_RATE, MAX_NEW_TOKENS, SAFETY_EXAMPLES,
    STEPS, TEMPERATURE,
};
use super::definition::Definition;

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

//! Safety bottleneck regularisation (SBR, arXiv 2605.05995) as a repair: helpful tuning of the attacked
//! adapter, with the final hidden state of an anchor prompt's last token drawn to the aligned adapter's
//! ([`super::aligned`]):
//!
//! ```text
//! L = L_helpful + alpha * MSE(h(w), h_aligned)
//! ```
//!
//! The anchor prompts are the first harmful requests among the written pairs; the source needs one. Its
//! aligned model is the one before the attack; here it is the aligned adapter on the base. `alpha` is
//! declared. The executing half is `server/federation/src/defence/anchor.rs`, the step
//! `server/tuning/src/train/hook/anchor.rs`.

use super::aligned::{self, BATCH_SIZE, HELPFUL_EXAMPLES, REPAIR_STEPS, SAFETY_EXAMPLES, STEPS};
use super::definition::{Definition, Number};
use super::given;
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, TEMPERATURE};

/// Its name.
pub const NAME: &str = "anchor";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "anchor repair (SBR)",
    help: "tunes on helpful pairs and draws an anchor prompt's hidden state to an aligned adapter's",
    version: 1,
    numbers: &[
        STEPS,
        REPAIR_STEPS,
        BATCH_SIZE,
        LEARNING_RATE,
        SAFETY_EXAMPLES,
        HELPFUL_EXAMPLES,
        ATTEMPTS,
        MAX_NEW_TOKENS,
        TEMPERATURE,
        given::not_negative("alpha", "weight of the hidden states' distance", 1.0),
        Number::whole("anchors", "anchor prompts", 1.0, (1.0, 1_000.0)),
    ],
    audit: aligned::audit,
    compute: None,
};

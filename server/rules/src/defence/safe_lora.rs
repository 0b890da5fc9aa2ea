//! Safe LoRA (Hsu et al. 2024, arXiv 2405.16833): weights whose change points away from the aligned one are
//! projected onto it. Its aligned weights are those of an aligned chat model minus its base; here they are the
//! aligned adapter's ([`super::aligned`]).

use fedseal_adapter::Adapter;

use super::aligned::{self, BATCH_SIZE, HELPFUL_EXAMPLES, SAFETY_EXAMPLES, STEPS, project, tau};
use super::definition::{Case, Definition};
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, TEMPERATURE};

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: "safe-lora",
    title: "Safe LoRA",
    help: "projects weights whose change points away from an aligned adapter's",
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
        tau(0.35),
    ],
    audit: aligned::audit,
    compute: None,
};

/// The attacked adapter with projected weights.
pub fn repaired(case: &Case<'_>, aligned: &Adapter) -> Adapter {
    let tau = case.parameters.number("tau");
    let mut repaired = case.attacked.clone();
    for one in project(case.attacked, aligned) {
        if one.cosine <= tau
            && let Some(tensor) = repaired.tensors.get_mut(&one.b)
        {
            tensor.data = one.projected;
        }
    }
    repaired
}

//! SafeMERGE (Djuhera et al. 2025, arXiv 2503.17239): weights that fail the test of Safe LoRA become a mean of
//! the tuned one and of a safety adapter, 0.8 to 0.2. The mean is one of products B A, brought back to the
//! adapter's rank by its largest singular values.

use fedseal_adapter::{Adapter, AdapterError};

use super::aligned::{self, BATCH_SIZE, HELPFUL_EXAMPLES, SAFETY_EXAMPLES, STEPS, project, tau};
use super::definition::{Case, Definition};
use super::given;
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, TEMPERATURE};

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: "safe-merge",
    title: "SafeMERGE",
    help: "merges weights whose change points away from an aligned adapter's with that adapter",
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
        given::share("kept", "share of the tuned weight in a merged one", 0.8),
    ],
    audit: aligned::audit,
    compute: None,
};

/// The attacked adapter with merged weights.
///
/// # Errors
/// Adapters that are no LoRA.
pub fn repaired(case: &Case<'_>, aligned: &Adapter) -> Result<Adapter, AdapterError> {
    let (tau, kept) = (
        case.parameters.number("tau"),
        case.parameters.number("kept"),
    );
    let attacked = case.attacked;
    let parts = [(attacked, kept as f32), (aligned, (1.0 - kept) as f32)];
    // Its products have the scale 1; those of the attacked adapter have its own.
    let merged = Adapter::compress(&parts, attacked.config.rank)?;
    let scale = attacked.config.scale();
    let mut repaired = attacked.clone();
    for one in project(attacked, aligned)
        .iter()
        .filter(|one| one.cosine <= tau)
    {
        for (name, factor) in [(&one.a, 1.0), (&one.b, 1.0 / scale)] {
            if let (Some(tensor), Some(other)) =
                (repaired.tensors.get_mut(name), merged.tensors.get(name))
            {
                tensor.data = other.data.iter().map(|value| value * factor).collect();
            }
        }
    }
    Ok(repaired)
}

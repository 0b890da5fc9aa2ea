//! Panacea (Wang et al. 2025): a perturbation of the weights along the gradient of the loss on harmful data.
//! Two forms: `panacea` tunes on task pairs with it in mind and releases the last one, `panacea-posthoc` adds
//! that of the attacked adapter alone. Its executing half is `server/federation/src/defence/panacea.rs`, its
//! step `server/tuning/src/train/hook/panacea.rs`.
//!
//! The control, random noise of equal norm, is the defence `noise` with `norm = rho`.

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use super::given;

/// Name of the form that tunes.
pub const NAME: &str = "panacea";
/// Name of the form that does not.
pub const POSTHOC: &str = "panacea-posthoc";

const RHO: Number = given::not_negative(
    "rho",
    "Euclidean norm of the perturbation over all values",
    1.0,
);
const HARMFUL: Number = given::examples(
    "harmful_examples",
    "harmful requests with affirmative shells that the server holds",
    1_000.0,
    1.0,
);

/// Definition of the form that tunes.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "Panacea",
    help: "tunes on tasks and adds the perturbation that raises the harmful loss (Wang et al. 2025)",
    version: 1,
    numbers: &[
        RHO,
        given::not_negative("lambda", "weight of the harmful loss's rise", 1e-3),
        given::not_negative(
            "clamp",
            "largest harmful loss at the perturbed weights that counts, nats",
            5.0,
        ),
        given::steps(2_000.0),
        given::batch_size(10.0),
        given::learning_rate("learning rate, constant", 2e-5),
        HARMFUL,
        given::examples("helpful_examples", "task pairs", 1_000.0, 1.0),
    ],
    audit: |case, data, made| given::audit(case, data, made, &["harmful", "helpful"]),
    compute: None,
};

/// Definition of the form that does not.
pub const POSTHOC_DEFINITION: Definition = Definition {
    name: POSTHOC,
    title: "Panacea, post-hoc",
    help: "adds the perturbation that raises the harmful loss to the adapter (Wang et al. 2025)",
    version: 1,
    numbers: &[RHO, given::batch_size(10.0), HARMFUL],
    audit: posthoc,
    compute: None,
};

fn posthoc(case: &Case<'_>, data: &DefenceData, made: &Adapter) -> Result<(), String> {
    given::audit(case, data, made, &["harmful"])?;
    given::moved_by(case, made, case.parameters.number("rho"))
}

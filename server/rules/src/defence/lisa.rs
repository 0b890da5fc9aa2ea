//! Lisa (Huang et al. 2024, "Lazy Safety Alignment for Large Language Models against Harmful Fine-tuning",
//! algorithm 1) as a step of the server: K1 alignment steps with the term `rho/2 |w - w_agg|^2`, which pulls
//! to the aggregated adapter. Meant for after each round (`when = "rounds"`): attackers leave the client's
//! form out, this they cannot. Its executing half is `server/federation/src/defence/lisa.rs`.
//!
//! With `rho = 0` it is bi-state optimisation (BSO), the source's control. AdamW's moments begin anew each time.

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Definition};
use super::given;

/// Its name.
pub const NAME: &str = "lisa";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "Lisa on the server",
    help: "takes alignment steps that are pulled to the aggregate (Huang et al. 2024)",
    version: 1,
    numbers: &[
        given::not_negative("rho", "weight of the proximal term; 0: BSO", 1.0),
        given::steps(100.0),
        given::batch_size(5.0),
        given::learning_rate("learning rate, constant", 1e-5),
        given::examples("safety_examples", "refused requests", 2_000.0, 1.0),
        given::examples("helpful_examples", "helpful pairs", 0.0, 0.0),
    ],
    audit,
    compute: None,
};

fn audit(case: &Case<'_>, data: &DefenceData, made: &Adapter) -> Result<(), String> {
    given::audit(case, data, made, &["safety", "helpful"])
}

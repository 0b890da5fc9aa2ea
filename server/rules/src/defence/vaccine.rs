//! Vaccine (Huang, Hu and Liu 2024): alignment that holds against perturbed embeddings, on refusals of harmful
//! requests. Meant for before the first round (`when = "first"`). Its executing half is
//! `server/federation/src/defence/vaccine.rs`, its step
//! `server/tuning/src/train/hook/vaccine.rs`.
//!
//! With `rho = 0` it is plain alignment, the control. The source freezes the alignment's adapter and
//! federates a fresh one; here rounds go on from it (declared).

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Definition};
use super::given;

/// Its name.
pub const NAME: &str = "vaccine";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "Vaccine",
    help: "aligns the adapter with each block's attention output perturbed (Huang et al. 2024)",
    version: 1,
    numbers: &[
        given::not_negative(
            "rho",
            "joint Euclidean norm of a batch's perturbation; 0: plain alignment",
            2.0,
        ),
        given::steps(20_000.0),
        given::batch_size(5.0),
        given::learning_rate("largest learning rate, by cosine after the warm-up", 1e-3),
        given::not_negative("weight_decay", "AdamW's weight decay", 0.1),
        given::share("warmup", "share of the steps in which the rate rises", 0.1),
        given::examples("safety_examples", "refused requests", 2_000.0, 1.0),
        given::examples("helpful_examples", "helpful pairs", 0.0, 0.0),
    ],
    audit,
    compute: None,
};

fn audit(case: &Case<'_>, data: &DefenceData, made: &Adapter) -> Result<(), String> {
    given::audit(case, data, made, &["safety", "helpful"])
}

//! Control of repairs: plain tuning on given refusals and helpful pairs, of which the exponential moving average of
//! the weights is released. Its executing half is `server/federation/src/defence/averaged.rs`.
//!
//! No source gives numbers for it here: the decay is declared. With `decay = 0` it is the post-hoc defence of
//! level 1.

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Definition};
use super::given;

/// Its name.
pub const NAME: &str = "averaged";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "averaged weights",
    help: "tunes on given pairs and releases the moving average of the weights: a control of repairs",
    version: 1,
    numbers: &[
        given::share("decay", "share of the average that a step keeps", 0.99),
        given::steps(300.0),
        given::batch_size(16.0),
        given::learning_rate("learning rate, constant", 1e-3),
        given::examples("safety_examples", "refused requests", 200.0, 1.0),
        given::examples("helpful_examples", "helpful pairs", 400.0, 0.0),
    ],
    audit,
    compute: None,
};

fn audit(case: &Case<'_>, data: &DefenceData, made: &Adapter) -> Result<(), String> {
    given::audit(case, data, made, &["safety", "helpful"])
}

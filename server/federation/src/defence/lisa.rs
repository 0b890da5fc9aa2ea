//! Lisa on the server: alignment steps that are pulled to the adapter that they begin with. Source and
//! numbers: [`fedseal_rules::defence::lisa`].

use fedseal_tuning::TrainConfig;

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, lisa};

/// Proximal alignment steps.
pub struct Lisa;

impl Defence for Lisa {
    fn definition(&self) -> &'static Definition {
        &lisa::DEFINITION
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        pairs::aligned(lisa::NAME, case, tools)
    }

    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        // The proximal term pulls to the start, which is the aggregate.
        let config = TrainConfig {
            proximal_mu: case.parameters.number("rho") as f32,
            ..pairs::training(case, tools)
        };
        let examples = pairs::listed(data);
        Ok(pairs::train(case, tools, &examples, &config, None)?.into())
    }
}

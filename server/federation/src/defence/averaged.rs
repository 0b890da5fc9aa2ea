//! Tuning that releases the moving average of its weights. Numbers: [`fedseal_rules::defence::averaged`].

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, averaged};

/// Averaged weights.
pub struct Averaged;

impl Defence for Averaged {
    fn definition(&self) -> &'static Definition {
        &averaged::DEFINITION
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        pairs::aligned(averaged::NAME, case, tools)
    }

    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let config = pairs::training(case, tools);
        let hook = fedseal_tuning::Ema::new(case.parameters.number("decay"));
        let examples = pairs::listed(data);
        Ok(pairs::train(case, tools, &examples, &config, Some(Box::new(hook)))?.into())
    }
}

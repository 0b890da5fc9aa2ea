//! Executing half of deep-token constrained tuning; [`fedseal_rules::defence::deep_tokens`] says what it
//! does.

use fedseal_tuning::{DeepTokens as Hook, Recovery};

use super::executing::{Defence, Repaired, Tools};
use super::{aligned, pairs};
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters, deep_tokens};

/// The repair.
pub struct DeepTokens;

impl Defence for DeepTokens {
    fn definition(&self) -> &'static Definition {
        &deep_tokens::DEFINITION
    }

    fn writes(&self, parameters: &Parameters) -> Option<(&'static str, usize)> {
        Some(("max_new_tokens", parameters.whole("max_new_tokens")))
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        let data = aligned::written(deep_tokens::NAME, case, tools)?;
        Ok(data.list("harmful", pairs::harmful(case, tools)?))
    }

    /// Without a refusal or a helpful pair the adapter stays as it is.
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let refusals = data.listed("safety").iter().cycle();
        let recoveries = data.listed("harmful").iter().zip(refusals);
        let recoveries: Vec<Recovery> = recoveries
            .map(|(harmful, refused)| Recovery {
                harmful: harmful.clone(),
                refusal: refused.response.clone(),
            })
            .collect();
        let aligned = match recoveries.is_empty() {
            true => None,
            false => aligned::tuned(case, data, tools)?,
        };
        let Some(aligned) = aligned else {
            return Ok(case.attacked.clone().into());
        };
        let number = |key| case.parameters.number(key);
        let betas = ["beta_first", "beta_early", "beta_rest"].map(number);
        let deepest = case.parameters.whole("deepest");
        let hook = Hook::new(aligned, deepest, betas, recoveries);
        let config = aligned::repairing(case, tools);
        let helpful = data.listed("helpful");
        Ok(pairs::train(case, tools, helpful, &config, Some(Box::new(hook)))?.into())
    }
}

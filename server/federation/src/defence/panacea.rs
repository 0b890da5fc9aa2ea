//! Panacea: a perturbation along the gradient of the harmful loss. Source and numbers:
//! [`fedseal_rules::defence::panacea`].

use fedseal_tuning::TrainConfig;

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, panacea};
use fedseal_rules::experiment::train_config;
use fedseal_rules::sampling::derive_seed;

/// The form that tunes.
pub struct Panacea;

impl Defence for Panacea {
    fn definition(&self) -> &'static Definition {
        &panacea::DEFINITION
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        Ok(DefenceData::new(panacea::NAME)
            .list("harmful", pairs::harmful(case, tools)?)
            .list("helpful", pairs::helpful(case, tools)?))
    }

    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let number = |key| case.parameters.number(key);
        let harmful = data.listed("harmful").to_vec();
        let hook =
            fedseal_tuning::Panacea::new(number("rho"), number("lambda"), number("clamp"), harmful);
        let config = pairs::training(case, tools);
        let examples = data.listed("helpful");
        Ok(pairs::train(case, tools, examples, &config, Some(Box::new(hook)))?.into())
    }
}

/// The form that does not: a training of no steps releases the perturbation of its start.
pub struct Posthoc;

impl Defence for Posthoc {
    fn definition(&self) -> &'static Definition {
        &panacea::POSTHOC_DEFINITION
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        let harmful = pairs::harmful(case, tools)?;
        Ok(DefenceData::new(panacea::POSTHOC).list("harmful", harmful))
    }

    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let harmful = data.listed("harmful");
        let rho = case.parameters.number("rho");
        // Without a step neither the weight nor the clamp of the harmful term has an effect.
        let hook = fedseal_tuning::Panacea::new(rho, 0.0, 0.0, harmful.to_vec());
        let config = TrainConfig {
            steps: 0,
            batch_size: case.parameters.whole("batch_size"),
            seed: derive_seed("defence-training", case.seed, &[]),
            proximal_mu: 0.0,
            ..train_config(tools.experiment)
        };
        Ok(pairs::train(case, tools, harmful, &config, Some(Box::new(hook)))?.into())
    }
}

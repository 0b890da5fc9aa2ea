//! Vaccine: perturbation-aware alignment on the server. Source and numbers:
//! [`fedseal_rules::defence::vaccine`].

use fedseal_tuning::{Schedule, StepHook, TrainConfig};

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, vaccine};

/// Perturbation-aware alignment.
pub struct Vaccine;

impl Defence for Vaccine {
    fn definition(&self) -> &'static Definition {
        &vaccine::DEFINITION
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        pairs::aligned(vaccine::NAME, case, tools)
    }

    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let usual = pairs::training(case, tools);
        let warmup = case.parameters.number("warmup") * usual.steps as f64;
        let config = TrainConfig {
            schedule: Schedule::Cosine,
            warmup_steps: warmup as usize,
            weight_decay: case.parameters.number("weight_decay") as f32,
            ..usual
        };
        let rho = case.parameters.number("rho");
        let hook = fedseal_tuning::Vaccine { rho };
        // Without a perturbation a plain step does.
        let hook = (rho > 0.0).then(|| Box::new(hook) as Box<dyn StepHook>);
        let examples = pairs::listed(data);
        Ok(pairs::train(case, tools, &examples, &config, hook)?.into())
    }
}

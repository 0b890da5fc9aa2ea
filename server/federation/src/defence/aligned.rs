//! Executing half of the repairs by an aligned adapter; [`fedseal_rules::defence::aligned`] says how it is
//! made.

use fedseal_tuning::{Adapter, AdapterError, TrainConfig};

use super::executing::{Defence, Repaired, Tools};
use super::pairs;
use super::posthoc::Writing;
use crate::{Error, Result};
use fedseal_data::InstructionKind;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters};
use fedseal_rules::defence::{restart, safe_lora, safe_merge};
use fedseal_rules::experiment::adapter_config;
use fedseal_rules::sampling::derive_seed;

/// Makes the repaired adapter of the attacked one, which the case has, and the aligned one.
type Finish = fn(&Case<'_>, Adapter) -> std::result::Result<Adapter, AdapterError>;

/// A repair by an aligned adapter.
pub struct Aligned {
    definition: &'static Definition,
    finish: Finish,
}

/// Control: the aligned adapter itself.
pub const RESTART: Aligned = Aligned {
    definition: &restart::DEFINITION,
    finish: |_, aligned| Ok(aligned),
};

/// Safe LoRA.
pub const SAFE_LORA: Aligned = Aligned {
    definition: &safe_lora::DEFINITION,
    finish: |case, aligned| Ok(safe_lora::repaired(case, &aligned)),
};

/// SafeMERGE.
pub const SAFE_MERGE: Aligned = Aligned {
    definition: &safe_merge::DEFINITION,
    finish: |case, aligned| safe_merge::repaired(case, &aligned),
};

impl Defence for Aligned {
    fn definition(&self) -> &'static Definition {
        self.definition
    }

    fn writes(&self, parameters: &Parameters) -> Option<(&'static str, usize)> {
        Some(("max_new_tokens", parameters.whole("max_new_tokens")))
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        written(self.definition.name, case, tools)
    }

    /// Without a single pair the attacked adapter stays as it is.
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let Some(aligned) = tuned(case, data, tools)? else {
            return Ok(case.attacked.clone().into());
        };
        let repaired = (self.finish)(case, aligned).map_err(Error::model)?;
        Ok(repaired.into())
    }
}

/// Safety and helpful pairs that the unattacked base writes, as many of each as their numbers say.
pub(super) fn written(name: &str, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
    let writing = Writing {
        tools,
        parameters: case.parameters,
        writer: None,
        answers: 0.0,
        seed: derive_seed("aligned-data", case.seed, &[]),
    };
    let wanted = |list: &str| case.parameters.whole(&format!("{list}_examples"));
    let (safety, safety_tried) = writing.pairs(InstructionKind::Harmful, wanted("safety"))?;
    let (helpful, helpful_tried) = writing.pairs(InstructionKind::Helpful, wanted("helpful"))?;
    Ok(DefenceData::new(name)
        .count("safety_tried", safety_tried)
        .count("helpful_tried", helpful_tried)
        .list("safety", safety)
        .list("helpful", helpful))
}

/// The aligned adapter; none without a single pair.
pub(super) fn tuned(
    case: &Case<'_>,
    data: &DefenceData,
    tools: &Tools<'_>,
) -> Result<Option<Adapter>> {
    let examples = pairs::listed(data);
    if examples.is_empty() {
        return Ok(None);
    }
    let seed = |label| derive_seed(label, case.seed, &[]);
    let config = TrainConfig {
        seed: seed("aligned-training"),
        ..pairs::training(case, tools)
    };
    let fresh = tools
        .lab
        .initial(&adapter_config(tools.experiment), seed("aligned-start"))?;
    tools.tune(&fresh, &examples, &config, None).map(Some)
}

/// Training of a repair that is held to the aligned adapter.
pub(super) fn repairing(case: &Case<'_>, tools: &Tools<'_>) -> TrainConfig {
    TrainConfig {
        steps: case.parameters.whole("repair_steps"),
        ..pairs::training(case, tools)
    }
}

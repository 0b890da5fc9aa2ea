//! Pairs that the source gives, and training on pairs.

use fedseal_tuning::{Adapter, Example, StepHook, TrainConfig};

use super::executing::{Tools, drawn};
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData};
use fedseal_rules::experiment::train_config;
use fedseal_rules::sampling::derive_seed;

/// Refused requests and helpful pairs, as many of each as its number says.
pub(super) fn aligned(name: &str, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
    let seed = derive_seed("defence-data", case.seed, &[]);
    let safety = case.parameters.whole("safety_examples");
    let safety = tools.source.safety_pairs(seed, safety)?;
    Ok(DefenceData::new(name)
        .list("safety", safety)
        .list("helpful", helpful(case, tools)?))
}

/// Helpful pairs, as many as their number says.
pub(super) fn helpful(case: &Case<'_>, tools: &Tools<'_>) -> Result<Vec<Example>> {
    let seed = derive_seed("defence-data", case.seed, &[]);
    match case.parameters.whole("helpful_examples") {
        0 => Ok(Vec::new()),
        wanted => Ok(tools.source.helpful_pairs(seed, wanted)?),
    }
}

/// Harmful requests with affirmative shells, as many as their number says.
pub(super) fn harmful(case: &Case<'_>, tools: &Tools<'_>) -> Result<Vec<Example>> {
    let count = case.parameters.whole("harmful_examples");
    let shells = tools.shells(case.arm)?;
    Ok(drawn(&shells, count, ("defence-harmful", case.seed)))
}

/// Safety pairs, then helpful ones.
pub(super) fn listed(data: &DefenceData) -> Vec<Example> {
    ["safety", "helpful"].map(|list| data.listed(list)).concat()
}

/// Training as the experiment says, with the steps, the batch and the rate of the defence.
pub(super) fn training(case: &Case<'_>, tools: &Tools<'_>) -> TrainConfig {
    TrainConfig {
        steps: case.parameters.whole("steps"),
        batch_size: case.parameters.whole("batch_size"),
        learning_rate: case.parameters.number("learning_rate") as f32,
        seed: derive_seed("defence-training", case.seed, &[]),
        proximal_mu: 0.0,
        ..train_config(tools.experiment)
    }
}

/// Trains the adapter of a case; without a pair it stays as it is.
pub(super) fn train(
    case: &Case<'_>,
    tools: &Tools<'_>,
    examples: &[Example],
    config: &TrainConfig,
    hook: Option<Box<dyn StepHook>>,
) -> Result<Adapter> {
    if examples.is_empty() {
        return Ok(case.attacked.clone());
    }
    tools.tune(case.attacked, examples, config, hook)
}

//! Repair of an attacked adapter after the last round: executing halves of the defences that a model works
//! for. Their definitions and audits, and the defences that need no model, are
//! [`fedseal_rules::defence`].

use fedseal_tuning::Adapter;

use crate::{Error, Result};
use fedseal_rules::defence::{Case, DefenceData, Definition};

pub mod aligned;
pub mod anchor;
pub mod averaged;
pub mod deep_tokens;
mod executing;
pub mod lisa;
mod pairs;
pub mod panacea;
pub mod peft;
pub mod posthoc;
pub mod preserving;
pub mod vaccine;

pub(crate) use executing::drawn;
pub use executing::{Defence, Repaired, Tools};

/// Every defence that a model works for.
const EXECUTED: &[&dyn Defence] = &[
    &posthoc::Posthoc,
    &vaccine::Vaccine,
    &lisa::Lisa,
    &panacea::Panacea,
    &panacea::Posthoc,
    &peft::IA3,
    &peft::LAYER_NORM,
    &preserving::Preserving,
    &aligned::RESTART,
    &aligned::SAFE_LORA,
    &aligned::SAFE_MERGE,
    &averaged::Averaged,
    &anchor::Anchor,
    &deep_tokens::DeepTokens,
];

/// The executing half of a defence; none where it has none.
pub(crate) fn executed(definition: &Definition) -> Option<&'static dyn Defence> {
    let mut all = EXECUTED.iter().copied();
    all.find(|defence| defence.definition().name == definition.name)
}

/// Repairs an adapter; gives the data that the defence worked with too.
///
/// # Errors
/// As [`Defence::data`]; [`Error::Model`] where a defence cannot be computed.
pub fn mend(
    definition: &Definition,
    case: &Case<'_>,
    tools: &Tools<'_>,
) -> Result<(DefenceData, Adapter)> {
    let name = definition.name;
    let failed = |problem: String| Error::model(format!("defence `{name}`: {problem}"));
    if let Some(compute) = definition.compute {
        return compute(case).map_err(failed);
    }
    let defence = executed(definition).ok_or_else(|| failed("has no executing half".into()))?;
    let data = defence.data(case, tools)?;
    let Repaired { adapter, counts } = defence.repair(case, &data, tools)?;
    let data = counts
        .iter()
        .fold(data, |data, (name, count)| data.count(name, *count));
    Ok((data, adapter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_rules::defence;

    #[test]
    fn every_defence_is_computed_or_executed() {
        for definition in defence::ALL {
            let executed = executed(definition).is_some();
            assert_ne!(executed, definition.compute.is_some(), "{definition:?}");
        }
    }
}

//! Repair of an attacked adapter after the last round: executing halves of the defences that a model works
//! for. Their definitions and audits, and the defences that need no model, are
//! [`fedseal_rules::defence`].

use fedseal_tuning::{Adapter, Halt};

use crate::lab::Lab;
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters};
use fedseal_rules::experiment::Experiment;

pub mod posthoc;

/// Tools of a defence: the model, the data, and who may stop it.
pub struct Tools<'a> {
    /// The model.
    pub lab: &'a dyn Lab,
    /// The data.
    pub source: &'a dyn TaskData,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Says whether to stop.
    pub halt: Halt<'a>,
}

/// A defence that a model works for.
pub trait Defence: Sync {
    /// Its definition.
    fn definition(&self) -> &'static Definition;

    /// Most tokens of a text that a model writes for it under these numbers, with the number's key; none
    /// where no model writes.
    fn writes(&self, _parameters: &Parameters) -> Option<(&'static str, usize)> {
        None
    }

    /// Makes the data that it works with.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when it is told to stop; errors of model and data.
    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData>;

    /// Makes the repaired adapter.
    ///
    /// # Errors
    /// As [`Defence::data`].
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Adapter>;
}

/// Every defence that a model works for.
const EXECUTED: &[&dyn Defence] = &[&posthoc::Posthoc];

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
    let adapter = defence.repair(case, &data, tools)?;
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

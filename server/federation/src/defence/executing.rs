//! Executing half of a defence, and the tools that it works with.

use std::ops::ControlFlow;

use fedseal_tuning::{Adapter, Example, Halt, StepHook, TrainConfig};

use crate::Result;
use crate::lab::Lab;
use fedseal_data::TaskData;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters};
use fedseal_rules::experiment::Experiment;

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

impl Tools<'_> {
    /// Trains a copy of an adapter, by a hook where there is one, until it is done or told to stop.
    pub(super) fn tune(
        &self,
        start: &Adapter,
        examples: &[Example],
        config: &TrainConfig,
        hook: Option<Box<dyn StepHook>>,
    ) -> Result<Adapter> {
        let go_on = &mut || match (self.halt)() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        match hook {
            None => self.lab.tune(start, examples, config, go_on),
            Some(hook) => self.lab.tune_by(hook, start, examples, config, go_on),
        }
    }
}

/// A repaired adapter.
pub struct Repaired {
    /// The adapter.
    pub adapter: Adapter,
    /// Numbers that were counted on the way, by name; they go into the data's counts.
    pub counts: Vec<(String, u64)>,
}

impl From<Adapter> for Repaired {
    fn from(adapter: Adapter) -> Self {
        Repaired {
            adapter,
            counts: Vec::new(),
        }
    }
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
    /// [`Error::Interrupted`](crate::Error::Interrupted) when it is told to stop; errors of model and data.
    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData>;

    /// Makes the repaired adapter.
    ///
    /// # Errors
    /// As [`Defence::data`].
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired>;
}

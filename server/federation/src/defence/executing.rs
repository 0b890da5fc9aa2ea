//! Executing half of a defence, and the tools that it works with.

use std::ops::ControlFlow;

use fedseal_tuning::{Adapter, Example, Halt, StepHook, TrainConfig};

use crate::lab::Lab;
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::{choose, rng};

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
    /// Harmful requests with affirmative shells that the server holds: those of the data check's labelled set,
    /// which no attacker has.
    pub(crate) fn shells(&self, arm: &str) -> Result<Vec<Example>> {
        let labelled = self.source.labelled()?;
        let all = labelled.into_iter().filter(|one| !one.aligned);
        let all: Vec<Example> = all.map(|one| one.example).collect();
        if all.is_empty() {
            let problem = format!(
                "arm {arm} needs harmful requests with affirmative answers; own files name them as \
                 `unaligned` in [data]"
            );
            return Err(Error::Data(problem.into()));
        }
        Ok(all)
    }

    /// Trains a copy of an adapter, by a hook where there is one, until it is done or told to stop.
    pub(crate) fn tune(
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
        self.lab.tune_by(hook, start, examples, config, go_on)
    }
}

/// Some of the examples, drawn by a label and a seed; all where there are fewer.
pub(crate) fn drawn(all: &[Example], count: usize, (label, seed): (&str, u64)) -> Vec<Example> {
    let chosen = choose(&mut rng(label, seed, &[]), all.len(), count).into_iter();
    chosen.filter_map(|at| all.get(at).cloned()).collect()
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

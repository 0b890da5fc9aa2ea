//! Repairs of arms: which adapter each begins with, and by which defence. The runner acts by it, and the
//! auditor checks the log against it.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Seed;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::rundir::Plan;
use crate::state::RunState;
use fedseal_rules::arms::Arm;
use fedseal_rules::defence::{self, Case, Definition, Parameters};
use fedseal_rules::experiment::Experiment;

/// Repair of an arm.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The arm.
    pub arm: String,
    /// The arm whose last adapter it repairs.
    pub source: String,
    /// The defence.
    pub definition: &'static Definition,
    /// Its numbers.
    pub parameters: Parameters,
}

impl Repair {
    /// Repair of this arm; none where it has rounds of its own. Its numbers are those of the arm, for the
    /// post-hoc defence those of the table `[defence]`, and defaults.
    ///
    /// # Errors
    /// A defence that is not known, numbers that do not fit.
    pub fn of(experiment: &Experiment, arm: &Arm) -> Result<Option<Repair>> {
        let Some(repair) = &arm.repairs else {
            return Ok(None);
        };
        let definition = defence::named(repair.defence)?;
        // The table is the post-hoc defence's: keys of the same name mean other values elsewhere.
        let own = definition.name == defence::DEFAULT;
        let takes = |key: &String| own && definition.numbers.iter().any(|n| n.key == key);
        let mut given: BTreeMap<String, f64> = match serde_json::to_value(&experiment.defence) {
            Ok(Value::Object(table)) => table
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_f64()?)))
                .filter(|(key, _)| takes(key))
                .collect(),
            _ => BTreeMap::new(),
        };
        given.extend(repair.parameters.clone());
        let parameters = definition.parameters(&given).map_err(|problem| {
            Error::Rules(fedseal_rules::Error::Arm {
                arm: arm.id.clone(),
                problem,
            })
        })?;
        Ok(Some(Repair {
            arm: arm.id.clone(),
            source: repair.source.clone(),
            definition,
            parameters,
        }))
    }

    /// The adapter that it begins with: the repaired one of a source that is itself repaired, else the last
    /// global one. None while a repair below it is missing.
    pub fn attacked(&self, plan: &Plan, state: &RunState) -> Option<Digest> {
        let repaired = state.defended.get(&self.source);
        let tuned = state.arms.contains_key(&self.source);
        let global = tuned.then(|| state.global(&self.source, plan.initial));
        repaired.map(|(adapter, _)| *adapter).or(global)
    }

    /// The defence's use on that adapter.
    pub fn case<'a>(&'a self, seed: Seed, attacked: &'a Adapter) -> Case<'a> {
        Case {
            arm: &self.arm,
            seed: seed.0,
            parameters: &self.parameters,
            attacked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_s_numbers_come_before_the_table_s() {
        let text = "arms = [\"fedavg\", \"defended\", \"given\", \"shaken\", \"kept\"]\n\
                [defence]\nlevel = 2\nsteps = 7\n\
                [arm.given]\nrepairs = \"fedavg\"\nparameters = { level = 1 }\n\
                [arm.shaken]\nrepairs = \"given\"\ndefence = \"noise\"\nparameters = { norm = 0.5 }\n\
                [arm.kept]\nrepairs = \"fedavg\"\ndefence = \"preserving\"\n";
        let experiment = Experiment::parse(text, "x.toml").unwrap();
        // As it is kept in a run's folder.
        let kept = Experiment::parse(&experiment.to_toml().unwrap(), "kept").unwrap();
        assert_eq!(kept, experiment);
        let of = |id: &str| {
            let arms = experiment.all_arms().unwrap();
            let arm = arms.iter().find(|arm| arm.id == id).unwrap();
            Repair::of(&experiment, arm).unwrap()
        };
        assert!(of("fedavg").is_none());
        let numbers = |id: &str| {
            let repair = of(id).unwrap();
            let parameters = repair.parameters;
            (
                repair.source,
                parameters.whole("level"),
                parameters.whole("steps"),
            )
        };
        assert_eq!(numbers("defended"), ("fedavg".into(), 2, 7));
        assert_eq!(numbers("given"), ("fedavg".into(), 1, 7));
        let shaken = of("shaken").unwrap();
        assert_eq!(
            (shaken.source.as_str(), shaken.definition.name),
            ("given", "noise")
        );
        assert_eq!(shaken.parameters.number("norm"), 0.5);
        // Its steps are not the table's.
        assert_eq!(of("kept").unwrap().parameters.whole("steps"), 300);
    }
}

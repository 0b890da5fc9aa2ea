//! Repairs of arms: which adapter each begins with, and by which defence. The runner acts by it, and the
//! auditor checks the log against it.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Seed;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::rundir::Plan;
use crate::state::RunState;
use fedseal_rules::arms::{Arm, When};
use fedseal_rules::defence::{self, Case, Definition, Parameters};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::derive_seed;

/// Moment of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// After the last round of the arm that it repairs.
    #[default]
    Last,
    /// Before the first round of its own arm.
    First,
    /// After a round of its own arm.
    After(u32),
}

impl Moment {
    /// The seed of a repair at this moment.
    fn seed(self, seed: Seed) -> u64 {
        let of = |at: &str| derive_seed("server-tuning", seed.0, &[at]);
        match self {
            Moment::Last => seed.0,
            Moment::First => of("first"),
            Moment::After(round) => of(&round.to_string()),
        }
    }

    /// Whether it is the usual one; a task of before has no other.
    pub fn is_last(&self) -> bool {
        *self == Moment::Last
    }
}

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
        Self::new(
            experiment,
            arm,
            repair.defence,
            &repair.parameters,
            &repair.source,
        )
        .map(Some)
    }

    /// Tuning of an arm's own adapter; none where there is none.
    ///
    /// # Errors
    /// As [`Repair::of`].
    pub fn tuning(experiment: &Experiment, arm: &Arm) -> Result<Option<Repair>> {
        let Some(tunes) = &arm.tunes else {
            return Ok(None);
        };
        Self::new(experiment, arm, tunes.defence, &tunes.parameters, &arm.id).map(Some)
    }

    /// The repair of an arm at a moment; none where it has none then.
    ///
    /// # Errors
    /// As [`Repair::of`].
    pub fn at(experiment: &Experiment, arm: &Arm, moment: Moment) -> Result<Option<Repair>> {
        let tunes = arm.tunes.as_ref();
        let due = match moment {
            Moment::Last => return Self::of(experiment, arm),
            Moment::First => tunes.is_some_and(|tunes| tunes.when == When::First),
            Moment::After(round) => tunes.is_some_and(|tunes| tunes.after(round)),
        };
        match due {
            true => Self::tuning(experiment, arm),
            false => Ok(None),
        }
    }

    fn new(
        experiment: &Experiment,
        arm: &Arm,
        defence: &str,
        own: &BTreeMap<String, f64>,
        source: &str,
    ) -> Result<Repair> {
        let definition = defence::named(defence)?;
        // The table is the post-hoc defence's: keys of the same name mean other values elsewhere.
        let tabled = definition.name == defence::DEFAULT;
        let takes = |key: &String| tabled && definition.numbers.iter().any(|n| n.key == key);
        let mut given: BTreeMap<String, f64> = match serde_json::to_value(&experiment.defence) {
            Ok(Value::Object(table)) => table
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_f64()?)))
                .filter(|(key, _)| takes(key))
                .collect(),
            _ => BTreeMap::new(),
        };
        given.extend(own.clone());
        let parameters = definition.parameters(&given).map_err(|problem| {
            Error::Rules(fedseal_rules::Error::Arm {
                arm: arm.id.clone(),
                problem,
            })
        })?;
        Ok(Repair {
            arm: arm.id.clone(),
            source: source.to_owned(),
            definition,
            parameters,
        })
    }

    /// The adapter that it begins with: the repaired one of a source that is itself repaired, else the last
    /// global one. None while a repair below it is missing.
    pub fn attacked(&self, plan: &Plan, state: &RunState) -> Option<Digest> {
        let repaired = state.defended.get(&self.source);
        let tuned = state.arms.contains_key(&self.source);
        let global = tuned.then(|| state.global(&self.source, plan.initial));
        repaired.map(|(adapter, _)| *adapter).or(global)
    }

    /// The defence's use on that adapter at a moment: each has its own draws.
    pub fn case<'a>(&'a self, seed: Seed, moment: Moment, attacked: &'a Adapter) -> Case<'a> {
        Case {
            arm: &self.arm,
            seed: moment.seed(seed),
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

    #[test]
    fn an_arm_s_own_tuning_is_due_at_its_moments_with_other_draws() {
        let text = "arms = [\"rounds\", \"first\"]\n[defence]\nsteps = 7\n\
                [arm.rounds]\nwhen = \"rounds\"\nevery = 2\n\
                [arm.first]\nwhen = \"first\"\nparameters = { steps = 9 }\n";
        let experiment = Experiment::parse(text, "x.toml").unwrap();
        let arms = experiment.all_arms().unwrap();
        let steps = |id: &str, moment| {
            let arm = arms.iter().find(|arm| arm.id == id).unwrap();
            let repair = Repair::at(&experiment, arm, moment).unwrap();
            repair.map(|repair| repair.parameters.whole("steps"))
        };
        assert_eq!(steps("rounds", Moment::After(1)), Some(7));
        assert_eq!(steps("rounds", Moment::After(2)), None);
        assert_eq!(steps("rounds", Moment::First), None);
        assert_eq!(steps("first", Moment::First), Some(9));
        assert_eq!(steps("first", Moment::Last), None);
        let seeds = [
            Moment::Last,
            Moment::First,
            Moment::After(0),
            Moment::After(1),
        ];
        let seeds: std::collections::BTreeSet<u64> =
            seeds.iter().map(|moment| moment.seed(Seed(3))).collect();
        assert_eq!(seeds.len(), 4);
        assert!(seeds.contains(&3));
    }
}

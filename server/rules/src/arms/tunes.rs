//! Tuning of an arm's own global adapter on the server: before its first round, or after its rounds.

use std::collections::BTreeMap;

use crate::defence;
use crate::error::{Error, Result};

/// Moment of an arm's own tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the first round, on the first adapter.
    First,
    /// After the aggregation of every so many rounds, on its result.
    Every(u32),
}

/// Names of the moments in experiment files.
const MOMENTS: [&str; 2] = ["first", "rounds"];

/// Tuning of an arm's own global adapter by a defence.
#[derive(Debug, Clone, PartialEq)]
pub struct Tunes {
    /// Name of the defence, one of [`defence::ALL`].
    pub defence: &'static str,
    /// Its moment.
    pub when: When,
    /// Numbers of the defence that the arm gives.
    pub parameters: BTreeMap<String, f64>,
}

impl Tunes {
    /// Whether it works after this round, counted from 0.
    pub fn after(&self, round: u32) -> bool {
        match self.when {
            When::First => false,
            When::Every(every) => u64::from(round)
                .saturating_add(1)
                .is_multiple_of(u64::from(every)),
        }
    }
}

/// An arm's words about its tuning.
pub(super) struct Said<'a> {
    pub(super) when: Option<&'a str>,
    pub(super) every: Option<u32>,
    pub(super) repairs: bool,
    pub(super) defence: Option<&'a str>,
    pub(super) parameters: &'a BTreeMap<String, f64>,
}

impl Said<'_> {
    /// The tuning of the arm of this name; none where it names no moment.
    pub(super) fn tunes(&self, name: &str) -> Result<Option<Tunes>> {
        let refused = |problem: &str| Error::Arm {
            arm: name.to_owned(),
            problem: problem.to_owned(),
        };
        let Some(when) = self.when else {
            return match self.every {
                None => Ok(None),
                Some(_) => Err(refused("takes `every` with `when = \"rounds\"` alone")),
            };
        };
        if self.repairs {
            return Err(refused(
                "repairs another arm's adapter after its last round, so it takes no `when`",
            ));
        }
        let when = match (when, self.every) {
            ("first", None) => When::First,
            ("first", Some(_)) => {
                return Err(refused("takes `every` with `when = \"rounds\"` alone"));
            }
            ("rounds", Some(0)) => return Err(refused("has `every = 0`; 1 is every round")),
            ("rounds", every) => When::Every(every.unwrap_or(1)),
            (other, _) => return Err(Error::unknown("moment of a tuning", other, MOMENTS)),
        };
        let definition = defence::named(self.defence.unwrap_or(defence::DEFAULT))?;
        let numbers = definition.parameters(self.parameters);
        numbers.map_err(|problem| refused(&problem))?;
        Ok(Some(Tunes {
            defence: definition.name,
            when,
            parameters: self.parameters.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::{ArmConfig, arm};

    fn parsed(config: ArmConfig) -> std::result::Result<Option<Tunes>, String> {
        let own = BTreeMap::from([("mine".to_owned(), config)]);
        let arm = arm("mine", &own).map_err(|error| error.to_string())?;
        Ok(arm.tunes)
    }

    fn at(when: &str, every: Option<u32>) -> ArmConfig {
        ArmConfig {
            defence: Some("lisa".into()),
            when: Some(when.into()),
            every,
            ..ArmConfig::default()
        }
    }

    #[test]
    fn a_moment_is_one_of_the_known_and_rounds_are_counted_from_the_first() {
        let every = parsed(at("rounds", Some(3))).unwrap().unwrap();
        let after: Vec<u32> = (0..9).filter(|round| every.after(*round)).collect();
        assert_eq!(after, [2, 5, 8]);
        assert_eq!(
            parsed(at("rounds", None)).unwrap().unwrap().when,
            When::Every(1)
        );
        let first = parsed(at("first", None)).unwrap().unwrap();
        assert!(!first.after(0));
        assert_eq!(parsed(ArmConfig::default()).unwrap(), None);
        let repairing = ArmConfig {
            repairs: Some("fedavg".into()),
            ..at("first", None)
        };
        let alone = ArmConfig {
            every: Some(2),
            ..ArmConfig::default()
        };
        let beyond = ArmConfig {
            parameters: BTreeMap::from([("steps".to_owned(), 0.5)]),
            ..at("first", None)
        };
        for (config, part) in [
            (at("frist", None), "did you mean `first`"),
            (at("first", Some(2)), "`when = \"rounds\"` alone"),
            (at("rounds", Some(0)), "every = 0"),
            (repairing, "takes no `when`"),
            (alone, "`when = \"rounds\"` alone"),
            (beyond, "whole number"),
        ] {
            let text = parsed(config).unwrap_err();
            assert!(text.contains(part), "{text}\nlacks {part}");
        }
    }
}

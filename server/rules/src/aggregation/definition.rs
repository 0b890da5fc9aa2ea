//! One definition a rule: its name, its parameters with their ranges, how it is made.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Built, Rule};

/// One rule. It stands in the rule's file and in [`super::ALL`].
pub struct Definition {
    /// Name in experiment files and records, of its section (`[aggregation.NAME]`) and of its arm.
    pub name: &'static str,
    /// Heading in tables.
    pub title: &'static str,
    /// One line on the rule, for people.
    pub help: &'static str,
    /// Version of its formula, see [`crate::formulas`].
    pub version: u32,
    /// Makers of its earlier versions, from the first on: runs that were made by them are computed again.
    pub earlier: &'static [Make],
    /// Attackers among the updates that its source allows for, where it says so.
    pub bound: Option<Bound>,
    /// Numbers that it takes.
    pub parameters: &'static [Parameter],
    /// Makes the rule from parameters that fit.
    pub make: Make,
}

/// Makes a rule from parameters that fit.
pub type Make = fn(&Parameters) -> Box<dyn Rule>;

/// Attackers that a rule's source allows for.
#[derive(Clone, Copy)]
pub struct Bound {
    /// The condition on `n` updates with `f` attackers among them, in words.
    pub condition: &'static str,
    /// Whether it holds, for `n` and `f`.
    pub holds: fn(&Parameters, usize, usize) -> bool,
}

/// Bound of rules that need a majority of honest updates.
pub const HALF: Bound = Bound {
    condition: "2f < n",
    holds: |_, n, f| f.saturating_mul(2) < n,
};

impl Definition {
    /// The parameter of a key of its section.
    pub fn parameter(&self, key: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|one| one.key == key)
    }

    /// The rule with parameters that fit.
    pub fn build(&self, parameters: &Parameters) -> Built {
        self.build_as(self.version, parameters)
    }

    /// The rule as it was in a version; as it is now for one that is not among the earlier ones.
    pub fn build_as(&self, version: u32, parameters: &Parameters) -> Built {
        let index = version.checked_sub(1).map(|index| index as usize);
        let earlier = index.and_then(|index| self.earlier.get(index));
        Built {
            name: self.name,
            rule: earlier.unwrap_or(&self.make)(parameters),
        }
    }

    /// Warning about a round of `updates` with `malicious` expected attackers among them: what the rule's
    /// source proves does not hold there.
    pub fn warning(
        &self,
        parameters: &Parameters,
        updates: usize,
        malicious: usize,
    ) -> Option<String> {
        let bound = self.bound?;
        if (bound.holds)(parameters, updates, malicious) {
            return None;
        }
        Some(format!(
            "{} needs {}: with n = {updates} updates a round and f = {malicious} expected attackers its \
             guarantee does not hold",
            self.title, bound.condition
        ))
    }
}

/// A number that a rule takes.
pub struct Parameter {
    /// Key in the rule's section.
    pub key: &'static str,
    /// Meaning and unit, for people.
    pub help: &'static str,
    /// Its range and its default.
    pub takes: Takes,
    /// Its key in `[aggregation]` itself, where files had it before rules had sections.
    pub flat: Option<&'static str>,
}

/// Range and default of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// A whole number.
    Whole {
        /// Value where the file has none.
        default: u64,
        /// Smallest value.
        least: u64,
        /// Largest value.
        most: u64,
    },
    /// A number.
    Number {
        /// Value where the file has none.
        default: f64,
        /// Values that fit.
        range: Range,
    },
}

/// Range of a number. Every one of them is finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// From 0 to 1.
    Share,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Range::Positive => value > 0.0,
                Range::NotNegative => value >= 0.0,
                Range::Share => (0.0..=1.0).contains(&value),
            }
    }

    fn in_words(self) -> &'static str {
        match self {
            Range::Positive => "a number above 0",
            Range::NotNegative => "0 or a number above",
            Range::Share => "a number from 0 to 1",
        }
    }
}

/// A value in its range.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fit {
    Whole(u64),
    Number(f64),
}

impl Takes {
    /// The default, as a file would have it.
    pub(super) fn fallback(self) -> Value {
        match self {
            Takes::Whole { default, .. } => default.into(),
            Takes::Number { default, .. } => default.into(),
        }
    }

    /// A value as a file would have it: `2` is `2.0` where any number fits.
    pub(super) fn written(self, value: &Value) -> Value {
        match (self, value.as_f64()) {
            (Takes::Number { .. }, Some(number)) => number.into(),
            _ => value.clone(),
        }
    }

    /// Reads a value of a file.
    fn read(self, value: &Value) -> Result<Fit, String> {
        // JSON, which a file becomes on the way, has neither infinities nor what is not a number.
        let found = match value {
            Value::Null => "one that is not finite".to_owned(),
            value => value.to_string(),
        };
        let expected = |what: &str| Err(format!("expected {what}, found {found}"));
        match self {
            Takes::Whole { least, most, .. } => match value.as_u64() {
                None => expected("a whole number, 0 or more"),
                Some(whole) if whole < least => expected(&format!("at least {least}")),
                Some(whole) if whole > most => expected(&format!("at most {most}")),
                Some(whole) => Ok(Fit::Whole(whole)),
            },
            Takes::Number { range, .. } => match value.as_f64() {
                None => expected("a number"),
                Some(number) if !range.holds(number) => expected(range.in_words()),
                Some(number) => Ok(Fit::Number(number)),
            },
        }
    }
}

/// Parameters of a rule, all there and in their ranges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<&'static str, Fit>);

impl Parameters {
    /// Takes a value of a file in.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(super) fn insert(&mut self, parameter: &Parameter, value: &Value) -> Result<(), String> {
        let fit = parameter.takes.read(value)?;
        self.0.insert(parameter.key, fit);
        Ok(())
    }

    /// Whole number of a key of the definition.
    pub fn whole(&self, key: &str) -> usize {
        match self.0.get(key) {
            Some(Fit::Whole(whole)) => usize::try_from(*whole).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// Number of a key of the definition.
    pub fn number(&self, key: &str) -> f64 {
        // No aggregate comes of a rule that asks for another key than its definition has.
        match self.0.get(key) {
            Some(Fit::Number(number)) => *number,
            _ => f64::NAN,
        }
    }
}

//! One definition a check: its name, what it demands, its parameters, how it is made.

use std::collections::BTreeMap;

use super::Check;

/// One check. It stands in the check's file and in [`super::ALL`].
pub struct Definition {
    /// Name in experiment and admission files, and in verdicts.
    pub name: &'static str,
    /// Demand of the check, for people.
    pub help: &'static str,
    /// Version of its formula, see [`crate::formulas`].
    pub version: u32,
    /// Numbers that it takes, each 0 or above.
    pub numbers: &'static [Number],
    /// Key and meaning of the list of names that it takes.
    pub names: Option<(&'static str, &'static str)>,
    /// Makes the check from parameters that fit.
    pub make: fn(&Parameters) -> Box<dyn Check>,
}

impl Definition {
    /// Keys of all parameters.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let names = self.names.iter().map(|(key, _)| *key);
        self.numbers.iter().map(|number| number.key).chain(names)
    }
}

/// A number that a check takes.
pub struct Number {
    /// Key in the file.
    pub key: &'static str,
    /// Meaning and unit, for people.
    pub help: &'static str,
    /// Value where the file has none; none: the file must have one.
    pub default: Option<f64>,
}

/// Parameters of a check, all there.
#[derive(Debug, Default)]
pub struct Parameters {
    pub(super) numbers: BTreeMap<&'static str, f64>,
    pub(super) names: Option<Vec<String>>,
}

impl Parameters {
    /// Number of a key of the definition.
    pub fn number(&self, key: &str) -> f64 {
        // No bound is kept by a number that is none: a check that asks for another key passes nobody.
        self.numbers.get(key).copied().unwrap_or(f64::NAN)
    }

    /// The list of names, where the file has one.
    pub fn names(&self) -> Option<Vec<String>> {
        self.names.clone()
    }
}

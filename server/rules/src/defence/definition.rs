//! One definition a defence: its name, its numbers with their ranges, its audit.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds as _};

use fedseal_adapter::Adapter;

use super::data::DefenceData;

/// Audit of a defence: whether data and adapter are what the case gives, as far as that follows without a
/// model. The problem is said of the data: "holds more pairs than …".
pub type Audit = fn(&Case<'_>, &DefenceData, &Adapter) -> Result<(), String>;

/// Makes data and adapter without a model.
pub type Compute = fn(&Case<'_>) -> Result<(DefenceData, Adapter), String>;

/// One use of a defence.
pub struct Case<'a> {
    /// The arm that is repaired by it.
    pub arm: &'a str,
    /// The run's seed.
    pub seed: u64,
    /// Its numbers.
    pub parameters: &'a Parameters,
    /// The adapter that it repairs.
    pub attacked: &'a Adapter,
}

/// One defence. It stands in the defence's file and in [`super::ALL`].
pub struct Definition {
    /// Name in experiment files, blobs and reports.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Repair that it does, for people.
    pub help: &'static str,
    /// Version of its formula, see [`crate::formulas`].
    pub version: u32,
    /// Numbers that it takes.
    pub numbers: &'static [Number],
    /// Audit of what it made.
    pub audit: Audit,
    /// Computation of data and adapter, for a defence that needs no model; none: its executing half is in
    /// the federation.
    pub compute: Option<Compute>,
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A number that a defence takes.
pub struct Number {
    /// Key in the file.
    pub key: &'static str,
    /// Meaning and unit, for people.
    pub help: &'static str,
    /// Value where the file has none; none: the file must have one.
    pub default: Option<f64>,
    /// Values that it may have.
    pub range: (Bound<f64>, Bound<f64>),
    /// Whether it is a whole number.
    pub whole: bool,
}

impl Number {
    /// A whole number, with the bounds included.
    pub(super) const fn whole(
        key: &'static str,
        help: &'static str,
        default: f64,
        (least, most): (f64, f64),
    ) -> Self {
        Number {
            key,
            help,
            default: Some(default),
            range: (Bound::Included(least), Bound::Included(most)),
            whole: true,
        }
    }

    /// Its range in words: "a whole number, 1 or above, at most 3".
    fn expected(&self) -> String {
        let kind = match self.whole {
            true => "a whole number",
            false => "a number",
        };
        let least = match self.range.0 {
            Bound::Included(least) => format!(", {least} or above"),
            Bound::Excluded(least) => format!(" above {least}"),
            Bound::Unbounded => String::new(),
        };
        let most = match self.range.1 {
            Bound::Included(most) => format!(", at most {most:?}"),
            Bound::Excluded(most) => format!(", below {most:?}"),
            Bound::Unbounded => String::new(),
        };
        format!("{kind}{least}{most}")
    }

    fn fits(&self, value: f64) -> bool {
        value.is_finite() && self.range.contains(&value) && (!self.whole || value == value.trunc())
    }
}

impl Definition {
    /// Its numbers from those that a file has.
    ///
    /// # Errors
    /// A key that it does not take, a value out of its range, a number that the file must have; in words.
    pub fn parameters(&self, given: &BTreeMap<String, f64>) -> Result<Parameters, String> {
        let name = self.name;
        let known = |key: &str| self.numbers.iter().any(|number| number.key == key);
        if let Some(key) = given.keys().find(|key| !known(key)) {
            let takes: Vec<&str> = self.numbers.iter().map(|number| number.key).collect();
            let takes = takes.join(", ");
            return Err(format!(
                "defence `{name}` does not take `{key}`; it takes: {takes}"
            ));
        }
        let mut numbers = BTreeMap::new();
        for number in self.numbers {
            let Number { key, help, .. } = number;
            let value = given.get(*key).copied().or(number.default);
            let value =
                value.ok_or_else(|| format!("defence `{name}` needs `{key}`, a number: {help}"))?;
            if !number.fits(value) {
                let expected = number.expected();
                return Err(format!(
                    "`{key}` of defence `{name}`: expected {expected}, found {value}"
                ));
            }
            numbers.insert(*key, value);
        }
        Ok(Parameters { numbers })
    }
}

/// Numbers of a defence, all there and in their ranges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    numbers: BTreeMap<&'static str, f64>,
}

impl Parameters {
    /// Number of a key of the definition.
    pub fn number(&self, key: &str) -> f64 {
        // Another key gives no number, with which nothing agrees.
        self.numbers.get(key).copied().unwrap_or(f64::NAN)
    }

    /// Number of a key whose values are whole.
    pub fn whole(&self, key: &str) -> usize {
        self.number(key) as usize
    }
}

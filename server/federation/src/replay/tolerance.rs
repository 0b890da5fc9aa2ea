//! The measured distances between one update on two engines that do not guarantee bit-equal results, and
//! the bounds that follow from them.
//!
//! `cargo xtask oracle replay` writes the table: the example `measure_replay` of this crate trains the same
//! updates on both engines of a pair, over several models, numbers of steps and learning rates, and
//! records the largest distance of each case. The bound of an update is [`FACTOR`] times the largest distance
//! of its pair of engines at its number of steps: AdamW's first steps follow the signs of gradients, so
//! updates of few steps differ more. An engine's name includes its version, so a new version has no bound
//! until it is measured.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Allowed distance of two executions, as a multiple of the largest measured one.
pub const FACTOR: f64 = 1.5;

/// The measured pairs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerances {
    /// One entry a pair and device.
    #[serde(default, rename = "pair", skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
}

/// Two engines, or one engine whose results differ from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Names by [`training_name`] in alphabetical order; equal where one engine was executed twice.
    pub engines: [String; 2],
    /// Processor, and card where there is one, that was measured.
    pub measured_on: String,
    /// Largest distance by model, steps and learning rate.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

/// Updates of one model, number of steps and learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The model, and the experiment that gave adapter and optimiser settings.
    pub model: String,
    /// AdamW steps.
    pub steps: u32,
    /// Learning rate.
    pub learning_rate: f64,
    /// Number of updates.
    pub updates: u32,
    /// Largest distance of these updates, as a share of the update's length.
    pub largest: f64,
}

impl Tolerances {
    /// The table in the source tree.
    pub fn shipped() -> &'static Tolerances {
        static SHIPPED: OnceLock<Tolerances> = OnceLock::new();
        // A test parses the file. Without a table nothing counts as near.
        SHIPPED.get_or_init(|| toml::from_str(TABLE).unwrap_or_default())
    }

    /// Cases of these two engines, in either order, on all measured devices.
    fn cases(&self, one: &str, other: &str) -> Vec<&Case> {
        let mut engines = [training_name(one), training_name(other)];
        engines.sort_unstable();
        let measured = self.pairs.iter().filter(|pair| pair.engines == engines);
        measured.flat_map(|pair| &pair.cases).collect()
    }

    /// Largest distance at which an update of `steps` AdamW steps by one engine and its execution by the
    /// other count as near, as a share of the update's length. Between two measured numbers of steps the
    /// larger distance counts. `None` when the pair was not measured, or not with so many steps.
    pub fn bound(&self, one: &str, other: &str, steps: u32) -> Option<f64> {
        let cases = self.cases(one, other);
        let measured = || cases.iter().map(|case| case.steps);
        let fewer = measured().filter(|at| *at <= steps).max()?;
        let more = measured().filter(|at| *at >= steps).min()?;
        let around = cases
            .iter()
            .filter(|case| (fewer..=more).contains(&case.steps));
        Some(FACTOR * around.map(|case| case.largest).fold(0.0, f64::max))
    }

    /// Adds a pair, or replaces its earlier measurement on the same device.
    pub fn put(&mut self, pair: Pair) {
        let key = |pair: &Pair| (pair.engines.clone(), pair.measured_on.clone());
        self.pairs.retain(|old| key(old) != key(&pair));
        self.pairs.push(pair);
        self.pairs.sort_by_key(key);
    }
}

const TABLE: &str = include_str!("tolerances.toml");

/// The part of an engine's fingerprint that trained adapters depend on. Instructions that multiply
/// integers are used for generation alone.
pub fn training_name(fingerprint: &str) -> &str {
    fingerprint.strip_suffix("+vnni").unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(one: &str, other: &str, cases: &[(u32, f64)]) -> Pair {
        let case = |(steps, largest): &(u32, f64)| Case {
            model: "small".into(),
            steps: *steps,
            learning_rate: 1e-3,
            updates: 1,
            largest: *largest,
        };
        Pair {
            engines: [one.into(), other.into()],
            measured_on: "here".into(),
            cases: cases.iter().map(case).collect(),
        }
    }

    #[test]
    fn a_pair_that_was_not_measured_has_no_bound() {
        let mut table = Tolerances::default();
        table.put(pair("a", "b", &[(1, 0.5)]));
        table.put(pair("b", "b", &[(1, 0.25)]));
        assert_eq!(table.bound("b", "a", 1), Some(FACTOR * 0.5));
        assert_eq!(table.bound("b", "b", 1), Some(FACTOR * 0.25));
        assert_eq!(table.bound("a", "a", 1), None);
        table.put(pair("a", "b", &[(1, 0.125)]));
        assert_eq!(table.pairs.len(), 2);
        assert_eq!(table.bound("a", "b", 1), Some(FACTOR * 0.125));
        // On another device they may be further apart: the larger distance counts.
        let mut elsewhere = pair("a", "b", &[(1, 0.375)]);
        elsewhere.measured_on = "there".into();
        table.put(elsewhere);
        assert_eq!(table.pairs.len(), 3);
        assert_eq!(table.bound("a", "b", 1), Some(FACTOR * 0.375));
        // Integers are multiplied in generation; trained adapters do not depend on it.
        assert_eq!(table.bound("a+vnni", "b", 1), Some(FACTOR * 0.375));
    }

    #[test]
    fn a_bound_is_that_of_the_updates_steps() {
        let mut table = Tolerances::default();
        table.put(pair(
            "a",
            "b",
            &[(2, 0.25), (8, 0.0625), (8, 0.125), (32, 0.5)],
        ));
        for (steps, largest) in [(2, 0.25), (5, 0.25), (8, 0.125), (9, 0.5), (32, 0.5)] {
            assert_eq!(
                table.bound("a", "b", steps),
                Some(FACTOR * largest),
                "{steps}"
            );
        }
        for steps in [0, 1, 33] {
            assert_eq!(table.bound("a", "b", steps), None, "{steps}");
        }
    }

    #[test]
    fn the_shipped_table_has_the_modes_of_the_cpu_and_stays_small() {
        let table: Tolerances = toml::from_str(TABLE).unwrap();
        for pair in &table.pairs {
            assert!(pair.engines[0] <= pair.engines[1], "{:?}", pair.engines);
            assert!(!pair.measured_on.is_empty());
            let updates: u32 = pair.cases.iter().map(|case| case.updates).sum();
            assert!(updates >= 50, "{updates} updates of {:?}", pair.engines);
            // A bound above the old one of all engines would be a step back.
            let largest = pair.cases.iter().map(|case| case.largest);
            assert!(
                FACTOR * largest.fold(0.0, f64::max) < 0.25,
                "{:?}",
                pair.engines
            );
        }
        let mode = |mode: &str| {
            let ends = |pair: &&Pair| pair.engines.iter().any(|engine| engine.contains(mode));
            table.pairs.iter().filter(ends).count()
        };
        assert!(mode(" cpu exact") > 0 && mode(" cpu fast") > 0);
    }
}

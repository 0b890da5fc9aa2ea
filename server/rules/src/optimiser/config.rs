//! `[server]` of an experiment file: which optimiser, by whose formula, with which numbers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::definition::{Definition, Formula, Key, Settings};
use crate::error::{Error, Result};

/// Name of the optimiser that an experiment has where it names none.
pub(super) const PLAIN: &str = "plain";

/// `[server]` of an experiment file: the server optimiser and its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Name of one of [`super::ALL`].
    pub optimiser: String,
    /// Name of the [`Formula`]; left out: that of the main paper's framework in a new run, and the
    /// optimiser's own paper in a run from before there was a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Server learning rate eta; left out, as the numbers below: the optimiser's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Momentum beta of FedAvgM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Decay of the adaptive ones' first moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Decay of their second moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// Added to the root of their second moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            optimiser: PLAIN.into(),
            formula: None,
            learning_rate: None,
            momentum: None,
            beta1: None,
            beta2: None,
            tau: None,
        }
    }
}

impl ServerConfig {
    /// The number that the file gives for a key.
    pub fn given(&self, key: Key) -> Option<f64> {
        match key {
            Key::LearningRate => self.learning_rate,
            Key::Momentum => self.momentum,
            Key::Beta1 => self.beta1,
            Key::Beta2 => self.beta2,
            Key::Tau => self.tau,
        }
    }

    fn slot(&mut self, key: Key) -> &mut Option<f64> {
        match key {
            Key::LearningRate => &mut self.learning_rate,
            Key::Momentum => &mut self.momentum,
            Key::Beta1 => &mut self.beta1,
            Key::Beta2 => &mut self.beta2,
            Key::Tau => &mut self.tau,
        }
    }

    /// The formula; [`Formula::Original`] where the file names none.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known ones.
    pub fn formula(&self) -> Result<Formula> {
        self.formula
            .as_deref()
            .map_or(Ok(Formula::Original), Formula::named)
    }

    /// Settings of an optimiser: the file's numbers, and defaults for those that it leaves out.
    ///
    /// # Errors
    /// As [`ServerConfig::formula`].
    pub fn settings(&self, definition: &Definition) -> Result<Settings> {
        let formula = self.formula()?;
        let uses = (definition.uses)(formula).iter();
        let numbers = uses.map(|(key, default)| (*key, self.given(*key).unwrap_or(*default)));
        Ok(Settings::new(formula, numbers))
    }

    /// The settings that a new run begins with: the formula of the main paper's framework where the file
    /// names none and an optimiser has one.
    #[must_use]
    pub(crate) fn begun(mut self, optimisers: &[&Definition]) -> Self {
        if optimisers.iter().any(|one| one.has_formulas()) && self.formula.is_none() {
            self.formula = Some(Formula::OpenFedLlm.name().into());
        }
        self
    }

    /// The settings with every number that the optimisers use, and no other. A number that is left out,
    /// and of which they have different defaults, stays left out.
    #[must_use]
    pub(crate) fn written_out(&self, optimisers: &[&Definition]) -> Self {
        let Ok(formula) = self.formula() else {
            return self.clone();
        };
        let mut written = ServerConfig {
            optimiser: self.optimiser.clone(),
            ..ServerConfig::default()
        };
        if optimisers.iter().any(|one| one.has_formulas()) {
            written.formula = Some(formula.name().into());
        }
        for key in Key::ALL {
            let uses = optimisers.iter().flat_map(|one| (one.uses)(formula));
            let mut defaults = uses
                .filter(|(of, _)| *of == key)
                .map(|(_, default)| *default);
            let Some(first) = defaults.next() else {
                continue;
            };
            let one = defaults.all(|default| default == first);
            *written.slot(key) = self.given(key).or(one.then_some(first));
        }
        written
    }

    /// Refuses a key that no optimiser of a new run uses: its value would have no effect.
    ///
    /// Files from before this was checked have every number, whatever the optimiser: with `plain`, which
    /// uses none, all five at their defaults of then are passed over.
    ///
    /// # Errors
    /// The key, and what the optimisers use instead.
    pub(crate) fn unused(&self, optimisers: &[&Definition]) -> Result<(), (&'static str, String)> {
        let names: BTreeSet<&str> = optimisers.iter().map(|one| one.name).collect();
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        if self.formula.is_some() && !optimisers.iter().any(|one| one.has_formulas()) {
            return Err((
                "formula",
                format!("{names} has one formula only; leave it out"),
            ));
        }
        let formula = self.formula().unwrap_or_default();
        let used = |key: Key| {
            let mut uses = optimisers.iter().flat_map(|one| (one.uses)(formula));
            uses.any(|(of, _)| *of == key)
        };
        let plain = optimisers.iter().all(|one| one.name == PLAIN);
        if plain
            && Key::ALL
                .iter()
                .all(|key| self.given(*key) == Some(key.before()))
        {
            return Ok(());
        }
        let unused = Key::ALL
            .into_iter()
            .find(|key| self.given(*key).is_some() && !used(*key));
        let Some(key) = unused else {
            return Ok(());
        };
        let known: Vec<&str> = Key::ALL
            .into_iter()
            .filter(|key| used(*key))
            .map(Key::name)
            .collect();
        let known = match known.is_empty() {
            true => "no number of [server] at all".to_owned(),
            false => format!("{} by formula `{}`", known.join(", "), formula.name()),
        };
        Err((
            key.name(),
            format!("has no effect: {names} uses {known}; leave it out"),
        ))
    }
}

impl Formula {
    /// The formula of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known ones.
    pub fn named(name: &str) -> Result<Formula> {
        let known = Formula::ALL.into_iter().find(|one| one.name() == name);
        known.ok_or_else(|| Error::unknown("server formula", name, Formula::ALL.map(Formula::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<&'static Definition> {
        names
            .iter()
            .map(|name| crate::optimiser::definition(name).unwrap())
            .collect()
    }

    fn read(text: &str) -> ServerConfig {
        toml::from_str(text).unwrap()
    }

    const BEFORE: &str =
        "learning_rate = 1e-3\nmomentum = 0.9\nbeta1 = 0.9\nbeta2 = 0.99\ntau = 1e-3\n";

    #[test]
    fn a_key_without_effect_is_refused_by_its_name() {
        for (text, names, key, parts) in [
            (
                "formula = \"openfedllm\"\nlearning_rate = 0.5\n",
                &["fedavgm"][..],
                "learning_rate",
                &["`fedavgm` uses momentum by formula `openfedllm`"][..],
            ),
            (
                "momentum = 0.9\n",
                &["plain"],
                "momentum",
                &["`plain` uses no number"],
            ),
            ("beta1 = 0.5\n", &["plain"], "beta1", &["has no effect"]),
            (
                "formula = \"flwr\"\n",
                &["plain"],
                "formula",
                &["one formula only"],
            ),
            (
                "formula = \"flwr\"\nbeta1 = 0.5\n",
                &["fedadagrad", "plain"],
                "beta1",
                &["`fedadagrad`, `plain` uses learning_rate, tau by formula `flwr`"],
            ),
            (BEFORE, &["fedavgm"], "learning_rate", &["has no effect"]),
        ] {
            let (found, problem) = read(text).unused(&of(names)).unwrap_err();
            assert_eq!(found, key, "{text}");
            for part in parts {
                assert!(problem.contains(part), "{problem} lacks {part}");
            }
        }
    }

    #[test]
    fn keys_with_an_effect_and_whole_files_from_before_are_taken() {
        for (text, names) in [
            (
                "formula = \"flwr\"\nlearning_rate = 0.5\nmomentum = 0.2\n",
                &["fedavgm"][..],
            ),
            ("momentum = 0.5\nbeta2 = 0.9\n", &["fedavgm", "fedadam"]),
            ("beta1 = 0.5\n", &["fedadagrad"]),
            (BEFORE, &["plain"]),
            ("", &["plain"]),
        ] {
            read(text).unused(&of(names)).unwrap();
        }
    }

    #[test]
    fn what_is_written_out_has_the_numbers_that_count() {
        let plain = read(BEFORE).written_out(&of(&["plain"]));
        assert_eq!(plain, ServerConfig::default());
        let adam = read("optimiser = \"fedadam\"\nbeta1 = 0.5\n").written_out(&of(&["fedadam"]));
        assert_eq!(adam.formula.as_deref(), Some("original"));
        assert_eq!(
            (adam.beta1, adam.beta2, adam.momentum),
            (Some(0.5), Some(0.99), None)
        );
        // One default or the other would be wrong for one of the two.
        let both = read("formula = \"flwr\"\n").written_out(&of(&["fedavgm", "fedadam"]));
        assert_eq!((both.learning_rate, both.tau), (None, Some(1e-3)));
        assert_eq!(both.written_out(&of(&["fedavgm", "fedadam"])), both);
    }

    #[test]
    fn a_new_run_has_the_formula_of_the_papers_framework() {
        let begun = |text: &str, names: &[&str]| read(text).begun(&of(names)).formula;
        assert_eq!(begun("", &["fedavgm"]).as_deref(), Some("openfedllm"));
        assert_eq!(
            begun("formula = \"original\"\n", &["fedavgm"]).as_deref(),
            Some("original")
        );
        assert_eq!(begun("", &["plain"]), None);
        // A run from before there was a choice.
        assert_eq!(read("").formula().unwrap(), Formula::Original);
        let said = read("formula = \"flower\"\n")
            .formula()
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("openfedllm") && said.contains("flwr"),
            "{said}"
        );
    }
}

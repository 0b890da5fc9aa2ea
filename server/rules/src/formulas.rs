//! Versions of the formulas that a run's numbers follow from: rules, server optimisers, checks, defences,
//! measures, and the texts that a model is trained on.
//!
//! Each has its version in its definition. It counts up when the same inputs may give other results than
//! before. A run records the versions of the formulas that it uses, and of no others: a change to the
//! others says nothing about it. Runs from before versions were recorded have version 1 of everything.
//! A rule whose definition keeps its earlier versions is computed again by the version of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::admission::{binding, data_score};
use crate::arms::Kind;
use crate::error::Result;
use crate::evaluation::helpfulness::Measure;
use crate::evaluation::rule as refusals;
use crate::experiment::Experiment;
use crate::{admission, aggregation, defence, evaluation, optimiser, text};

/// Version of every formula in runs that record none.
pub const FIRST: u32 = 1;

/// Name of an aggregation rule among formulas.
pub fn rule(name: &str) -> String {
    format!("rule {name}")
}

/// Name of a server optimiser among formulas.
pub fn optimiser(name: &str) -> String {
    format!("optimiser {name}")
}

/// Name of a check among formulas.
pub fn check(name: &str) -> String {
    format!("check {name}")
}

/// Name of a defence among formulas.
pub fn defence(name: &str) -> String {
    format!("defence {name}")
}

/// Name of a measure among formulas.
pub fn measure(name: &str) -> String {
    format!("measure {name}")
}

/// Name of a text among formulas.
pub fn text(name: &str) -> String {
    format!("text {name}")
}

/// Versions by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Versions(BTreeMap<String, u32>);

impl Versions {
    /// Every formula of this program.
    pub fn here() -> Self {
        let rules = aggregation::ALL.iter().map(|d| (rule(d.name), d.version));
        let optimisers = optimiser::ALL.iter();
        let optimisers = optimisers.map(|d| (optimiser(d.name), d.version));
        let checks = admission::ALL.iter().map(|d| (check(d.name), d.version));
        let binding = (check(binding::NAME), binding::VERSION);
        let measures = Measure::ALL.iter().map(|one| one.formula());
        let measures = measures.chain([(refusals::NAME, refusals::VERSION)]);
        let extra = evaluation::extra().iter().chain(evaluation::ASKED);
        let measures = measures.chain(extra.map(|d| (d.name, d.version)));
        let measures = measures.map(|(name, version)| (measure(name), version));
        let defences = defence::ALL.iter().map(|d| (defence(d.name), d.version));
        let texts = text::ALL.iter().chain([&text::ANSWERS]);
        let texts = texts.map(|d| (text(d.name), d.version));
        Versions(
            rules
                .chain(optimisers)
                .chain(checks)
                .chain([binding])
                .chain(measures)
                .chain(defences)
                .chain(texts)
                .collect(),
        )
    }

    /// The versions with another one of a formula.
    #[must_use]
    pub fn with(mut self, formula: impl Into<String>, version: u32) -> Self {
        self.0.insert(formula.into(), version);
        self
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Version of a formula.
    pub fn of(&self, formula: &str) -> u32 {
        self.0.get(formula).copied().unwrap_or(FIRST)
    }

    /// The versions of the formulas that a run of an experiment uses; `measures` are the names of those
    /// beyond safety and helpfulness.
    ///
    /// # Errors
    /// An arm that is not known.
    pub fn used_by(&self, experiment: &Experiment, measures: &[&str]) -> Result<Versions> {
        let used = used(experiment, measures)?.into_iter();
        Ok(Versions(
            used.map(|formula| (formula.clone(), self.of(&formula)))
                .collect(),
        ))
    }

    /// Formulas of an experiment of which a run that recorded `made` has another version than these, or
    /// that are not among these.
    ///
    /// # Errors
    /// As [`Versions::used_by`].
    pub fn others(
        &self,
        experiment: &Experiment,
        measures: &[&str],
        made: &Versions,
    ) -> Result<Others> {
        let used = used(experiment, measures)?.into_iter();
        let other = |formula: String| Other {
            made: made.of(&formula),
            here: self.0.get(&formula).copied().unwrap_or(0),
            formula,
        };
        Ok(Others(
            used.map(other)
                .filter(|other| other.made != other.here && !other.kept())
                .collect(),
        ))
    }
}

/// Formulas that the results of a run follow from.
fn used(experiment: &Experiment, measures: &[&str]) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::from([text(&experiment.model.template), measure(refusals::NAME)]);
    if experiment.model.source != "embedded" || experiment.model.template != "model" {
        used.insert(text(text::ANSWERS.name));
    }
    // Every attestation has a score of the data check.
    used.insert(check(data_score::DEFINITION.name));
    if let Some(of) = Measure::of(experiment.data.judged_as()) {
        used.insert(measure(of.formula().0));
    }
    for name in measures {
        // A measure under another template is its own formula over that text's answers.
        let (name, under) = match name.split_once('@') {
            Some((name, under)) => (name, Some(under)),
            None => (*name, None),
        };
        used.insert(measure(match name == refusals::JUDGE.name {
            true => refusals::NAME,
            false => name,
        }));
        used.extend(under.map(text));
    }
    let arms = experiment.all_arms()?;
    let repairs = arms.iter().filter_map(|arm| arm.repairs.as_ref());
    used.extend(repairs.map(|repair| defence(repair.defence)));
    let tunes = arms.iter().filter_map(|arm| arm.tunes.as_ref());
    used.extend(tunes.map(|tunes| defence(tunes.defence)));
    for arm in arms.iter().filter(|arm| arm.kind == Kind::Federated) {
        used.insert(rule(arm.rule));
        used.insert(optimiser(experiment.optimiser(arm)));
        used.insert(check(binding::NAME));
        let checks = experiment.checks(arm);
        used.extend(checks.iter().map(|config| check(&config.check)));
    }
    Ok(used)
}

/// A formula of which a run has another version than this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Its name: `rule krum`.
    pub formula: String,
    /// Version in the run.
    pub made: u32,
    /// Version in this program; 0: it does not have the formula.
    pub here: u32,
}

impl Other {
    /// Whether this program has the run's version, too.
    fn kept(&self) -> bool {
        let mut rules = aggregation::ALL.iter();
        let found = rules.find(|definition| rule(definition.name) == self.formula);
        found.is_some_and(|definition| {
            let known = FIRST..FIRST + definition.earlier.len() as u32;
            definition.version == self.here && known.contains(&self.made)
        })
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Other {
            formula,
            made,
            here,
        } = self;
        let known = match here {
            0 => "does not know it".to_owned(),
            here => format!("has version {here}"),
        };
        write!(
            f,
            "made under version {made} of {formula}; this program {known}"
        )
    }
}

/// Formulas of which a run has other versions than this program, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Others(Vec<Other>);

impl Others {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Other> {
        self.0.iter()
    }

    /// The formula of this name.
    pub fn get(&self, formula: &str) -> Option<&Other> {
        self.0.iter().find(|other| other.formula == formula)
    }

    /// Whether the data check's scores are of another version.
    pub fn score(&self) -> bool {
        self.get(&check(data_score::DEFINITION.name)).is_some()
    }

    /// Whether one of them decides about updates in an arm with these checks.
    pub fn decide(&self, checks: &[admission::CheckConfig]) -> bool {
        let names = checks.iter().map(|config| config.check.as_str());
        [binding::NAME]
            .into_iter()
            .chain(names)
            .any(|name| self.get(&check(name)).is_some())
    }

    /// The formulas that are computed again without a model.
    #[must_use]
    pub fn without_texts(&self) -> Others {
        let names = text::names().into_iter().chain([text::ANSWERS.name]);
        let texts: Vec<String> = names.map(text).collect();
        let others = self.0.iter().filter(|one| !texts.contains(&one.formula));
        Others(others.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(text: &str) -> Experiment {
        Experiment::parse(text, "x.toml").unwrap()
    }

    #[test]
    fn every_formula_has_a_version_from_the_first_on() {
        let here = Versions::here();
        for formula in ["rule krum-original", "optimiser fedyogi", "check binding"] {
            assert!(here.0.contains_key(formula), "{formula}");
        }
        for formula in ["measure refusal", "measure exact", "text alpaca"] {
            assert!(here.0.contains_key(formula), "{formula}");
        }
        assert!(here.0.values().all(|version| *version >= FIRST));
        for rule in aggregation::ALL {
            assert_eq!(
                rule.version,
                FIRST + rule.earlier.len() as u32,
                "{}",
                rule.name
            );
        }
    }

    #[test]
    fn a_rule_that_keeps_its_first_version_is_computed_by_it() {
        let krum = experiment("arms = [\"krum\"]\n");
        let others = |here: &Versions| here.others(&krum, &[], &Versions::default()).unwrap();
        assert_eq!(Versions::here().of("rule krum"), 2);
        assert!(others(&Versions::here()).get("rule krum").is_none());
        // A later program's version says nothing about what this one keeps.
        let later = Versions::here().with("rule krum", 3);
        assert_eq!(others(&later).get("rule krum").unwrap().made, 1);
        // Neither is a version that only a later program has.
        let made = Versions::default().with("rule krum", 3);
        let others = Versions::here().others(&krum, &[], &made).unwrap();
        assert_eq!(others.get("rule krum").unwrap().here, 2);
    }

    #[test]
    fn answers_have_a_version_where_their_tokens_changed() {
        let of = |text: &str, made: &Versions| {
            let others = Versions::here()
                .others(&experiment(text), &[], made)
                .unwrap();
            others
                .get("text answers")
                .map(|other| (other.made, other.here))
        };
        let before = Versions::default();
        assert_eq!(of("arms = [\"clean\"]\n", &before), None);
        let other = "arms = [\"clean\"]\n[model]\nsource = \"smollm2\"\n";
        assert_eq!(of(other, &before), Some((1, 2)));
        assert_eq!(of(other, &Versions::here()), None);
        let others = Versions::here()
            .others(&experiment(other), &[], &before)
            .unwrap();
        assert!(others.without_texts().get("text answers").is_none());
    }

    #[test]
    fn a_run_records_the_formulas_that_it_uses() {
        let small = experiment("arms = [\"clean\", \"krum\", \"behaviour\", \"base\"]\n");
        let used = Versions::here()
            .with("rule krum", 3)
            .used_by(&small, &["rule-strict"]);
        let used = used.unwrap();
        let names: Vec<&str> = used.0.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "check binding",
                "check canaries",
                "check data-score",
                "measure exact",
                "measure refusal",
                "measure rule-strict",
                "optimiser plain",
                "rule fedavg",
                "rule krum",
                "text model"
            ]
        );
        assert_eq!(used.of("rule krum"), 3);
        // Nothing is known by a name that the list of all does not have.
        assert!(
            used.0
                .keys()
                .all(|name| Versions::here().0.contains_key(name))
        );
    }

    #[test]
    fn repairs_and_optimisers_of_arms_are_used_too() {
        let text = "arms = [\"fedavg\", \"defended\", \"shaken\", \"own\"]\n\
             [arm.shaken]\nrepairs = \"fedavg\"\ndefence = \"noise\"\nparameters = { norm = 1.0 }\n\
             [arm.own]\noptimiser = \"fedyogi\"\n";
        let used = Versions::here().used_by(&experiment(text), &[]).unwrap();
        for formula in [
            "defence posthoc",
            "defence noise",
            "optimiser fedyogi",
            "optimiser plain",
        ] {
            assert!(used.0.contains_key(formula), "{formula}");
            assert!(Versions::here().0.contains_key(formula), "{formula}");
        }
    }

    #[test]
    fn others_are_those_that_the_experiment_uses() {
        let arms = experiment("arms = [\"fedavg\", \"median\"]\n");
        let here = Versions::here()
            .with("rule median", 2)
            .with("rule krum", 2)
            .with("text model", 4);
        // A run from before versions were recorded has the first of everything.
        let others = here.others(&arms, &[], &Versions::default()).unwrap();
        let said: Vec<String> = others.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "made under version 1 of rule median; this program has version 2",
                "made under version 1 of text model; this program has version 4"
            ]
        );
        assert_eq!(others.without_texts().iter().count(), 1);
        let made = here.used_by(&arms, &[]).unwrap();
        assert!(here.others(&arms, &[], &made).unwrap().is_empty());
        let newer = Versions::here().others(&arms, &[], &made).unwrap();
        assert_eq!(newer.get("rule median").unwrap().made, 2);
        assert!(newer.get("rule krum").is_none());
    }

    #[test]
    fn measures_of_a_run_are_its_plan_s() {
        let small = experiment("arms = [\"clean\"]\n");
        let here = Versions::here().with("measure rule-strict", 2);
        // A run from before the measure does not use it.
        assert!(
            here.others(&small, &[], &Versions::default())
                .unwrap()
                .is_empty()
        );
        let others = here
            .others(&small, &["rule-strict"], &Versions::default())
            .unwrap();
        assert_eq!(others.iter().count(), 1);
        // Under another template it is Rule, and the text of that template.
        let used = here.used_by(&small, &["safety@alpaca"]).unwrap();
        let names: Vec<&str> = used.0.keys().map(String::as_str).collect();
        assert!(
            names.contains(&"measure refusal") && names.contains(&"text alpaca"),
            "{names:?}"
        );
        assert!(
            here.others(&small, &["safety@alpaca"], &used)
                .unwrap()
                .is_empty()
        );
        // One that only a later program knows is another formula, not an error.
        let made = Versions::default().with("measure later", 1);
        let others = here.others(&small, &["later"], &made).unwrap();
        assert_eq!(
            others.get("measure later").unwrap().to_string(),
            "made under version 1 of measure later; this program does not know it"
        );
    }
}

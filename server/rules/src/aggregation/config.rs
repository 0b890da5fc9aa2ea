//! `[aggregation]` of an experiment file: a section for each rule that takes parameters.
//!
//! ```toml
//! [aggregation]
//! expected_malicious = 1
//! [aggregation.dnc]
//! iterations = 2
//! ```
//!
//! Before rules had sections, their parameters stood in `[aggregation]` itself, under
//! [flat](super::definition::Parameter::flat) keys. Such files are still read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::definition::{Definition, Parameter, Parameters};
use super::{ALL, Built, rule};
use crate::error::{Error, Result, unknown_key};

/// Keys that are not a rule's: the expected attackers, and whether the device aggregates.
const OWN: [&str; 2] = ["expected_malicious", "device"];

/// Settings of the aggregation rules. Two are equal when every parameter has the same value in both,
/// written out or not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AggregationConfig {
    /// Attackers that the rules expect among the sampled clients; left out: the expected number,
    /// rounded (`sampled * malicious / clients`), at least 1 where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_malicious: Option<usize>,
    /// Whether the run's device aggregates, by the rules' tensor code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub device: bool,
    // Sections and flat keys as the file has them. A run's report shows them so, and an auditor makes
    // that report again: it must not change when a rule is added.
    #[serde(flatten)]
    given: BTreeMap<String, Value>,
}

impl PartialEq for AggregationConfig {
    fn eq(&self, other: &Self) -> bool {
        self.expected_malicious == other.expected_malicious
            && self.device == other.device
            && self.written_out().given == other.written_out().given
    }
}

/// Why a key of the section cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParameter {
    /// The key, below `aggregation`.
    pub key: String,
    /// The problem with it.
    pub problem: String,
}

impl BadParameter {
    fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        BadParameter {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

impl AggregationConfig {
    /// The settings with a parameter of a rule.
    #[must_use]
    pub fn with(mut self, rule: &str, key: &str, value: impl Into<Value>) -> Self {
        let section = self.given.entry(rule.to_owned()).or_default();
        match section {
            Value::Object(section) => {
                section.insert(key.to_owned(), value.into());
            }
            other => *other = Map::from_iter([(key.to_owned(), value.into())]).into(),
        }
        self
    }

    /// The rule of that name with its parameters.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known rules; [`Error::Experiment`] names a parameter that does not
    /// fit.
    pub fn rule(&self, name: &str) -> Result<Built> {
        let definition = rule(name)?;
        Ok(definition.build(&self.checked(definition)?))
    }

    /// As [`AggregationConfig::rule`], by the version of its formula that a run was made by.
    ///
    /// # Errors
    /// As [`AggregationConfig::rule`].
    pub fn rule_as(&self, name: &str, version: u32) -> Result<Built> {
        let definition = rule(name)?;
        Ok(definition.build_as(version, &self.checked(definition)?))
    }

    /// Warning about a rule in rounds of so many updates, see [`Definition::warning`].
    ///
    /// # Errors
    /// As [`AggregationConfig::rule`].
    pub fn warning(&self, name: &str, updates: usize, malicious: usize) -> Result<Option<String>> {
        let definition = rule(name)?;
        Ok(definition.warning(&self.checked(definition)?, updates, malicious))
    }

    /// Why the device cannot aggregate by the rule of that name; none where it can, or need not.
    ///
    /// # Errors
    /// As [`AggregationConfig::rule`].
    pub fn off_device(&self, name: &str) -> Result<Option<String>> {
        if !self.device || self.rule(name)?.has_device_form() {
            return Ok(None);
        }
        let mut names = Vec::new();
        for definition in ALL {
            if self.rule(definition.name)?.has_device_form() {
                names.push(definition.name);
            }
        }
        Ok(Some(format!(
            "rule `{name}` has no form for a device; {} have one",
            names.join(", ")
        )))
    }

    /// The parameters of the rule of that name.
    ///
    /// # Errors
    /// As [`AggregationConfig::rule`].
    pub fn numbers(&self, name: &str) -> Result<Parameters> {
        self.checked(rule(name)?)
    }

    fn checked(&self, definition: &Definition) -> Result<Parameters> {
        self.parameters(definition)
            .map_err(|bad| Error::Experiment {
                file: "experiment.toml".into(),
                line: None,
                key: format!("aggregation.{}", bad.key),
                problem: bad.problem.into(),
            })
    }

    /// Checks every section and every value.
    ///
    /// # Errors
    /// The first bad key.
    pub fn validate(&self) -> Result<(), BadParameter> {
        for (key, value) in &self.given {
            match ALL.iter().find(|definition| definition.name == key) {
                Some(definition) => section(definition, value)?,
                None if is_flat(key) => {}
                None => {
                    let taking = ALL.iter().filter(|rule| !rule.parameters.is_empty());
                    let names = taking.map(|definition| definition.name);
                    return Err(BadParameter::new(
                        key,
                        unknown_key(key, OWN.into_iter().chain(names)),
                    ));
                }
            }
        }
        ALL.iter()
            .try_for_each(|definition| self.parameters(definition).map(drop))
    }

    /// The settings with every parameter of every rule in its section.
    #[must_use]
    pub fn written_out(&self) -> Self {
        let value = |definition: &Definition, parameter: &Parameter| {
            let found = self.section_value(definition, parameter);
            let found = found.or_else(|| self.flat_value(parameter));
            found.map_or_else(
                || parameter.takes.fallback(),
                |value| parameter.takes.written(value),
            )
        };
        let section = |definition: &&Definition| {
            let values = definition.parameters.iter();
            let values = values.map(|one| (one.key.to_owned(), value(definition, one)));
            (
                definition.name.to_owned(),
                Value::Object(values.collect::<Map<_, _>>()),
            )
        };
        let taking = ALL.iter().filter(|rule| !rule.parameters.is_empty());
        AggregationConfig {
            expected_malicious: self.expected_malicious,
            device: self.device,
            given: taking.map(section).collect(),
        }
    }

    fn section_value(&self, definition: &Definition, parameter: &Parameter) -> Option<&Value> {
        self.given.get(definition.name)?.get(parameter.key)
    }

    fn flat_value(&self, parameter: &Parameter) -> Option<&Value> {
        self.given.get(parameter.flat?)
    }

    /// A rule's parameters, held against its definition.
    fn parameters(&self, definition: &Definition) -> Result<Parameters, BadParameter> {
        let mut parameters = Parameters::default();
        for parameter in definition.parameters {
            let key = format!("{}.{}", definition.name, parameter.key);
            let section = self.section_value(definition, parameter);
            let flat = self.flat_value(parameter);
            let old = parameter.flat.unwrap_or_default();
            let (key, value) = match (section, flat) {
                (Some(value), Some(other)) if value.as_f64() != other.as_f64() => {
                    let problem = format!(
                        "expected one value, found {value} here and {other} at `aggregation.{old}`"
                    );
                    return Err(BadParameter::new(key, problem));
                }
                (Some(value), _) => (key, value.clone()),
                (None, Some(value)) => (old.to_owned(), value.clone()),
                (None, None) => (key, parameter.takes.fallback()),
            };
            let fits = parameters.insert(parameter, &value);
            fits.map_err(|problem| BadParameter::new(key, problem))?;
        }
        Ok(parameters)
    }
}

/// Whether files from before rules had sections have this key.
fn is_flat(key: &str) -> bool {
    let mut all = ALL.iter().flat_map(|definition| definition.parameters);
    all.any(|parameter| parameter.flat == Some(key))
}

/// Checks that a section is a table with keys of its rule.
fn section(definition: &Definition, value: &Value) -> Result<(), BadParameter> {
    let name = definition.name;
    let Value::Object(section) = value else {
        let problem = format!("expected a table, found {value}");
        return Err(BadParameter::new(name, problem));
    };
    let unknown = section
        .keys()
        .find(|key| definition.parameter(key).is_none());
    match unknown {
        Some(key) if definition.parameters.is_empty() => Err(BadParameter::new(
            format!("{name}.{key}"),
            format!("rule `{name}` takes no parameters"),
        )),
        Some(key) => Err(BadParameter::new(
            format!("{name}.{key}"),
            unknown_key(key, definition.parameters.iter().map(|one| one.key)),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AggregationConfig {
        toml::from_str(text).unwrap()
    }

    fn problem(text: &str) -> (String, String) {
        let bad = read(text).validate().unwrap_err();
        (bad.key, bad.problem)
    }

    #[test]
    fn a_flat_file_and_its_sections_are_equal_and_stay_as_they_are() {
        let flat = read("trim = 2\ndnc_filter = 1.5\nresidual_lambda = 3\n");
        let sections =
            read("[trimmed-mean]\ntrim = 2\n[dnc]\nfilter = 1.5\n[residual]\nlambda = 3.0\n");
        flat.validate().unwrap();
        sections.validate().unwrap();
        assert_eq!(flat, sections);
        assert_ne!(flat, AggregationConfig::default());
        // A report shows what the file says, in the file's keys.
        let shown = |config: &AggregationConfig| serde_json::to_value(config).unwrap();
        assert_eq!(shown(&flat)["trim"], 2);
        assert!(shown(&flat).get("dnc").is_none());
        assert!(shown(&sections).get("trim").is_none());
        // A new run's file has every parameter in its section.
        let written = shown(&flat.written_out());
        assert_eq!(written["dnc"]["filter"], 1.5);
        assert_eq!(written["dnc"]["iterations"], 1);
        assert_eq!(written["residual"]["lambda"], 3.0);
        let taking = ALL.iter().filter(|rule| !rule.parameters.is_empty());
        assert_eq!(written.as_object().unwrap().len(), taking.count());
    }

    #[test]
    fn a_device_is_written_where_it_is_asked_for_alone() {
        let (on, off) = (read("device = true\n"), AggregationConfig::default());
        on.validate().unwrap();
        assert_ne!(on, off);
        let written = |config: &AggregationConfig| serde_json::to_value(config.written_out());
        assert_eq!(written(&on).unwrap()["device"], true);
        assert!(written(&off).unwrap().get("device").is_none());
        for rule in ["fedavg", "median", "trimmed-mean", "krum", "dnc"] {
            assert_eq!(on.off_device(rule).unwrap(), None);
        }
        assert_eq!(off.off_device("bulyan").unwrap(), None);
        assert_eq!(
            on.off_device("bulyan").unwrap().unwrap(),
            "rule `bulyan` has no form for a device; fedavg, median, trimmed-mean, krum, dnc have one"
        );
    }

    #[test]
    fn one_parameter_has_one_value() {
        let (key, problem) = problem("dnc_iterations = 1\n[dnc]\niterations = 2\n");
        assert_eq!(key, "dnc.iterations");
        assert!(
            problem.contains("found 2 here and 1 at `aggregation.dnc_iterations`"),
            "{problem}"
        );
        let twice = read("residual_lambda = 2\n[residual]\nlambda = 2.0\n");
        twice.validate().unwrap();
    }

    #[test]
    fn unknown_names_list_the_known() {
        for (text, key, parts) in [
            (
                "[dcn]\niterations = 1\n",
                "dcn",
                &["did you mean `dnc`", "expected_malicious", "trimmed-mean"][..],
            ),
            (
                "[dnc]\niteration = 1\n",
                "dnc.iteration",
                &["did you mean `iterations`", "filter", "coordinates"],
            ),
            ("[krum]\nx = 1\n", "krum.x", &["takes no parameters"]),
            ("dnc = 1\n", "dnc", &["expected a table, found 1"]),
            (
                "dnc_iteration = 1\n",
                "dnc_iteration",
                &["did you mean `dnc`"],
            ),
        ] {
            let (found, problem) = problem(text);
            assert_eq!(found, key);
            for part in parts {
                assert!(problem.contains(part), "{text} -> {problem} lacks {part}");
            }
        }
        read("[krum]\n").validate().unwrap();
    }

    #[test]
    fn values_keep_to_their_ranges_under_either_key() {
        for (text, key, part) in [
            ("dnc_iterations = 0\n", "dnc_iterations", "at least 1"),
            ("[dnc]\niterations = 0\n", "dnc.iterations", "at least 1"),
            (
                "[dnc]\niterations = 1000001\n",
                "dnc.iterations",
                "at most 1000000",
            ),
            (
                "[dnc]\niterations = 1.5\n",
                "dnc.iterations",
                "whole number",
            ),
            (
                "[dnc]\ncoordinates = -1\n",
                "dnc.coordinates",
                "whole number",
            ),
            (
                "[dnc]\nfilter = -0.5\n",
                "dnc.filter",
                "0 or a number above",
            ),
            ("[dnc]\nfilter = nan\n", "dnc.filter", "a number"),
            ("[residual]\nlambda = 0.0\n", "residual.lambda", "above 0"),
            (
                "residual_threshold = 1.5\n",
                "residual_threshold",
                "from 0 to 1",
            ),
            (
                "[trimmed-mean]\ntrim = \"one\"\n",
                "trimmed-mean.trim",
                "found \"one\"",
            ),
        ] {
            let (found, problem) = problem(text);
            assert_eq!(found, key, "{text}");
            assert!(problem.contains(part), "{text} -> {problem}");
        }
    }

    #[test]
    fn a_rule_gets_its_own_parameters() {
        let config = AggregationConfig::default().with("dnc", "iterations", 0);
        let said = config.rule("dnc").err().unwrap().to_string();
        assert!(said.contains("`aggregation.dnc.iterations`"), "{said}");
        config.rule("krum").unwrap();
        let said = config.rule("kurm").err().unwrap().to_string();
        assert!(said.contains("did you mean `krum`"), "{said}");
    }
}

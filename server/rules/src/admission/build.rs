//! Checks from the entries of a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::{Definition, Parameters};
use super::{ALL, Check, Effect};
use crate::error::{Error, nearest};

/// One check as a file says it. Its parameters are those of its [`Definition`]; others are refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckConfig {
    /// The check's name.
    pub check: String,
    /// `down-weight`, `quarantine`, `reject` or `replay` (the server executes an update that fails
    /// again; it passes on equal bits and is rejected on others); left out: `reject`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// Weight of an update that fails, for `down-weight`, in (0, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Parameters of the check, by key.
    #[serde(flatten)]
    pub parameters: BTreeMap<String, Value>,
}

impl CheckConfig {
    /// An entry for a check, without parameters.
    pub fn new(check: &str) -> Self {
        CheckConfig {
            check: check.to_owned(),
            ..CheckConfig::default()
        }
    }

    /// The entry with a parameter.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(key.to_owned(), value.into());
        self
    }
}

/// Why an entry of an admission file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCheck {
    /// The key of the entry, where one is to blame.
    pub key: Option<String>,
    /// The problem with it.
    pub problem: String,
}

/// One configured check.
pub struct Built {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    /// Whether an update that fails is executed again before the effect counts.
    pub(super) replay: bool,
    pub(super) weight: f64,
    pub(super) check: Box<dyn Check>,
}

/// Makes a check from its entry.
pub fn build(config: &CheckConfig) -> Result<Built, BadCheck> {
    let definition = definition(config)?;
    let (effect, weight) = effect(config)?;
    let parameters = parameters(config, definition)?;
    Ok(Built {
        name: definition.name,
        effect,
        replay: config.effect == "replay",
        weight,
        check: (definition.make)(&parameters),
    })
}

fn bad(key: Option<&str>, problem: impl Into<String>) -> BadCheck {
    BadCheck {
        key: key.map(str::to_owned),
        problem: problem.into(),
    }
}

fn definition(config: &CheckConfig) -> Result<&'static Definition, BadCheck> {
    let names = || ALL.iter().map(|definition| definition.name);
    if config.check.is_empty() {
        let names: Vec<&str> = names().collect();
        let names = names.join(", ");
        return Err(bad(
            None,
            format!("names no check; add `check = …`, one of {names}"),
        ));
    }
    ALL.iter()
        .copied()
        .find(|definition| definition.name == config.check)
        .ok_or_else(|| {
            let unknown = Error::unknown("check", &config.check, names());
            bad(Some("check"), unknown.to_string())
        })
}

/// The effect of an entry, with the weight that it leaves.
fn effect(config: &CheckConfig) -> Result<(Effect, f64), BadCheck> {
    let effect = match config.effect.as_str() {
        "" | "reject" | "replay" => Effect::Reject,
        "down-weight" => Effect::DownWeight,
        "quarantine" => Effect::Quarantine,
        other => {
            let known = ["down-weight", "quarantine", "reject", "replay"].map(str::to_owned);
            let near = nearest(other, &known).into_iter().next();
            let hint = near
                .map(|n| format!(" (did you mean `{n}`?)"))
                .unwrap_or_default();
            return Err(bad(
                Some("effect"),
                format!(
                    "unknown effect `{other}`{hint}; known: {}",
                    known.join(", ")
                ),
            ));
        }
    };
    match (effect, config.weight) {
        (Effect::DownWeight, Some(weight)) if weight > 0.0 && weight < 1.0 => Ok((effect, weight)),
        (Effect::DownWeight, Some(weight)) => Err(bad(
            Some("weight"),
            format!("expected a number between 0 and 1, found {weight}"),
        )),
        (Effect::DownWeight, None) => Err(bad(
            None,
            "effect `down-weight` needs `weight`, a number between 0 and 1",
        )),
        (_, Some(_)) => Err(bad(
            Some("weight"),
            "only effect `down-weight` takes a weight",
        )),
        (_, None) => Ok((effect, 0.0)),
    }
}

/// The parameters of an entry, held against the definition.
fn parameters(config: &CheckConfig, definition: &Definition) -> Result<Parameters, BadCheck> {
    let name = definition.name;
    let mut parameters = Parameters::default();
    for (key, value) in &config.parameters {
        let fail = |problem: String| bad(Some(key), problem);
        if let Some(number) = definition.numbers.iter().find(|number| number.key == key) {
            let value = value
                .as_f64()
                .ok_or_else(|| fail(format!("expected a number, found {value}")))?;
            if !value.is_finite() || value < 0.0 {
                return Err(fail(format!("expected 0 or a number above, found {value}")));
            }
            parameters.numbers.insert(number.key, value);
        } else if definition.names.is_some_and(|(names, _)| names == key) {
            let list = serde_json::from_value(value.clone())
                .map_err(|_| fail(format!("expected a list of names, found {value}")))?;
            parameters.names = Some(list);
        } else {
            let takes: Vec<&str> = definition.keys().collect();
            let takes = match takes.is_empty() {
                true => "none".to_owned(),
                false => takes.join(", "),
            };
            return Err(fail(format!(
                "check `{name}` does not take it; it takes: {takes}"
            )));
        }
    }
    for number in definition.numbers {
        if !parameters.numbers.contains_key(number.key) {
            let value = number.default.ok_or_else(|| {
                let key = number.key;
                bad(None, format!("check `{name}` needs `{key}`, a number"))
            })?;
            parameters.numbers.insert(number.key, value);
        }
    }
    Ok(parameters)
}

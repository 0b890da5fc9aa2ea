//! Checks from the entries of a file.

use serde::{Deserialize, Serialize};

use super::{
    Check, Effect, canaries, data_score, effort, lineage, literal_share, norm, raw_write, scale,
    signers,
};
use crate::error::{Error, nearest};

/// One check as a file gives it. Each check's own file says which thresholds it takes; any other
/// threshold is refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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
    /// `signers`: names or hex keys of module authors; left out: every author the node trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signers: Option<Vec<String>>,
    /// `literal-share`: largest share of literal and generated examples, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_share: Option<f64>,
    /// `scale`: smallest factor allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_factor: Option<f64>,
    /// `scale`: largest factor allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_factor: Option<f64>,
    /// `effort`: smallest training, as a multiple of the round's steps times learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_effort: Option<f64>,
    /// `effort`: largest training, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_effort: Option<f64>,
    /// `data-score`: smallest score of the data check, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// `canaries`: how far the refusal log-odds (nats) may fall below the global's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_refusal_drop: Option<f64>,
    /// `canaries`: how far the helpfulness loss (nats a token) may rise above the global's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_loss_rise: Option<f64>,
    /// `norm`: largest norm, as a multiple of the median norm of the round's updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<f64>,
}

/// Why an entry of an admission file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCheck {
    /// The key of the entry, where one is to blame.
    pub key: Option<&'static str>,
    /// The problem with it.
    pub problem: String,
}

/// Names of all checks, with the thresholds each takes.
pub const KNOWN: [(&str, &[&str]); 9] = [
    ("signers", &["signers"]),
    ("lineage", &[]),
    ("literal-share", &["max_share"]),
    ("raw-write", &[]),
    ("scale", &["min_factor", "max_factor"]),
    ("effort", &["min_effort", "max_effort"]),
    ("data-score", &["min_score"]),
    ("canaries", &["max_refusal_drop", "max_loss_rise"]),
    ("norm", &["max_ratio"]),
];

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
    let bad = |key: Option<&'static str>, problem: String| BadCheck { key, problem };
    let names = KNOWN.map(|(name, _)| name);
    if config.check.is_empty() {
        return Err(bad(
            None,
            format!(
                "names no check; add `check = …`, one of {}",
                names.join(", ")
            ),
        ));
    }
    let Some((name, takes)) = KNOWN.iter().find(|(name, _)| *name == config.check) else {
        return Err(bad(
            Some("check"),
            Error::unknown("check", &config.check, names).to_string(),
        ));
    };
    let effect = match config.effect.as_str() {
        "" => Effect::Reject,
        "down-weight" => Effect::DownWeight,
        "quarantine" => Effect::Quarantine,
        "reject" | "replay" => Effect::Reject,
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
    let weight = match (effect, config.weight) {
        (Effect::DownWeight, Some(weight)) if weight > 0.0 && weight < 1.0 => weight,
        (Effect::DownWeight, Some(weight)) => {
            return Err(bad(
                Some("weight"),
                format!("expected a number between 0 and 1, found {weight}"),
            ));
        }
        (Effect::DownWeight, None) => {
            return Err(bad(
                None,
                "effect `down-weight` needs `weight`, a number between 0 and 1".into(),
            ));
        }
        (_, Some(_)) => {
            return Err(bad(
                Some("weight"),
                "only effect `down-weight` takes a weight".into(),
            ));
        }
        (_, None) => 0.0,
    };
    let given: [(&'static str, Option<f64>); 9] = [
        ("max_share", config.max_share),
        ("min_factor", config.min_factor),
        ("max_factor", config.max_factor),
        ("min_effort", config.min_effort),
        ("max_effort", config.max_effort),
        ("min_score", config.min_score),
        ("max_refusal_drop", config.max_refusal_drop),
        ("max_loss_rise", config.max_loss_rise),
        ("max_ratio", config.max_ratio),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            if !takes.contains(&key) {
                let takes = if takes.is_empty() {
                    "none".into()
                } else {
                    takes.join(", ")
                };
                return Err(bad(
                    Some(key),
                    format!("check `{name}` does not take it; it takes: {takes}"),
                ));
            }
            if !value.is_finite() || value < 0.0 {
                return Err(bad(
                    Some(key),
                    format!("expected 0 or a number above, found {value}"),
                ));
            }
        }
    }
    if config.signers.is_some() && *name != "signers" {
        return Err(bad(
            Some("signers"),
            format!("check `{name}` does not take it"),
        ));
    }
    let need = |key: &'static str, value: Option<f64>| {
        value.ok_or_else(|| bad(None, format!("check `{name}` needs `{key}`, a number")))
    };
    let check: Box<dyn Check> = match *name {
        "signers" => Box::new(signers::Signers::new(config.signers.clone())),
        "lineage" => Box::new(lineage::TrainedFromGlobalOnShard),
        "literal-share" => Box::new(literal_share::LiteralShare {
            max_share: need("max_share", config.max_share)?,
        }),
        "raw-write" => Box::new(raw_write::NoRawWrite),
        "scale" => Box::new(scale::Scale {
            min: config.min_factor.unwrap_or(0.5),
            max: config.max_factor.unwrap_or(1.5),
        }),
        "effort" => Box::new(effort::Effort {
            min: config.min_effort.unwrap_or(0.5),
            max: config.max_effort.unwrap_or(1.5),
        }),
        "data-score" => Box::new(data_score::DataScore {
            min: need("min_score", config.min_score)?,
        }),
        "canaries" => Box::new(canaries::CanaryCheck {
            max_refusal_drop: need("max_refusal_drop", config.max_refusal_drop)?,
            max_loss_rise: need("max_loss_rise", config.max_loss_rise)?,
        }),
        "norm" => Box::new(norm::Norm {
            max_ratio: need("max_ratio", config.max_ratio)?,
        }),
        _ => {
            return Err(bad(
                Some("check"),
                Error::unknown("check", name, names).to_string(),
            ));
        }
    };
    Ok(Built {
        name,
        effect,
        replay: config.effect == "replay",
        weight,
        check,
    })
}

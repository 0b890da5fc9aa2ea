//! Rotary embeddings in `config.json`.

use serde_json::{Map, Value, json};

use super::{
    super::family::Row,
    fields::{bad, length, number, shown, unsupported},
};
use crate::{AdapterError, Architecture, RopeScaling, longrope_magnitude, yarn_magnitude};

/// Lengths from the rest of the file that scalings depend on.
struct Lengths {
    /// `max_position_embeddings`
    max: usize,
    /// `original_max_position_embeddings` next to it in `config.json`, which goes before the one among
    /// the rotary settings.
    original: Option<usize>,
    /// Frequencies of a head.
    half: usize,
    /// Whether the only scaling is LongRoPE, whatever name the file gives it (Phi 3).
    longrope_only: bool,
}

impl Lengths {
    /// Returns the length that the model was first trained with.
    fn original(&self, rope: &Map<String, Value>) -> Result<usize, AdapterError> {
        let own = length(rope, "original_max_position_embeddings")?;
        match self.original.or(own).unwrap_or(self.max) {
            0 => Err(bad("original_max_position_embeddings is 0")),
            original => Ok(original),
        }
    }
}

fn scaling(rope: &Map<String, Value>, lengths: &Lengths) -> Result<RopeScaling, AdapterError> {
    let named = ["rope_type", "type"].iter().find_map(|key| rope.get(*key));
    let kind = match named {
        None | Some(Value::Null) => "default",
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(bad(format!("rope_type is {other}"))),
    };
    let kind = match kind {
        "su" | "yarn" if lengths.longrope_only => "longrope",
        "default" | "longrope" => kind,
        other if lengths.longrope_only => {
            return Err(unsupported(format!(
                "rope_type {other:?} of a phi3 model, only default and longrope"
            )));
        }
        other => other,
    };
    let positive = |key: &str| match number(rope, key)? {
        Some(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
        Some(value) => Err(bad(format!("rope scaling: {key} is {value}"))),
        None => Ok(None),
    };
    let field = |key: &str| positive(key)?.ok_or_else(|| bad(format!("rope scaling needs {key}")));
    match kind {
        // "dynamic" changes nothing up to max_position_embeddings, and no text here is longer.
        "default" | "dynamic" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear {
            factor: field("factor")?,
        }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: field("factor")?,
            low_freq_factor: field("low_freq_factor")?,
            high_freq_factor: field("high_freq_factor")?,
            original_positions: lengths.original(rope)? as f64,
        }),
        "yarn" => {
            let original_positions = lengths.original(rope)? as f64;
            let factor = match positive("factor")? {
                Some(factor) => factor,
                None => lengths.max as f64 / original_positions,
            };
            let attention_factor = match positive("attention_factor")? {
                Some(factor) => factor,
                None => match (positive("mscale")?, positive("mscale_all_dim")?) {
                    (Some(one), Some(all)) => {
                        yarn_magnitude(factor, one) / yarn_magnitude(factor, all)
                    }
                    _ => yarn_magnitude(factor, 1.0),
                },
            };
            Ok(RopeScaling::Yarn {
                factor,
                beta_fast: positive("beta_fast")?.unwrap_or(32.0),
                beta_slow: positive("beta_slow")?.unwrap_or(1.0),
                truncate: rope.get("truncate").and_then(Value::as_bool) != Some(false),
                attention_factor,
                original_positions,
            })
        }
        "longrope" => {
            let original = lengths.original(rope)? as f64;
            let factor = match positive("factor")? {
                Some(factor) => factor,
                None => lengths.max as f64 / original,
            };
            let attention_factor = match positive("attention_factor")? {
                Some(factor) => factor,
                None => longrope_magnitude(factor, original),
            };
            if !attention_factor.is_finite() {
                return Err(bad("rope scaling: original_max_position_embeddings is 1"));
            }
            Ok(RopeScaling::LongRope {
                short: factors(rope, "short_factor", lengths.half)?,
                long: factors(rope, "long_factor", lengths.half)?,
                attention_factor,
                stretched_positions: lengths.max,
            })
        }
        other => Err(unsupported(format!(
            "rope_type {other:?}, only default, dynamic, linear, llama3, yarn and longrope"
        ))),
    }
}

/// Reads one divisor for every frequency.
fn factors(rope: &Map<String, Value>, key: &str, count: usize) -> Result<Vec<f64>, AdapterError> {
    let list = rope.get(key).and_then(Value::as_array);
    let list = list.ok_or_else(|| bad(format!("rope scaling needs {key}, a list")))?;
    if list.len() != count {
        return Err(bad(format!(
            "{key} has {} numbers, a head has {count} frequencies",
            list.len()
        )));
    }
    let number = |value: &Value| {
        let number = value
            .as_f64()
            .filter(|value| value.is_finite() && *value > 0.0);
        number.ok_or_else(|| bad(format!("{key} holds {value}")))
    };
    list.iter().map(number).collect()
}

/// Returns the `rope_scaling` object that [`read`] and transformers read.
pub(super) fn scaling_json(scaling: &RopeScaling) -> Option<Value> {
    Some(match scaling {
        RopeScaling::None => return None,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_positions,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_positions,
        }),
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            attention_factor,
            original_positions,
        } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "truncate": truncate,
            "attention_factor": attention_factor,
            "original_max_position_embeddings": *original_positions as u64,
        }),
        RopeScaling::LongRope {
            short,
            long,
            attention_factor,
            ..
        } => json!({
            "rope_type": "longrope",
            "short_factor": short,
            "long_factor": long,
            "attention_factor": attention_factor,
        }),
    })
}

/// Rotary embeddings of a file.
#[derive(Debug)]
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: RopeScaling,
    /// Base in sliding layers, where they have frequencies of their own.
    pub(super) local_theta: Option<f64>,
    /// Longest text.
    pub(super) positions: usize,
    /// Leading values of a head that are rotated; `None` is all of them.
    pub(super) rotary_dim: Option<usize>,
}

/// Settings of one kind of layer.
#[derive(PartialEq)]
struct Settings {
    theta: f64,
    scaling: RopeScaling,
}

/// Returns an object of the file that is not empty.
fn filled<'a>(
    map: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a Map<String, Value>>, AdapterError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object).filter(|object| !object.is_empty())),
        other => Err(bad(format!("{key} is {}", shown(other)))),
    }
}

const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// Reads the rotary settings as transformers 5 does. Older files have `rope_theta`, `rope_scaling` and
/// `rope_local_base_freq`; newer ones have `rope_parameters`, which some architectures split by kind of
/// layer. A file with both says the same in both, or is refused: transformers reads `rope_scaling`, older
/// programs the other.
pub(super) fn read(
    map: &Map<String, Value>,
    row: &Row,
    max_positions: usize,
    head_dim: usize,
) -> Result<Rope, AdapterError> {
    let new = filled(map, "rope_parameters")?;
    let old = filled(map, "rope_scaling")?;
    for (name, settings) in [("rope_parameters", new), ("rope_scaling", old)] {
        let mut keys = settings.into_iter().flat_map(Map::keys);
        let nests = row.nested_rope && name == "rope_parameters";
        if let Some(key) = keys.find(|key| nests != [FULL, SLIDING].contains(&key.as_str())) {
            let kind = row.model_type;
            return Err(unsupported(match nests {
                true => format!("{name}.{key}: a {kind} model keeps it in {FULL} and {SLIDING}"),
                false => format!("{name}.{key}: a {kind} model keeps no settings by kind of layer"),
            }));
        }
    }
    let of_kind = |kind: &str| match new {
        Some(new) if row.nested_rope => filled(new, kind),
        _ => Ok(None),
    };
    let (full, sliding) = match row.nested_rope {
        true => (of_kind(FULL)?, of_kind(SLIDING)?),
        false => (new, None),
    };
    let empty = Map::new();
    let used = old.or(full).unwrap_or(&empty);
    let rotary_dim = rotary_dim(map, used, row, head_dim)?;
    let original = length(map, "original_max_position_embeddings")?;
    let phi3 = row.architecture == Architecture::Phi3;
    let lengths = Lengths {
        max: max_positions,
        original: original.or(phi3.then_some(4096)),
        half: rotary_dim.unwrap_or(head_dim) / 2,
        longrope_only: phi3,
    };
    let settings = |of: &Map<String, Value>| {
        let theta = number(of, "rope_theta")?.or(number(map, "rope_theta")?);
        Ok::<_, AdapterError>(Settings {
            theta: theta.unwrap_or(row.rope_theta),
            scaling: scaling(of, &lengths)?,
        })
    };
    let Settings { theta, scaling } = settings(used)?;
    if let (Some(old), Some(full)) = (old, full)
        && settings(old)? != settings(full)?
    {
        return Err(unsupported(
            "rope_parameters and rope_scaling disagree: remove the one that the model was not trained with",
        ));
    }
    if theta <= 1.0 && matches!(scaling, RopeScaling::Yarn { .. }) {
        return Err(bad(format!(
            "rope_theta is {theta}; yarn needs one above 1"
        )));
    }
    let positions = match &scaling {
        RopeScaling::LongRope { .. } => lengths.original(used)?.min(max_positions),
        _ => max_positions,
    };
    Ok(Rope {
        theta,
        scaling,
        local_theta: local_theta(map, sliding.unwrap_or(&empty), row, &lengths)?,
        positions,
        rotary_dim,
    })
}

/// Reads how much of a head is rotated.
fn rotary_dim(
    map: &Map<String, Value>,
    used: &Map<String, Value>,
    row: &Row,
    head_dim: usize,
) -> Result<Option<usize>, AdapterError> {
    let key = "partial_rotary_factor";
    let Some(share) = number(used, key)?.or(number(map, key)?) else {
        return Ok(None);
    };
    if share == 1.0 {
        return Ok(None);
    }
    if !row.partial_rotary {
        return Err(unsupported(format!(
            "{key} {share} of a {} model",
            row.model_type
        )));
    }
    if !(share > 0.0 && share < 1.0) {
        return Err(bad(format!("{key} is {share}")));
    }
    Ok(Some((head_dim as f64 * share) as usize))
}

/// Reads the base of the frequencies in sliding layers, which are not scaled.
fn local_theta(
    map: &Map<String, Value>,
    sliding: &Map<String, Value>,
    row: &Row,
    lengths: &Lengths,
) -> Result<Option<f64>, AdapterError> {
    if !row.nested_rope {
        return Ok(None);
    }
    if scaling(sliding, lengths)? != RopeScaling::None {
        return Err(unsupported(
            "rope_type of rope_parameters.sliding_attention",
        ));
    }
    let own = number(sliding, "rope_theta")?;
    Ok(Some(match row.architecture {
        Architecture::Gemma3 => own
            .or(number(map, "rope_local_base_freq")?)
            .unwrap_or(10_000.0),
        _ => own.unwrap_or(row.rope_theta),
    }))
}

#[cfg(test)]
mod tests;

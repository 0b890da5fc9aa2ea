//! Rotary embeddings in `config.json`.

use serde_json::{Map, Value, json};

use super::fields::{bad, number, object, size, unsupported};
use crate::{AdapterError, Architecture, RopeScaling, longrope_magnitude, yarn_magnitude};

/// Lengths from the rest of the file that scalings depend on.
struct Lengths {
    /// `max_position_embeddings`
    max: usize,
    /// `original_max_position_embeddings` next to it in `config.json`.
    original: Option<usize>,
    /// Frequencies of a head.
    half: usize,
}

impl Lengths {
    /// Returns the length that the model was first trained with.
    fn original(&self, rope: &Map<String, Value>) -> Result<usize, AdapterError> {
        let own = size(rope, "original_max_position_embeddings")?;
        match self.original.or(own).unwrap_or(self.max) {
            0 => Err(bad("original_max_position_embeddings is 0")),
            original => Ok(original.min(self.max)),
        }
    }
}

fn scaling(rope: &Map<String, Value>, lengths: &Lengths) -> Result<RopeScaling, AdapterError> {
    let kind = rope
        .get("rope_type")
        .or_else(|| rope.get("type"))
        .and_then(Value::as_str);
    let positive = |key: &str| match number(rope, key)? {
        Some(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
        Some(value) => Err(bad(format!("rope scaling: {key} is {value}"))),
        None => Ok(None),
    };
    let field = |key: &str| positive(key)?.ok_or_else(|| bad(format!("rope scaling needs {key}")));
    match kind {
        // "dynamic" changes nothing up to max_position_embeddings, and no text here is longer.
        None | Some("default" | "dynamic") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: field("factor")?,
        }),
        Some("llama3") => Ok(RopeScaling::Llama3 {
            factor: field("factor")?,
            low_freq_factor: field("low_freq_factor")?,
            high_freq_factor: field("high_freq_factor")?,
            original_positions: field("original_max_position_embeddings")?,
        }),
        Some("yarn") => {
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
        Some("longrope") => {
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
        Some(other) => Err(unsupported(format!(
            "rope type {other:?}, only default, dynamic, linear, llama3, yarn and longrope"
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

/// Rotary embeddings: base, scaling, and the base of sliding layers when it differs.
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: RopeScaling,
    pub(super) local_theta: Option<f64>,
    /// Longest text.
    pub(super) positions: usize,
}

/// Reads the rotary settings. Older files have rope_theta, rope_scaling and rope_local_base_freq;
/// newer ones have rope_parameters, which Gemma 3 splits by kind of layer.
pub(super) fn read(
    map: &Map<String, Value>,
    architecture: Architecture,
    max_positions: usize,
    half: usize,
) -> Result<Rope, AdapterError> {
    let lengths = Lengths {
        max: max_positions,
        // Phi-3's files have it at the top level; there it takes precedence.
        original: size(map, "original_max_position_embeddings")?,
        half,
    };
    let empty = Map::new();
    let new = object(map, "rope_parameters").unwrap_or(&empty);
    let full = object(new, "full_attention").unwrap_or(new);
    let old = object(map, "rope_scaling").unwrap_or(&empty);
    for (name, parameters) in [("rope_parameters", full), ("config.json", map)] {
        if number(parameters, "partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            return Err(unsupported(format!("partial_rotary_factor in {name}")));
        }
    }
    let gemma3 = architecture == Architecture::Gemma3;
    let usual = if gemma3 { 1_000_000.0 } else { 10_000.0 };
    let theta = match number(full, "rope_theta")? {
        Some(theta) => theta,
        None => number(map, "rope_theta")?.unwrap_or(usual),
    };
    let local_theta = match object(new, "sliding_attention") {
        Some(sliding) => {
            if scaling(sliding, &lengths)? != RopeScaling::None {
                return Err(unsupported(
                    "rope_type of rope_parameters.sliding_attention",
                ));
            }
            number(sliding, "rope_theta")?
        }
        None => number(map, "rope_local_base_freq")?,
    };
    let scaling = match scaling(full, &lengths)? {
        RopeScaling::None => scaling(old, &lengths)?,
        other => other,
    };
    if theta <= 1.0 && matches!(scaling, RopeScaling::Yarn { .. }) {
        return Err(bad(format!(
            "rope_theta is {theta}; yarn needs one above 1"
        )));
    }
    let positions = match &scaling {
        RopeScaling::LongRope { .. } => lengths.original(if full.contains_key("short_factor") {
            full
        } else {
            old
        })?,
        _ => max_positions,
    };
    Ok(Rope {
        theta,
        scaling,
        local_theta: gemma3.then(|| local_theta.unwrap_or(10_000.0)),
        positions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_scaling(scaling: Value) -> Result<Rope, AdapterError> {
        let map = json!({ "rope_scaling": scaling });
        read(map.as_object().unwrap(), Architecture::Llama, 128, 2)
    }

    #[test]
    fn scalings_survive_their_json() {
        for (value, positions) in [
            (
                json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32 }),
                128,
            ),
            (
                json!({ "type": "yarn", "original_max_position_embeddings": 16, "mscale": 0.7,
                        "mscale_all_dim": 0.5, "beta_fast": 16.0, "beta_slow": 2, "truncate": false }),
                128,
            ),
            (
                json!({ "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2, 4],
                        "original_max_position_embeddings": 64 }),
                64,
            ),
        ] {
            let rope = read_scaling(value).unwrap();
            assert_eq!(rope.positions, positions);
            let json = scaling_json(&rope.scaling).unwrap();
            let map = json!({ "rope_scaling": json, "original_max_position_embeddings":
                              if positions < 128 { json!(positions) } else { Value::Null } });
            let again = read(map.as_object().unwrap(), Architecture::Llama, 128, 2).unwrap();
            assert_eq!(again.scaling, rope.scaling);
            assert_eq!(again.positions, rope.positions);
        }
    }

    #[test]
    fn broken_scalings_are_errors() {
        for value in [
            json!({ "rope_type": "yarn", "factor": 0.0 }),
            json!({ "rope_type": "yarn", "factor": "4" }),
            json!({ "rope_type": "yarn", "factor": 4.0, "beta_fast": -1 }),
            json!({ "rope_type": "yarn", "original_max_position_embeddings": 0 }),
            json!({ "rope_type": "longrope" }),
            json!({ "rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0, 2.0] }),
            json!({ "rope_type": "longrope", "short_factor": [1.0, 0.0], "long_factor": [1.0, 2.0] }),
            json!({ "rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [1.0, 2.0],
                    "original_max_position_embeddings": 1 }),
            json!({ "rope_type": "spiral" }),
        ] {
            assert!(read_scaling(value.clone()).is_err(), "{value}");
        }
    }
}

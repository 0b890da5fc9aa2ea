//! `config.json` of a Llama checkpoint, read and written.

use serde_json::{Map, Value, json};

use crate::{ModelConfig, TuningError, ops::RopeScaling};

fn bad(text: impl Into<String>) -> TuningError {
    TuningError::Format(format!("config.json: {}", text.into()))
}

fn unsupported(text: impl Into<String>) -> TuningError {
    TuningError::Unsupported(format!("config.json: {}", text.into()))
}

fn size(map: &Map<String, Value>, key: &str) -> Result<Option<usize>, TuningError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|value| usize::try_from(value).ok())
            .map(Some)
            .ok_or_else(|| bad(format!("{key} is {value}"))),
    }
}

fn need(map: &Map<String, Value>, key: &str) -> Result<usize, TuningError> {
    size(map, key)?.ok_or_else(|| bad(format!("{key} is missing")))
}

fn number(map: &Map<String, Value>, key: &str) -> Result<Option<f64>, TuningError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| bad(format!("{key} is {value}"))),
    }
}

fn scaling(rope: &Map<String, Value>) -> Result<RopeScaling, TuningError> {
    let kind = rope
        .get("rope_type")
        .or_else(|| rope.get("type"))
        .and_then(Value::as_str);
    let field = |key: &str| {
        number(rope, key)?
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or_else(|| bad(format!("rope scaling needs {key}")))
    };
    match kind {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: field("factor")?,
        }),
        Some("llama3") => Ok(RopeScaling::Llama3 {
            factor: field("factor")?,
            low_freq_factor: field("low_freq_factor")?,
            high_freq_factor: field("high_freq_factor")?,
            original_positions: field("original_max_position_embeddings")?,
        }),
        Some(other) => Err(unsupported(format!("rope type {other:?}"))),
    }
}

impl ModelConfig {
    /// Reads the `config.json` of a Llama checkpoint.
    ///
    /// # Errors
    /// [`TuningError::Format`] for broken JSON or numbers, [`TuningError::Unsupported`] for
    /// another architecture, biases, another activation or an unknown kind of rope scaling.
    pub fn from_json(text: &[u8]) -> Result<Self, TuningError> {
        let value: Value = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
        let map = value.as_object().ok_or_else(|| bad("not an object"))?;
        match map.get("model_type").and_then(Value::as_str) {
            Some("llama") => {}
            other => return Err(unsupported(format!("model type {other:?}, only \"llama\""))),
        }
        for key in ["attention_bias", "mlp_bias"] {
            if map.get(key).and_then(Value::as_bool) == Some(true) {
                return Err(unsupported(key));
            }
        }
        match map.get("hidden_act").and_then(Value::as_str) {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(unsupported(format!("activation {other:?}"))),
        }
        let d_model = need(map, "hidden_size")?;
        let heads = need(map, "num_attention_heads")?;
        let head_dim = match size(map, "head_dim")? {
            Some(head_dim) => head_dim,
            None => d_model.checked_div(heads).ok_or_else(|| bad("no heads"))?,
        };
        // Older files have rope_theta and rope_scaling, newer ones rope_parameters.
        let empty = Map::new();
        let object = |key: &str| map.get(key).and_then(Value::as_object).unwrap_or(&empty);
        let (parameters, old) = (object("rope_parameters"), object("rope_scaling"));
        let theta = match number(parameters, "rope_theta")? {
            Some(theta) => theta,
            None => number(map, "rope_theta")?.unwrap_or(10_000.0),
        };
        let rope_scaling = match scaling(parameters)? {
            RopeScaling::None => scaling(old)?,
            other => other,
        };
        let config = Self {
            d_model,
            layers: need(map, "num_hidden_layers")?,
            heads,
            kv_heads: size(map, "num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            ffn: need(map, "intermediate_size")?,
            vocab: need(map, "vocab_size")?,
            rope_theta: theta,
            rope_scaling,
            norm_eps: number(map, "rms_norm_eps")?.unwrap_or(1e-6),
            max_positions: size(map, "max_position_embeddings")?.unwrap_or(2048),
            tied_embeddings: map
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        };
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that [`from_json`](Self::from_json) and transformers read; `eos` is the
    /// id that ends a text.
    pub fn to_json(&self, eos: Option<u32>) -> Vec<u8> {
        let mut value = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.d_model,
            "intermediate_size": self.ffn,
            "max_position_embeddings": self.max_positions,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_embeddings,
            "torch_dtype": "bfloat16",
            "vocab_size": self.vocab,
        });
        let scaling = match self.rope_scaling {
            RopeScaling::None => None,
            RopeScaling::Linear { factor } => {
                Some(json!({ "rope_type": "linear", "factor": factor }))
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_positions,
            } => Some(json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_positions,
            })),
        };
        if let (Some(map), Some(scaling)) = (value.as_object_mut(), scaling) {
            map.insert("rope_scaling".to_owned(), scaling);
        }
        format!("{value:#}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_returns_the_configuration() {
        let mut config = ModelConfig::tiny();
        assert_eq!(
            ModelConfig::from_json(&config.to_json(Some(2))).unwrap(),
            config
        );
        config.rope_scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_positions: 8192.0,
        };
        assert_eq!(
            ModelConfig::from_json(&config.to_json(None)).unwrap(),
            config
        );
    }

    #[test]
    fn hostile_configurations_are_errors() {
        let good = String::from_utf8(ModelConfig::tiny().to_json(None)).unwrap();
        for (from, to) in [
            (
                "\"hidden_size\": 16",
                "\"hidden_size\": 18446744073709551615",
            ),
            ("\"hidden_size\": 16", "\"hidden_size\": -1"),
            ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0"),
            ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"),
            ("\"head_dim\": 4", "\"head_dim\": 5"),
            (
                "\"max_position_embeddings\": 64",
                "\"max_position_embeddings\": 1048577",
            ),
            ("\"model_type\": \"llama\"", "\"model_type\": \"other\""),
            ("\"attention_bias\": false", "\"attention_bias\": true"),
            ("\"rms_norm_eps\": 0.00001", "\"rms_norm_eps\": 0"),
            ("\"rms_norm_eps\": 1e-5", "\"rms_norm_eps\": 0"),
        ] {
            let text = good.replace(from, to);
            if text != good {
                assert!(ModelConfig::from_json(text.as_bytes()).is_err(), "{to}");
            }
        }
        assert!(ModelConfig::from_json(b"[]").is_err());
        assert!(ModelConfig::from_json(b"{").is_err());
    }
}

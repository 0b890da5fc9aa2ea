//! `config.json` of a checkpoint, read and written.

mod fields;
mod rope;

use serde_json::{Map, Value, json};

use fedseal_kernels::gated::Activation;

use crate::{AdapterError, Architecture, Family, MAX_LAYERS, ModelConfig, RopeScaling};
use fields::{bad, need, number, size, unsupported};

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool) == Some(true)
}

/// Reads which layers have a sliding window: from `layer_types` where a file has it, else by the
/// rule in each architecture's own code.
fn sliding(
    map: &Map<String, Value>,
    architecture: Architecture,
    layers: usize,
) -> Result<(Option<usize>, Vec<bool>), AdapterError> {
    let gemma = architecture.is_gemma();
    let qwen = matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3);
    // Gemma's and Mistral's default; a null turns the window off.
    let window = match map.get("sliding_window") {
        None if gemma || architecture == Architecture::Mistral => Some(4096),
        _ => size(map, "sliding_window")?,
    };
    if layers > MAX_LAYERS {
        return Err(bad(format!("num_hidden_layers is {layers}")));
    }
    let window = window.filter(|_| match architecture {
        Architecture::Llama => false,
        _ => !qwen || flag(map, "use_sliding_window"),
    });
    if window.is_none() {
        return Ok((None, Vec::new()));
    }
    let types = map.get("layer_types").and_then(Value::as_array);
    let slides: Vec<bool> = match types {
        Some(types) if architecture != Architecture::Mistral => types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(unsupported(format!("layer_types: {kind}"))),
            })
            .collect::<Result<_, _>>()?,
        _ if architecture == Architecture::Mistral => vec![true; layers],
        _ if qwen => {
            let first = size(map, "max_window_layers")?.unwrap_or(28);
            (0..layers).map(|layer| layer >= first).collect()
        }
        _ => {
            let usual = if architecture == Architecture::Gemma2 {
                2
            } else {
                6
            };
            let pattern = size(map, "sliding_window_pattern")?.unwrap_or(usual).max(1);
            (0..layers)
                .map(|layer| !(layer + 1).is_multiple_of(pattern))
                .collect()
        }
    };
    Ok((window, slides))
}

/// Refuses settings of a known architecture that this engine does not implement.
fn refuse(map: &Map<String, Value>, architecture: Architecture) -> Result<(), AdapterError> {
    for key in ["hidden_act", "hidden_activation"] {
        let name = map.get(key).and_then(Value::as_str);
        let good = match name {
            None => true,
            Some("silu" | "swish") => !architecture.is_gemma(),
            Some("gelu_pytorch_tanh") => architecture.is_gemma(),
            // Gemma's first files say "gelu" but mean the tanh approximation.
            Some("gelu") => architecture.is_gemma() && key == "hidden_act",
            Some(_) => false,
        };
        if !good {
            return Err(unsupported(format!("{key} {name:?}")));
        }
    }
    if flag(map, "use_bidirectional_attention") {
        return Err(unsupported("use_bidirectional_attention"));
    }
    // transformers reads this key for Gemma 3 and ignores it; a file that sets it is not Gemma 3.
    if architecture == Architecture::Gemma3 && number(map, "attn_logit_softcapping")?.is_some() {
        return Err(unsupported("attn_logit_softcapping in a gemma3_text model"));
    }
    if map.contains_key("quantization_config") {
        return Err(unsupported(
            "quantization_config; use the unquantised folder or a GGUF file",
        ));
    }
    Ok(())
}

impl ModelConfig {
    /// Reads the `config.json` of a checkpoint of one of the known architectures
    /// ([`Architecture`]).
    ///
    /// # Errors
    /// [`AdapterError::Broken`] for broken JSON, [`AdapterError::Format`] for wrong numbers, [`AdapterError::Unsupported`] with the
    /// key for another architecture, another activation or an unknown kind of rope scaling.
    pub fn from_json(text: &[u8]) -> Result<Self, AdapterError> {
        let value: Value =
            serde_json::from_slice(text).map_err(AdapterError::broken("config.json"))?;
        let map = value.as_object().ok_or_else(|| bad("not an object"))?;
        let kind = map.get("model_type").and_then(Value::as_str);
        let architecture = Architecture::ALL
            .into_iter()
            .find(|architecture| kind == Some(architecture.model_type()))
            .ok_or_else(|| {
                let known = Architecture::ALL.map(Architecture::model_type).join(", ");
                unsupported(format!("model_type {kind:?}, only {known}"))
            })?;
        refuse(map, architecture)?;
        let gemma = architecture.is_gemma();
        let d_model = need(map, "hidden_size")?;
        let heads = need(map, "num_attention_heads")?;
        let head_dim = match (size(map, "head_dim")?, architecture) {
            (Some(head_dim), _) => head_dim,
            (None, Architecture::Qwen3) => 128,
            _ if gemma => 256,
            _ => d_model.checked_div(heads).ok_or_else(|| bad("no heads"))?,
        };
        let layers = need(map, "num_hidden_layers")?;
        let max_positions = size(map, "max_position_embeddings")?.unwrap_or(2048);
        let rope = rope::read(map, architecture, max_positions, head_dim / 2)?;
        let (window, sliding) = sliding(map, architecture, layers)?;
        let bias = flag(map, "attention_bias");
        let query_scale = match number(map, "query_pre_attn_scalar")? {
            None if gemma => Some(256.0),
            scale => scale.filter(|_| gemma),
        };
        // Gemma 2 caps by default; a null in its file turns the cap off.
        let cap = |key: &str, usual: f64| match map.get(key) {
            None if architecture == Architecture::Gemma2 => Ok(Some(usual)),
            _ => Ok::<_, AdapterError>(number(map, key)?.filter(|_| gemma)),
        };
        let config = Self {
            d_model,
            layers,
            heads,
            kv_heads: size(map, "num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            ffn: need(map, "intermediate_size")?,
            vocab: need(map, "vocab_size")?,
            rope_theta: rope.theta,
            rope_scaling: rope.scaling,
            norm_eps: number(map, "rms_norm_eps")?.unwrap_or(1e-6),
            max_positions: rope.positions,
            tied_embeddings: map
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(gemma),
            family: Family {
                architecture,
                qkv_bias: bias || architecture == Architecture::Qwen2,
                output_bias: bias && architecture != Architecture::Qwen2,
                mlp_bias: architecture == Architecture::Llama && flag(map, "mlp_bias"),
                window,
                sliding,
                local_rope_theta: rope.local_theta,
                query_scale,
                attention_cap: cap("attn_logit_softcapping", 50.0)?,
                logit_cap: cap("final_logit_softcapping", 30.0)?,
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that [`from_json`](Self::from_json) and transformers read; `eos` is the
    /// id that ends a text.
    pub fn to_json(&self, eos: Option<u32>) -> Vec<u8> {
        let family = &self.family;
        let architecture = family.architecture;
        let activation = match self.activation() {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let mut value = json!({
            "architectures": [architecture.class()],
            "attention_bias": family.output_bias,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": activation,
            "hidden_size": self.d_model,
            "intermediate_size": self.ffn,
            "max_position_embeddings": self.max_positions,
            "mlp_bias": family.mlp_bias,
            "model_type": architecture.model_type(),
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_embeddings,
            "torch_dtype": "bfloat16",
            "vocab_size": self.vocab,
        });
        let Some(map) = value.as_object_mut() else {
            return Vec::new();
        };
        if let Some(scaling) = rope::scaling_json(&self.rope_scaling) {
            map.insert("rope_scaling".to_owned(), scaling);
        }
        if let RopeScaling::LongRope {
            stretched_positions,
            ..
        } = self.rope_scaling
        {
            map.insert(
                "max_position_embeddings".to_owned(),
                json!(stretched_positions),
            );
            map.insert(
                "original_max_position_embeddings".to_owned(),
                json!(self.max_positions),
            );
        }
        if architecture != Architecture::Llama {
            map.insert("sliding_window".to_owned(), json!(family.window));
            map.insert(
                "use_sliding_window".to_owned(),
                json!(family.window.is_some()),
            );
        }
        if !family.sliding.is_empty() {
            let kind = |slides: &bool| match slides {
                true => "sliding_attention",
                false => "full_attention",
            };
            let kinds: Vec<&str> = family.sliding.iter().map(kind).collect();
            map.insert("layer_types".to_owned(), json!(kinds));
        }
        if architecture.is_gemma() {
            map.insert(
                "query_pre_attn_scalar".to_owned(),
                json!(family.query_scale),
            );
            map.insert(
                "final_logit_softcapping".to_owned(),
                json!(family.logit_cap),
            );
            map.insert(
                "attn_logit_softcapping".to_owned(),
                json!(family.attention_cap),
            );
            map.insert("hidden_activation".to_owned(), json!(activation));
        }
        if let Some(theta) = family.local_rope_theta {
            map.insert("rope_local_base_freq".to_owned(), json!(theta));
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
        for architecture in Architecture::ALL {
            let gemma = architecture.is_gemma();
            let windowed = architecture != Architecture::Llama;
            config.family = Family {
                architecture,
                qkv_bias: architecture == Architecture::Qwen2,
                window: windowed.then_some(5),
                sliding: match architecture {
                    Architecture::Llama => Vec::new(),
                    Architecture::Mistral => vec![true, true],
                    _ => vec![true, false],
                },
                local_rope_theta: (architecture == Architecture::Gemma3).then_some(100.0),
                query_scale: gemma.then_some(9.0),
                attention_cap: (architecture == Architecture::Gemma2).then_some(20.0),
                logit_cap: gemma.then_some(30.0),
                ..Family::default()
            };
            let text = config.to_json(None);
            assert_eq!(ModelConfig::from_json(&text).unwrap(), config);
        }
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
            ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""),
            (
                "\"model_type\": \"llama\"",
                "\"partial_rotary_factor\": 0.5, \"model_type\": \"llama\"",
            ),
            (
                "\"model_type\": \"llama\"",
                "\"rope_scaling\": {\"rope_type\": \"spiral\"}, \"model_type\": \"llama\"",
            ),
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

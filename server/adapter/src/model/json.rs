//! `config.json` of a checkpoint, read and written.

mod fields;
mod rope;

use serde_json::{Map, Value, json};

use fedseal_kernels::gated::Activation;

use super::family::{Biases, Row, Windows};
use crate::{AdapterError, Architecture, Family, MAX_LAYERS, ModelConfig, RopeScaling};
use fields::{bad, need, number, shown, size, unsupported};

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool) == Some(true)
}

/// Reads which layers are without rotary embedding.
fn unrotated(
    map: &Map<String, Value>,
    row: &Row,
    layers: usize,
) -> Result<Vec<bool>, AdapterError> {
    if !row.unrotated {
        return Ok(Vec::new());
    }
    let list: Vec<bool> = match map.get("no_rope_layers") {
        // 1 is a layer with rotary embedding; entries beyond the layers are not used.
        Some(Value::Array(list)) => list
            .iter()
            .take(layers)
            .map(|value| match value.as_u64() {
                Some(0) => Ok(true),
                Some(1) => Ok(false),
                _ => Err(bad(format!("no_rope_layers holds {value}"))),
            })
            .collect::<Result<_, _>>()?,
        None | Some(Value::Null) => {
            let every = size(map, "no_rope_layer_interval")?.unwrap_or(4).max(1);
            (1..=layers).map(|n| n.is_multiple_of(every)).collect()
        }
        Some(other) => return Err(bad(format!("no_rope_layers is {other}"))),
    };
    Ok(if list.contains(&true) {
        list
    } else {
        Vec::new()
    })
}

/// Reads the size of the sliding window and which layers have one: from `layer_types` where a file has
/// it, else by the architecture's own rule.
fn sliding(
    map: &Map<String, Value>,
    row: &Row,
    layers: usize,
    unrotated: &[bool],
) -> Result<(Option<usize>, Vec<bool>), AdapterError> {
    let usual = match row.windows {
        Windows::Never => return Ok((None, Vec::new())),
        Windows::Every(usual) => usual,
        Windows::AllBut(_) => Some(4096),
        Windows::FromLayer | Windows::Unrotated => None,
    };
    // A null turns the window off.
    let window = match map.get("sliding_window") {
        None => usual,
        Some(_) => size(map, "sliding_window")?,
    };
    let used = flag(map, "use_sliding_window");
    let window = window.filter(|_| used || row.windows != Windows::FromLayer);
    if window.is_none() {
        return Ok((None, Vec::new()));
    }
    let slides: Vec<bool> = match map.get("layer_types") {
        Some(Value::Array(types)) => types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(unsupported(format!("layer_types: {kind}"))),
            })
            .collect::<Result<_, _>>()?,
        None | Some(Value::Null) => match row.windows {
            Windows::FromLayer => {
                let first = size(map, "max_window_layers")?.unwrap_or(28);
                (0..layers).map(|layer| layer >= first).collect()
            }
            Windows::Unrotated => {
                let no_rotation = |layer| unrotated.get(layer) == Some(&true);
                (0..layers)
                    .map(|layer| used && no_rotation(layer))
                    .collect()
            }
            Windows::AllBut(usual) => {
                let pattern = size(map, "sliding_window_pattern")?.unwrap_or(usual).max(1);
                (1..=layers).map(|n| !n.is_multiple_of(pattern)).collect()
            }
            Windows::Every(_) | Windows::Never => vec![true; layers],
        },
        Some(other) => return Err(bad(format!("layer_types is {other}"))),
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
            let name = shown(map.get(key));
            return Err(unsupported(format!("{key} {name}")));
        }
    }
    if flag(map, "use_bidirectional_attention") {
        return Err(unsupported("use_bidirectional_attention"));
    }
    // transformers reads this key for Gemma 3 and ignores it; a file that sets it is not Gemma 3.
    if architecture == Architecture::Gemma3 && number(map, "attn_logit_softcapping")?.is_some() {
        return Err(unsupported("attn_logit_softcapping in a gemma3_text model"));
    }
    let other_by_layer = map
        .get("per_layer_config")
        .is_some_and(|value| !value.is_null());
    if other_by_layer {
        return Err(unsupported("per_layer_config: layers of several shapes"));
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
                let kind = shown(map.get("model_type"));
                unsupported(format!("model_type {kind}; known are {known}"))
            })?;
        refuse(map, architecture)?;
        let row = architecture.row();
        let gemma = architecture.is_gemma();
        let d_model = need(map, "hidden_size")?;
        let heads = need(map, "num_attention_heads")?;
        let head_dim = match size(map, "head_dim")?.or(row.head_dim) {
            Some(head_dim) => head_dim,
            None => d_model.checked_div(heads).ok_or_else(|| bad("no heads"))?,
        };
        let layers = need(map, "num_hidden_layers")?;
        if layers > MAX_LAYERS {
            return Err(bad(format!("num_hidden_layers is {layers}")));
        }
        let max_positions = size(map, "max_position_embeddings")?.unwrap_or(row.max_positions);
        let rope = rope::read(map, row, max_positions, head_dim)?;
        let unrotated = unrotated(map, row, layers)?;
        let (window, sliding) = sliding(map, row, layers, &unrotated)?;
        let asked = flag(map, "attention_bias") && row.biases == Biases::Asked;
        // Gemma 1 has neither this scale nor caps.
        let later_gemma = gemma && architecture != Architecture::Gemma;
        let query_scale = match number(map, "query_pre_attn_scalar")? {
            None if later_gemma => Some(256.0),
            scale => scale.filter(|_| later_gemma),
        };
        // Gemma 2 caps by default; a null in its file turns the cap off.
        let cap = |key: &str, usual: f64| match map.get(key) {
            None if architecture == Architecture::Gemma2 => Ok(Some(usual)),
            _ => Ok::<_, AdapterError>(number(map, key)?.filter(|_| later_gemma)),
        };
        let multiplier = |key: &str| match row.multipliers {
            true => Ok::<_, AdapterError>(number(map, key)?.filter(|factor| *factor != 1.0)),
            false => Ok(None),
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
            norm_eps: number(map, "rms_norm_eps")?.unwrap_or(row.norm_eps),
            max_positions: rope.positions,
            tied_embeddings: map
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(row.tied),
            family: Family {
                architecture,
                qkv_bias: asked || row.biases == Biases::Inputs,
                output_bias: asked,
                mlp_bias: row.mlp_bias && flag(map, "mlp_bias"),
                window,
                sliding,
                local_rope_theta: rope.local_theta,
                query_scale,
                attention_cap: cap("attn_logit_softcapping", 50.0)?,
                logit_cap: cap("final_logit_softcapping", 30.0)?,
                // Granite's scores are not divided by a root, also where the key is absent.
                attention_multiplier: match row.multipliers {
                    true => Some(number(map, "attention_multiplier")?.unwrap_or(1.0)),
                    false => None,
                },
                embedding_multiplier: multiplier("embedding_multiplier")?,
                residual_multiplier: multiplier("residual_multiplier")?,
                logit_divisor: multiplier("logits_scaling")?,
                unrotated,
                rotary_dim: rope.rotary_dim.filter(|rotary| *rotary != head_dim),
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
        let scaling = rope::scaling_json(&self.rope_scaling);
        if let (Architecture::Olmo3, Some(local)) = (architecture, family.local_rope_theta) {
            let mut full = scaling.unwrap_or_else(|| json!({ "rope_type": "default" }));
            full["rope_theta"] = json!(self.rope_theta);
            let sliding = json!({ "rope_type": "default", "rope_theta": local });
            let both = json!({ "full_attention": full, "sliding_attention": sliding });
            map.insert("rope_parameters".to_owned(), both);
        } else if let Some(scaling) = scaling {
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
        let row = architecture.row();
        if row.windows != Windows::Never {
            map.insert("sliding_window".to_owned(), json!(family.window));
            map.insert(
                "use_sliding_window".to_owned(),
                json!(family.window.is_some()),
            );
        }
        if row.multipliers {
            for (key, value) in [
                ("attention_multiplier", family.attention_multiplier),
                ("embedding_multiplier", family.embedding_multiplier),
                ("residual_multiplier", family.residual_multiplier),
                ("logits_scaling", family.logit_divisor),
            ] {
                map.insert(key.to_owned(), json!(value.unwrap_or(1.0)));
            }
        }
        if row.unrotated {
            let rotates: Vec<u8> = (0..self.layers)
                .map(|n| u8::from(self.rotates(n)))
                .collect();
            map.insert("no_rope_layers".to_owned(), json!(rotates));
        }
        if row.partial_rotary {
            let share = self.rotary_dim() as f64 / self.head_dim as f64;
            map.insert("partial_rotary_factor".to_owned(), json!(share));
        }
        if !family.sliding.is_empty() {
            let kind = |slides: &bool| match slides {
                true => "sliding_attention",
                false => "full_attention",
            };
            let kinds: Vec<&str> = family.sliding.iter().map(kind).collect();
            map.insert("layer_types".to_owned(), json!(kinds));
        }
        if architecture == Architecture::Gemma3 || architecture == Architecture::Gemma2 {
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
        if let Some(theta) = family
            .local_rope_theta
            .filter(|_| architecture == Architecture::Gemma3)
        {
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
            use Architecture::{Gemma2, Gemma3, Granite, Olmo3, Phi3, SmolLm3};
            let is = |list: &[Architecture]| list.contains(&architecture);
            let row = architecture.row();
            let windowed = row.windows != Windows::Never;
            config.rope_scaling = match architecture {
                Phi3 => RopeScaling::None,
                _ => RopeScaling::Linear { factor: 2.0 },
            };
            config.family = Family {
                architecture,
                qkv_bias: row.biases == Biases::Inputs,
                window: windowed.then_some(5),
                sliding: match row.windows {
                    Windows::Never => Vec::new(),
                    Windows::Every(None) => vec![true, true],
                    _ => vec![true, false],
                },
                local_rope_theta: is(&[Gemma3, Olmo3]).then_some(100.0),
                query_scale: is(&[Gemma2, Gemma3]).then_some(9.0),
                attention_cap: is(&[Gemma2]).then_some(20.0),
                logit_cap: is(&[Gemma2, Gemma3]).then_some(30.0),
                attention_multiplier: is(&[Granite]).then_some(0.25),
                embedding_multiplier: is(&[Granite]).then_some(12.0),
                residual_multiplier: is(&[Granite]).then_some(0.5),
                logit_divisor: is(&[Granite]).then_some(8.0),
                unrotated: match architecture {
                    SmolLm3 => vec![false, true],
                    _ => Vec::new(),
                },
                rotary_dim: is(&[Phi3]).then_some(2),
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

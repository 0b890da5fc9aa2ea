//! PEFT's adapter folders, read and written.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    Adapter, AdapterConfig, AdapterTensor, Method, ModelConfig, TuningError,
    adapter::Target,
    weights::{SafetensorsSource, WeightSource},
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Keys of `adapter_config.json` that change what an adapter computes and that this engine does
/// not do; they may be absent, null, false, zero or empty.
const REFUSED: [&str; 14] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "exclude_modules",
    "fan_in_fan_out",
    "layer_replication",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
];

fn bad(text: impl Into<String>) -> TuningError {
    TuningError::Adapter(format!("{CONFIG}: {}", text.into()))
}

fn unsupported(text: impl Into<String>) -> TuningError {
    TuningError::Unsupported(format!("{CONFIG}: {}", text.into()))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// A list of names. PEFT writes sets, whose order means nothing.
fn names(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, TuningError> {
    let list = map.get(key).and_then(Value::as_array);
    let list = list.ok_or_else(|| unsupported(format!("{key} is no list of names")))?;
    let name = |value: &Value| value.as_str().map(str::to_owned);
    let mut names: Vec<String> = list
        .iter()
        .map(|value| name(value).ok_or_else(|| bad(format!("{key} holds {value}"))))
        .collect::<Result<_, _>>()?;
    let place = |name: &String| Target::ALL.iter().position(|target| target.name() == name);
    names.sort_by_key(|name| (place(name), name.clone()));
    Ok(names)
}

fn config(text: &[u8]) -> Result<AdapterConfig, TuningError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
    let map = value.as_object().ok_or_else(|| bad("not an object"))?;
    for key in REFUSED {
        if map.get(key).is_some_and(|value| !is_nothing(value)) {
            return Err(unsupported(key));
        }
    }
    if !matches!(map.get("bias").and_then(Value::as_str), None | Some("none")) {
        return Err(unsupported("bias"));
    }
    let targets = names(map, "target_modules")?;
    let number = |key: &str| {
        let value = map.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| bad(format!("{key} is missing or no number")))
    };
    let config = match map.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => AdapterConfig {
            rank: number("r")? as usize,
            alpha: number("lora_alpha")? as f32,
            dropout: number("lora_dropout").unwrap_or(0.0) as f32,
            targets,
            rslora: map.get("use_rslora").and_then(Value::as_bool) == Some(true),
            method: Method::Lora,
        },
        Some("IA3") => {
            let inputs = names(map, "feedforward_modules")?;
            for target in &targets {
                let on_input = Target::parse(target).is_some_and(Target::scales_input);
                if on_input != inputs.contains(target) {
                    return Err(unsupported(format!(
                        "feedforward_modules with regard to {target}; only down_proj is one here"
                    )));
                }
            }
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            AdapterConfig::ia3(&targets)
        }
        Some("LN_TUNING") => {
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            AdapterConfig::layer_norm(&targets)
        }
        other => return Err(unsupported(format!("peft_type {other:?}"))),
    };
    config.validate()?;
    Ok(config)
}

impl Adapter {
    /// Writes a folder that PEFT loads: `adapter_model.safetensors` (the canonical bytes) and
    /// `adapter_config.json`.
    ///
    /// # Errors
    /// [`TuningError::Io`] when the folder or a file cannot be written.
    pub fn save_peft(&self, dir: &Path) -> Result<(), TuningError> {
        std::fs::create_dir_all(dir).map_err(TuningError::io(dir))?;
        let path = dir.join(WEIGHTS);
        std::fs::write(&path, self.to_bytes()).map_err(TuningError::io(&path))?;
        let config = &self.config;
        let mut value = json!({
            "peft_type": config.method,
            "task_type": "CAUSAL_LM",
            "target_modules": config.targets,
            "inference_mode": true,
        });
        let more = match config.method {
            Method::Lora => json!({
                "r": config.rank,
                "lora_alpha": config.alpha,
                "lora_dropout": config.dropout,
                "use_rslora": config.rslora,
                "bias": "none",
                "fan_in_fan_out": false,
            }),
            Method::Ia3 => {
                let inputs = Target::ALL
                    .into_iter()
                    .filter(|target| target.scales_input());
                let inputs = inputs.map(Target::name);
                let inputs: Vec<&str> = inputs
                    .filter(|name| config.targets.iter().any(|target| target == name))
                    .collect();
                json!({ "feedforward_modules": inputs, "fan_in_fan_out": false })
            }
            Method::LayerNorm => json!({}),
        };
        if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
            map.extend(more);
        }
        let path = dir.join(CONFIG);
        std::fs::write(&path, format!("{value:#}\n")).map_err(TuningError::io(&path))
    }

    /// Reads a folder that PEFT wrote for this model: LoRA, rsLoRA, (IA)^3 or LN tuning, in f32,
    /// f16 or bf16.
    ///
    /// # Errors
    /// [`TuningError::Io`] for what cannot be read, [`TuningError::Unsupported`] with the key for
    /// what this engine does not do, [`TuningError::Adapter`] for a tensor too many,
    /// [`TuningError::MissingTensor`] and [`TuningError::Shape`] for one that does not fit.
    pub fn load_peft(dir: &Path, model: &ModelConfig) -> Result<Self, TuningError> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(TuningError::io(path))
        };
        let config = config(&read(CONFIG)?)?;
        let source = SafetensorsSource::from_files(vec![read(WEIGHTS)?])?;
        let slots = config.checked_slots(model)?;
        if let Some(name) = source.names().find(|name| !slots.contains_key(*name)) {
            return Err(TuningError::Adapter(format!(
                "{WEIGHTS}: tensor {name} has no place in this model"
            )));
        }
        let mut tensors = BTreeMap::new();
        for (name, slot) in slots {
            let flat = name.ends_with("ln_tuning_layers.weight");
            let data = source.tensor(&name, if flat { &slot.shape[1..] } else { &slot.shape })?;
            let shape = slot.shape;
            tensors.insert(name, AdapterTensor { shape, data });
        }
        Ok(Self { tensors, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> [AdapterConfig; 4] {
        let lora = AdapterConfig {
            rank: 3,
            ..AdapterConfig::default()
        };
        let rslora = AdapterConfig {
            rslora: true,
            ..lora.clone()
        };
        let norms = ["input_layernorm", "norm", "post_attention_layernorm"];
        [
            lora,
            rslora,
            AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]),
            AdapterConfig::layer_norm(&norms),
        ]
    }

    #[test]
    fn folders_return_every_kind_of_adapter() {
        let model = ModelConfig::tiny();
        for config in configs() {
            let slots = config.checked_slots(&model).unwrap();
            let mut seed = 0.0;
            let tensors = slots.into_iter().map(|(name, slot)| {
                seed += 1.0;
                let count = slot.shape[0] * slot.shape[1];
                let data = (0..count).map(|i| (seed + i as f32).sin()).collect();
                (
                    name,
                    AdapterTensor {
                        shape: slot.shape,
                        data,
                    },
                )
            });
            let adapter = Adapter {
                tensors: tensors.collect(),
                config,
            };
            adapter.check_fits(&model).unwrap();
            let bytes = adapter.to_bytes();
            assert_eq!(Adapter::from_bytes(&bytes).unwrap(), adapter);
            let dir = tempfile::tempdir().unwrap();
            adapter.save_peft(dir.path()).unwrap();
            assert_eq!(Adapter::load_peft(dir.path(), &model).unwrap(), adapter);
        }
    }

    #[test]
    fn what_is_not_done_names_its_key() {
        let text = |extra: &str| {
            format!(
                r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["v_proj", "q_proj"]{extra}}}"#
            )
        };
        let good = config(text("").as_bytes()).unwrap();
        assert_eq!(good.targets, ["q_proj", "v_proj"]);
        for (extra, key) in [
            (r#", "use_dora": true"#, "use_dora"),
            (r#", "rank_pattern": {"q_proj": 4}"#, "rank_pattern"),
            (r#", "bias": "all""#, "bias"),
            (r#", "target_modules": "all-linear""#, "target_modules"),
            (r#", "peft_type": "PREFIX_TUNING""#, "peft_type"),
        ] {
            let error = config(text(extra).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(CONFIG), "{error}");
        }
    }
}

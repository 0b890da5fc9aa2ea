//! PEFT's adapter folders, read and written.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    Adapter, AdapterConfig, AdapterError, AdapterTensor, Method, ModelConfig, Target,
    limits::{MAX_ADAPTER_CONFIG, MAX_ADAPTER_FILE},
    safetensors::SafetensorsSource,
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Keys of `adapter_config.json` that are accepted: keys that are read, and keys that do not change
/// an adapter's results once `init_lora_weights` is one of [`HARMLESS_STARTS`] (names of the base
/// and of the task, and settings of methods that are not used). Every other key must be off.
const TAKEN: [&str; 23] = [
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "eva_config",
    "feedforward_modules",
    "inference_mode",
    "init_ia3_weights",
    "init_lora_weights",
    "layers_pattern",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Keys that are off when they are empty. For other keys an empty object selects a method with its
/// default settings.
const OFF_WHEN_EMPTY: [&str; 9] = [
    "alpha_pattern",
    "exclude_modules",
    "layer_replication",
    "layers_to_transform",
    "loftq_config",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
];

/// Values of `init_lora_weights`, besides true and false, that leave the base's weights unchanged
/// (PEFT's `LoraLayer.update_layer`). All other values move a part of the base into the initial
/// pair, so the pair alone is not an adapter of the base.
const HARMLESS_STARTS: [&str; 2] = ["gaussian", "orthogonal"];

fn bad(text: impl Into<String>) -> AdapterError {
    AdapterError::Adapter(format!("{CONFIG}: {}", text.into()))
}

fn unsupported(text: impl Into<String>) -> AdapterError {
    AdapterError::Unsupported(format!("{CONFIG}: {}", text.into()))
}

/// Whether the value of a key that this engine does not implement means "off".
fn is_off(key: &str, value: &Value) -> bool {
    let may_be_empty = OFF_WHEN_EMPTY.contains(&key);
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => may_be_empty && items.is_empty(),
        Value::Object(items) => may_be_empty && items.is_empty(),
        _ => false,
    }
}

/// Refuses keys that change the base or an adapter's results.
fn check_keys(map: &Map<String, Value>) -> Result<(), AdapterError> {
    for (key, value) in map {
        if !TAKEN.contains(&key.as_str()) && !is_off(key, value) {
            return Err(unsupported(format!("{key} {value}")));
        }
    }
    match map.get("bias") {
        None | Some(Value::Null) => {}
        Some(Value::String(bias)) if bias == "none" => {}
        Some(bias) => return Err(unsupported(format!("bias {bias}, only \"none\""))),
    }
    match map.get("init_lora_weights") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(Value::String(start))
            if HARMLESS_STARTS.contains(&start.to_ascii_lowercase().as_str()) => {}
        Some(start) => {
            return Err(unsupported(format!(
                "init_lora_weights {start}: taken are true, false, \"{}\"; other methods change the \
                 base's weights, so save it as plain LoRA (PEFT's save_pretrained with \
                 path_initial_model_for_weight_conversion)",
                HARMLESS_STARTS.join("\", \"")
            )));
        }
    }
    Ok(())
}

/// Reads a list of names. PEFT writes sets, whose order has no meaning.
fn names(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, AdapterError> {
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

/// Reads a number; `usual` where the key is absent or null.
fn number(map: &Map<String, Value>, key: &str, usual: Option<f64>) -> Result<f64, AdapterError> {
    let value = match map.get(key) {
        None | Some(Value::Null) => usual,
        Some(value) => value.as_f64(),
    };
    value.ok_or_else(|| bad(format!("{key} is missing or no number")))
}

fn config(text: &[u8]) -> Result<AdapterConfig, AdapterError> {
    let value: Value =
        serde_json::from_slice(text).map_err(AdapterError::broken_adapter(CONFIG))?;
    let map = value.as_object().ok_or_else(|| bad("not an object"))?;
    check_keys(map)?;
    let targets = names(map, "target_modules")?;
    let config = match map.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {
            let rank = map.get("r").and_then(Value::as_u64);
            let rank = rank.and_then(|rank| usize::try_from(rank).ok());
            let rslora = match map.get("use_rslora") {
                None | Some(Value::Null) => false,
                Some(value) => value
                    .as_bool()
                    .ok_or_else(|| bad(format!("use_rslora is {value}, neither true nor false")))?,
            };
            AdapterConfig {
                rank: rank.ok_or_else(|| bad("r is missing or no whole number"))?,
                alpha: number(map, "lora_alpha", None)? as f32,
                dropout: number(map, "lora_dropout", Some(0.0))? as f32,
                targets,
                rslora,
                method: Method::Lora,
            }
        }
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
    config
        .validate()
        .map_err(AdapterError::broken_adapter(CONFIG))?;
    Ok(config)
}

impl Adapter {
    /// Writes a folder that PEFT loads: `adapter_model.safetensors` (the canonical bytes) and
    /// `adapter_config.json`.
    ///
    /// # Errors
    /// [`AdapterError::Io`] when the folder or a file cannot be written.
    pub fn save_peft(&self, dir: &Path) -> Result<(), AdapterError> {
        std::fs::create_dir_all(dir).map_err(AdapterError::io(dir))?;
        let path = dir.join(WEIGHTS);
        std::fs::write(&path, self.to_bytes()).map_err(AdapterError::io(&path))?;
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
        std::fs::write(&path, format!("{value:#}\n")).map_err(AdapterError::io(&path))
    }

    /// Reads a folder that PEFT wrote for this model: LoRA, rsLoRA, (IA)^3 or LN tuning, in f32,
    /// f16 or bf16.
    ///
    /// # Errors
    /// [`AdapterError::Io`] for a file that cannot be read, [`AdapterError::Unsupported`] with the
    /// key for a setting that this engine does not implement, [`AdapterError::BrokenAdapter`] for
    /// broken JSON or values out of range, [`AdapterError::Adapter`] for a surplus tensor, [`AdapterError::MissingTensor`] and [`AdapterError::Shape`] for a tensor
    /// that does not fit.
    pub fn load_peft(dir: &Path, model: &ModelConfig) -> Result<Self, AdapterError> {
        let read = |name: &str, most: u64| {
            let path = dir.join(name);
            let length = std::fs::metadata(&path)
                .map_err(AdapterError::io(&path))?
                .len();
            if length > most {
                return Err(AdapterError::Adapter(format!(
                    "{name}: {length} bytes long, at most {most}"
                )));
            }
            std::fs::read(&path).map_err(AdapterError::io(path))
        };
        let config = config(&read(CONFIG, MAX_ADAPTER_CONFIG)?)?;
        let slots = config.checked_slots(model)?;
        let source = SafetensorsSource::from_files(vec![read(WEIGHTS, MAX_ADAPTER_FILE)?])?;
        if let Some(name) = source.names().find(|name| !slots.contains_key(*name)) {
            return Err(AdapterError::Adapter(format!(
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
            // Off means null or false; an empty value is off only where PEFT treats it so.
            (r#", "layers_to_transform": 0"#, "layers_to_transform"),
            (
                r#", "alora_invocation_tokens": []"#,
                "alora_invocation_tokens",
            ),
            (r#", "use_bdlora": {}"#, "use_bdlora"),
            (r#", "kasa_config": {}"#, "kasa_config"),
            (
                r#", "monteclora_config": {"num_samples": 8}"#,
                "monteclora_config",
            ),
            (r#", "arrow_config": {"top_k": 3}"#, "arrow_config"),
            (r#", "velora_config": {}"#, "velora_config"),
            (r#", "loftq_config": {"loftq_bits": 4}"#, "loftq_config"),
            (r#", "megatron_config": {"tp": 2}"#, "megatron_config"),
            (
                r#", "layer_replication": [[0, 4], [2, 5]]"#,
                "layer_replication",
            ),
            (
                r#", "target_parameters": ["experts.down_proj"]"#,
                "target_parameters",
            ),
            (
                r#", "trainable_token_indices": [1]"#,
                "trainable_token_indices",
            ),
            (r#", "modules_to_save": ["lm_head"]"#, "modules_to_save"),
            (r#", "lora_bias": true"#, "lora_bias"),
            (r#", "ensure_weight_tying": true"#, "ensure_weight_tying"),
            // A key of the future.
            (r#", "use_next_lora": true"#, "use_next_lora"),
            // Values whose type does not match their key.
            (r#", "bias": true"#, "bias"),
            (r#", "use_rslora": "yes""#, "use_rslora"),
            (r#", "lora_dropout": "0.5""#, "lora_dropout"),
            (r#", "lora_alpha": 1e300"#, "alpha"),
            (r#", "r": 2.5"#, "r is"),
            (r#", "r": 4097"#, "rank"),
        ] {
            let error = config(text(extra).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(CONFIG), "{error}");
        }
    }

    #[test]
    fn pairs_that_begin_with_a_part_of_the_base_are_refused() {
        let read = |start: &str| {
            let text = format!(
                r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
                    "init_lora_weights": {start}}}"#
            );
            config(text.as_bytes())
        };
        for start in ["true", "false", "null", "\"gaussian\"", "\"orthogonal\""] {
            assert_eq!(read(start).unwrap().rank, 2, "{start}");
        }
        for start in [
            "pissa",
            "pissa_niter_4",
            "olora",
            "OLoRA",
            "corda",
            "loftq",
            "eva",
            "lora_ga",
            "mica",
            "next",
        ] {
            let error = read(&format!("{start:?}")).unwrap_err().to_string();
            let names = [CONFIG, "init_lora_weights", start];
            assert!(names.iter().all(|name| error.contains(name)), "{error}");
        }
        assert!(read("1").is_err());
    }

    /// `adapter_config.json` as PEFT 0.21.2 writes it for `LoraConfig(r=4, task_type="CAUSAL_LM",
    /// target_modules=["v_proj", "q_proj"])`, every key with its default.
    #[test]
    fn the_defaults_of_peft_are_taken() {
        let text = br#"{
            "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null,
            "auto_mapping": null, "base_model_name_or_path": "base", "bias": "none",
            "corda_config": null, "ensure_weight_tying": false, "eva_config": null,
            "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "kasa_config": null, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {},
            "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null,
            "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
            "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2",
            "qalora_group_size": 16, "r": 4, "rank_pattern": {}, "revision": null,
            "target_modules": ["v_proj", "q_proj"], "target_parameters": null,
            "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_bdlora": null,
            "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null
        }"#;
        let read = config(text).unwrap();
        assert_eq!((read.rank, read.alpha, read.rslora), (4, 8.0, false));
        assert_eq!(read.targets, ["q_proj", "v_proj"]);
    }
}

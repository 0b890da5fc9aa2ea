//! PEFT's adapter folders, read and written.

use std::{collections::BTreeMap, io::Write as _, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    Adapter, AdapterConfig, AdapterError, AdapterTensor, Method, ModelConfig, Module, Part,
    config::{LAST_NORM, Slot, module_path},
    limits::{MAX_ADAPTER_CONFIG, MAX_ADAPTER_FILE, MAX_RANK},
    model::Norm,
    safetensors::{SafetensorsSource, check_shape},
};

mod selection;

use selection::Selection;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Keys of `adapter_config.json` that are accepted: keys that are read, and keys that do not change
/// an adapter's results once `init_lora_weights` is one of [`HARMLESS_STARTS`] (names of the base
/// and of the task, and settings of methods that are not used). Every other key must be off.
const TAKEN: [&str; 27] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "feedforward_modules",
    "inference_mode",
    "init_ia3_weights",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Keys that are off when they are empty. For other keys an empty object selects a method with its
/// default settings.
const OFF_WHEN_EMPTY: [&str; 5] = [
    "layer_replication",
    "loftq_config",
    "modules_to_save",
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

/// Reads a number; `usual` where the key is absent or null.
fn number(map: &Map<String, Value>, key: &str, usual: Option<f64>) -> Result<f64, AdapterError> {
    let value = match map.get(key) {
        None | Some(Value::Null) => usual,
        Some(value) => value.as_f64(),
    };
    value.ok_or_else(|| bad(format!("{key} is missing or no number")))
}

/// An adapter_config.json: its values for a module that no pattern names, and which modules it picks.
struct File {
    method: Method,
    rank: usize,
    alpha: f32,
    dropout: f32,
    rslora: bool,
    selection: Selection,
}

impl File {
    fn read(text: &[u8]) -> Result<Self, AdapterError> {
        let value: Value =
            serde_json::from_slice(text).map_err(AdapterError::broken_adapter(CONFIG))?;
        let map = value.as_object().ok_or_else(|| bad("not an object"))?;
        let method = match map.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => Method::Lora,
            Some("IA3") => Method::Ia3,
            Some("LN_TUNING") => Method::LayerNorm,
            other => {
                let known = "only LORA, IA3 and LN_TUNING";
                return Err(unsupported(match other {
                    Some(other) => format!("peft_type {other:?}, {known}"),
                    None => format!("peft_type is missing, {known}"),
                }));
            }
        };
        check_keys(map)?;
        let selection = Selection::read(map)?;
        if !method.is_lora() {
            let (rank, alpha, dropout, rslora) = (1, 1.0, 0.0, false);
            return Ok(File {
                method,
                rank,
                alpha,
                dropout,
                rslora,
                selection,
            });
        }
        let rank = map.get("r").and_then(Value::as_u64);
        let rank = rank.and_then(|rank| usize::try_from(rank).ok());
        let rslora = match map.get("use_rslora") {
            None | Some(Value::Null) => false,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| bad(format!("use_rslora is {value}, neither true nor false")))?,
        };
        let file = File {
            method,
            rank: rank.ok_or_else(|| bad("r is missing or no whole number"))?,
            alpha: number(map, "lora_alpha", None)? as f32,
            dropout: number(map, "lora_dropout", Some(0.0))? as f32,
            rslora,
            selection,
        };
        file.with(file.rank, vec!["q_proj".to_owned()])
            .validate()
            .map_err(AdapterError::broken_adapter(CONFIG))?;
        Ok(file)
    }

    /// This file's configuration with a rank and targets.
    fn with(&self, rank: usize, targets: Vec<String>) -> AdapterConfig {
        AdapterConfig {
            rank,
            alpha: self.alpha,
            dropout: self.dropout,
            targets,
            rslora: self.rslora,
            method: self.method,
        }
    }

    /// Rank and alpha of the module of this path.
    fn values(&self, path: &str) -> Result<(usize, f32), AdapterError> {
        let rank = match self.selection.rank(path)? {
            None => self.rank,
            Some(rank) if rank.fract() == 0.0 && (1.0..=MAX_RANK as f64).contains(&rank) => {
                rank as usize
            }
            Some(rank) => {
                return Err(bad(format!(
                    "rank_pattern gives {path} rank {rank}, not 1 to {MAX_RANK}"
                )));
            }
        };
        let alpha = self
            .selection
            .alpha(path)?
            .map_or(self.alpha, |alpha| alpha as f32);
        match alpha.is_finite() {
            true => Ok((rank, alpha)),
            false => Err(bad(format!(
                "alpha_pattern gives {path} an alpha that is not finite"
            ))),
        }
    }

    /// The configuration of the whole adapter on a model. Its targets are the modules that are picked in
    /// some layer, its rank is the largest one; its scale is that of the file's own values, or of a
    /// module that is picked where no module has those.
    fn config(&self, model: &ModelConfig) -> Result<AdapterConfig, AdapterError> {
        let names: Vec<String> = match self.method {
            Method::LayerNorm => {
                let norms = Norm::ALL.into_iter();
                let paths = norms.filter_map(|norm| norm.path(model.family.architecture));
                let names = paths.filter_map(|path| path.rsplit('.').next().map(str::to_owned));
                names.chain([LAST_NORM.to_owned()]).collect()
            }
            Method::Lora | Method::Ia3 => {
                let modules = model.modules().iter();
                modules.map(|module| module.name.to_owned()).collect()
            }
        };
        let (mut targets, mut ranks) = (Vec::new(), Vec::new());
        for name in self.with(1, names).checked_slots(model)?.keys() {
            let path = module_path(name);
            if !self.selection.picks(path) {
                continue;
            }
            ranks.push(self.values(path)?);
            let last = path.rsplit('.').next().unwrap_or(path);
            if !targets.iter().any(|target| target == last) {
                targets.push(last.to_owned());
            }
        }
        let Some(most) = ranks.iter().map(|(rank, _)| *rank).max() else {
            return Err(unsupported("target_modules picks no module of this model"));
        };
        // Matrices in the order of a block, norms by name: adapters are compared with their targets.
        let place = |name: &String| Module::all().position(|module| module.name == name);
        targets.sort_by_key(|name| (place(name), name.clone()));
        let mut config = self.with(most, targets);
        let usual = (self.rank, self.alpha);
        let scaled = |pair: &&(usize, f32)| pair.1 != 0.0;
        let own = ranks.iter().filter(scaled).find(|pair| **pair == usual);
        let (rank, alpha) = *own.or(ranks.iter().find(scaled)).unwrap_or(&usual);
        if self.method.is_lora() && (most, rank, alpha) != (self.rank, self.rank, self.alpha) {
            let scale = AdapterConfig {
                rank,
                alpha,
                ..config.clone()
            }
            .scale();
            config.alpha = scale * most as f32;
            if config.rslora {
                config.alpha = scale * (most as f32).sqrt();
            }
        }
        config
            .validate()
            .map_err(AdapterError::broken_adapter(CONFIG))?;
        Ok(config)
    }

    /// The tensor of a place: from the file where its module is picked, else one that changes nothing.
    /// A pair of a lower rank gets rows and columns of zeros, and its own scale goes into B.
    fn tensor(
        &self,
        name: &str,
        slot: &Slot,
        config: &AdapterConfig,
        source: &SafetensorsSource,
    ) -> Result<AdapterTensor, AdapterError> {
        let path = module_path(name);
        let [rows, columns] = slot.shape;
        let picked = self.selection.picks(path);
        let data = match slot.part {
            Part::A(_) | Part::B(_) if !picked => vec![0.0; rows * columns],
            Part::Factor(_) if !picked => vec![1.0; rows * columns],
            Part::Norm(_) | Part::LastNorm if !picked => {
                return Err(unsupported(format!(
                    "target_modules leaves {path} out: norms are taken in every layer or in none"
                )));
            }
            Part::A(_) => {
                let (rank, _) = self.values(path)?;
                let mut data = source.tensor(name, &[rank, columns])?;
                data.resize(rows * columns, 0.0);
                data
            }
            Part::B(_) => {
                let (rank, alpha) = self.values(path)?;
                let data = source.tensor(name, &[rows, rank])?;
                let own = AdapterConfig {
                    rank,
                    alpha,
                    ..config.clone()
                }
                .scale();
                // Exactly 1 where they are one, so that the bits stay.
                let factor = if own == config.scale() {
                    1.0
                } else {
                    own / config.scale()
                };
                let padded = data.chunks_exact(rank).flat_map(|row| {
                    let zeros = std::iter::repeat_n(0.0, columns - rank);
                    row.iter().map(move |value| value * factor).chain(zeros)
                });
                padded.collect()
            }
            Part::Factor(target) => {
                if target.scales_input() != self.selection.scales_input(path) {
                    return Err(unsupported(format!(
                        "feedforward_modules with regard to {path}; only down_proj is one here"
                    )));
                }
                source.tensor(name, &slot.shape)?
            }
            // PEFT keeps a norm as a vector.
            Part::Norm(_) | Part::LastNorm => source.tensor(name, &[columns])?,
        };
        check_shape(name, &[data.len()], &[rows * columns])?;
        if !data.iter().all(|value| value.is_finite()) {
            return Err(bad(format!(
                "alpha_pattern gives {path} values that are not finite"
            )));
        }
        let shape = slot.shape;
        Ok(AdapterTensor { shape, data })
    }
}

impl Adapter {
    /// Writes a folder that PEFT loads: `adapter_model.safetensors` (the canonical bytes) and
    /// `adapter_config.json`, which names the base where one is given: a path or a name on the Hub. Each
    /// file is there as a whole or not at all.
    ///
    /// # Errors
    /// [`AdapterError::Io`] when the folder or a file cannot be written.
    pub fn save_peft(&self, dir: &Path, base: Option<&str>) -> Result<(), AdapterError> {
        std::fs::create_dir_all(dir).map_err(AdapterError::io(dir))?;
        write_whole(&dir.join(WEIGHTS), &self.to_bytes())?;
        let config = &self.config;
        let mut value = json!({
            "peft_type": config.method,
            "base_model_name_or_path": base,
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
                let is_input = |target: &&String| {
                    Module::all().any(|module| module.name == **target && module.scales_input())
                };
                let inputs: Vec<&String> = config.targets.iter().filter(is_input).collect();
                json!({ "feedforward_modules": inputs, "fan_in_fan_out": false })
            }
            Method::LayerNorm => json!({}),
        };
        if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
            map.extend(more);
        }
        let path = dir.join(CONFIG);
        write_whole(&path, format!("{value:#}\n").as_bytes())
    }

    /// Reads a folder that PEFT wrote for this model: LoRA, rsLoRA, (IA)^3 or LN tuning, in f32,
    /// f16 or bf16. Which modules have a part, and of which rank, may differ by layer: a module that is
    /// not picked gets a part that changes nothing, a lower rank is filled up with zeros.
    ///
    /// # Errors
    /// [`AdapterError::Io`] for a file that cannot be read, [`AdapterError::Unsupported`] with the
    /// key for a setting that this engine does not implement, [`AdapterError::Adapter`] for a
    /// surplus tensor, [`AdapterError::MissingTensor`] and [`AdapterError::Shape`] for a tensor
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
        let mut file = File::read(&read(CONFIG, MAX_ADAPTER_CONFIG)?)?;
        let source = SafetensorsSource::from_files(vec![read(WEIGHTS, MAX_ADAPTER_FILE)?])?;
        file.selection.settle(source.names().map(module_path));
        let config = file.config(model)?;
        let slots = config.checked_slots(model)?;
        let placed =
            |name: &str| slots.contains_key(name) && file.selection.picks(module_path(name));
        if let Some(name) = source.names().find(|name| !placed(name)) {
            return Err(AdapterError::Adapter(format!(
                "{WEIGHTS}: tensor {name} has no place in this model, or {CONFIG} does not pick it"
            )));
        }
        let tensors = slots
            .iter()
            .map(|(name, slot)| Ok((name.clone(), file.tensor(name, slot, &config, &source)?)));
        let tensors = tensors.collect::<Result<BTreeMap<_, _>, AdapterError>>()?;
        Ok(Self { tensors, config })
    }
}

/// Writes a file that is there as a whole or not at all, also after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let new = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent().filter(|folder| folder.is_dir()) {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| {
        // A file that a full disk cut short is of no use to anybody.
        let _ = std::fs::remove_file(&new);
        AdapterError::io(path)(source)
    })
}

#[cfg(test)]
mod tests;

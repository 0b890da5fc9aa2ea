//! Configuration of an adapter, and the places of its tensors in a decoder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AdapterError, ModelConfig, Module, Norm, Target,
    limits::{MAX_ADAPTER_VALUES, MAX_RANK},
};

/// Configuration of an adapter: LoRA (Hu et al. 2021) or another [`Method`], with PEFT's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Inner width of every pair of matrices; 1 where there are no pairs.
    pub rank: usize,
    /// The pair's product is scaled by `alpha / rank`.
    pub alpha: f32,
    /// Share of inputs to the A matrices that training sets to zero, `[0, 1)`.
    pub dropout: f32,
    /// Modules that carry a part of the adapter. Matrices: `q_proj`, `k_proj`, `v_proj`, `o_proj`,
    /// `gate_proj`, `up_proj`, `down_proj`, or `qkv_proj` and `gate_up_proj` where a model fuses
    /// them. For [`Method::LayerNorm`] the norms by name, as in
    /// `input_layernorm`, and `norm` for the last one.
    pub targets: Vec<String>,
    /// Scales by `alpha / sqrt(rank)` instead (Kalajdzievski 2023).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rslora: bool,
    /// Kind of adapter.
    #[serde(default, skip_serializing_if = "Method::is_lora")]
    pub method: Method,
}

/// Kinds of adapters. The names are PEFT's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// A pair of matrices next to a frozen one (Hu et al. 2021).
    #[default]
    #[serde(rename = "LORA")]
    Lora,
    /// A factor for every output of a matrix, or for every input of `down_proj` (Liu et al. 2022).
    #[serde(rename = "IA3")]
    Ia3,
    /// The weights of norms (Zhao et al. 2023).
    #[serde(rename = "LN_TUNING")]
    LayerNorm,
}

impl Method {
    /// Whether the method is LoRA, the default.
    pub fn is_lora(&self) -> bool {
        *self == Self::Lora
    }
}

impl Default for AdapterConfig {
    /// Rank 16, alpha 32, no dropout, on queries and values.
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            rslora: false,
            method: Method::Lora,
        }
    }
}

impl AdapterConfig {
    /// Checks every field's range.
    ///
    /// # Errors
    /// [`AdapterError::Config`] that names the field.
    pub fn validate(&self) -> Result<(), AdapterError> {
        let bad = |text: String| Err(AdapterError::Config(text));
        if self.rank == 0 || self.rank > MAX_RANK {
            return bad(format!("rank {} is not in 1..={MAX_RANK}", self.rank));
        }
        if !self.alpha.is_finite() {
            return bad(format!("alpha {} is not finite", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return bad(format!("dropout {} is not in [0, 1)", self.dropout));
        }
        if self.targets.is_empty() {
            return bad("targets are empty".to_owned());
        }
        if !self.method.is_lora() && (self.rank != 1 || self.dropout != 0.0 || self.rslora) {
            return bad(format!(
                "{:?} has neither rank (1), dropout (0) nor rslora",
                self.method
            ));
        }
        for (index, target) in self.targets.iter().enumerate() {
            let known = match self.method {
                Method::Lora | Method::Ia3 => Module::is_name(target),
                Method::LayerNorm => target == LAST_NORM || Norm::is_name(target),
            };
            if !known {
                return bad(format!("unknown target {target:?} of {:?}", self.method));
            }
            if self.targets.iter().take(index).any(|other| other == target) {
                return bad(format!("target {target:?} occurs twice"));
            }
        }
        Ok(())
    }

    /// `alpha / rank`, or `alpha / sqrt(rank)`.
    pub fn scale(&self) -> f32 {
        if self.rslora {
            self.alpha / (self.rank as f32).sqrt()
        } else {
            self.alpha / self.rank as f32
        }
    }

    /// (IA)^3 on these matrices; its authors take keys, values and `down_proj`.
    pub fn ia3(targets: &[&str]) -> Self {
        Self::without_pairs(Method::Ia3, targets)
    }

    /// The weights of these norms.
    pub fn layer_norm(targets: &[&str]) -> Self {
        Self::without_pairs(Method::LayerNorm, targets)
    }

    fn without_pairs(method: Method, targets: &[&str]) -> Self {
        Self {
            rank: 1,
            alpha: 1.0,
            dropout: 0.0,
            targets: targets.iter().map(|&target| target.to_owned()).collect(),
            rslora: false,
            method,
        }
    }

    /// The targets of a method on this model where none are given.
    pub fn usual_targets(method: Method, model: &ModelConfig) -> Vec<String> {
        let fused = model.family.architecture.is_fused();
        let names: &[&str] = match (method, fused) {
            (Method::Lora, false) => &["q_proj", "v_proj"],
            (Method::Lora, true) => &["qkv_proj"],
            (Method::Ia3, false) => &["k_proj", "v_proj", "down_proj"],
            (Method::Ia3, true) => &["qkv_proj", "down_proj"],
            (Method::LayerNorm, _) => &["input_layernorm", "post_attention_layernorm", LAST_NORM],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// The error for targets of which this model has none; it names those that there are.
    pub fn none_exists(&self, model: &ModelConfig) -> AdapterError {
        let known: Vec<&str> = match self.method {
            Method::Lora | Method::Ia3 => {
                model.modules().iter().map(|module| module.name).collect()
            }
            Method::LayerNorm => {
                let paths = Norm::ALL.map(|norm| norm.path(model.family.architecture));
                let names = paths
                    .into_iter()
                    .flatten()
                    .filter_map(|path| path.rsplit('.').next());
                names.chain([LAST_NORM]).collect()
            }
        };
        AdapterError::Config(format!(
            "no target of {} exists in this {} model, which has {}",
            self.targets.join(", "),
            model.family.architecture.model_type(),
            known.join(", ")
        ))
    }

    fn has(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target == name)
    }

    /// Every tensor that this adapter has on a model, by name, once the configuration is in range
    /// and the model not too large for it.
    ///
    /// # Errors
    /// [`AdapterError::Config`] that names the field and its bound.
    pub fn checked_slots(
        &self,
        model: &ModelConfig,
    ) -> Result<BTreeMap<String, Slot>, AdapterError> {
        self.validate()?;
        let slots = self.slots(model);
        let sizes = slots.values().map(|slot| slot.shape[0] * slot.shape[1]);
        let values = sizes.fold(0, usize::saturating_add);
        if values > MAX_ADAPTER_VALUES {
            return Err(AdapterError::Config(format!(
                "rank {} makes {values} values on this model, at most {MAX_ADAPTER_VALUES}",
                self.rank
            )));
        }
        Ok(slots)
    }

    fn slots(&self, model: &ModelConfig) -> BTreeMap<String, Slot> {
        let mut slots = BTreeMap::new();
        for layer in 0..model.layers {
            let modules = model.modules().iter();
            for module in modules.filter(|module| self.has(module.name)) {
                let ([out, inner], Some(&first)) = (module.shape(model), module.parts.first())
                else {
                    continue;
                };
                let mut add = |name: String, shape, part| {
                    slots.insert(name, Slot { shape, layer, part });
                };
                match self.method {
                    Method::Lora => {
                        let (a, b) = ([self.rank, inner], [out, self.rank]);
                        add(peft_name(layer, module, 'A'), a, Part::A(first));
                        add(peft_name(layer, module, 'B'), b, Part::B(first));
                    }
                    Method::Ia3 => {
                        let shape = if module.scales_input() {
                            [1, inner]
                        } else {
                            [out, 1]
                        };
                        add(ia3_name(layer, module), shape, Part::Factor(first));
                    }
                    Method::LayerNorm => {}
                }
            }
            for norm in Norm::ALL {
                let path = norm.path(model.family.architecture);
                let chosen = |path: &&str| path.rsplit('.').next().is_some_and(|n| self.has(n));
                if let Some(path) = path.filter(chosen)
                    && self.method == Method::LayerNorm
                {
                    let shape = [1, norm.width(model)];
                    let part = Part::Norm(norm);
                    slots.insert(norm_name(layer, path), Slot { shape, layer, part });
                }
            }
        }
        if self.method == Method::LayerNorm && self.has(LAST_NORM) {
            let (shape, layer, part) = ([1, model.d_model], 0, Part::LastNorm);
            slots.insert(LAST_NORM_NAME.to_owned(), Slot { shape, layer, part });
        }
        slots
    }
}

/// Place of an adapter's tensor in a decoder.
pub struct Slot {
    /// Shape of the tensor.
    pub shape: [usize; 2],
    /// Number of the block; 0 for the norm after the last one.
    pub layer: usize,
    /// Role of the tensor in the block.
    pub part: Part,
}

/// Role of an adapter's tensor; of a fused module the first matrix is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The A matrix of a LoRA pair.
    A(Target),
    /// The B matrix of a LoRA pair.
    B(Target),
    /// The factors of (IA)^3.
    Factor(Target),
    /// The weights of a block's norm.
    Norm(Norm),
    /// The weights of the norm after the last block.
    LastNorm,
}

/// PEFT's target for the norm after the last block.
pub(crate) const LAST_NORM: &str = "norm";
/// PEFT's name of the trained weights of the norm after the last block.
pub const LAST_NORM_NAME: &str = "base_model.model.model.norm.ln_tuning_layers.weight";

/// PEFT's name of one LoRA matrix; `side` is `A` or `B`.
pub fn peft_name(layer: usize, module: &Module, side: char) -> String {
    let path = module.path;
    format!("base_model.model.model.layers.{layer}.{path}.lora_{side}.weight")
}

/// PEFT's name of the factors of a module.
pub fn ia3_name(layer: usize, module: &Module) -> String {
    let path = module.path;
    format!("base_model.model.model.layers.{layer}.{path}.ia3_l")
}

/// PEFT's name of a norm's trained weights; `path` is its path inside a layer.
pub fn norm_name(layer: usize, path: &str) -> String {
    format!("base_model.model.model.layers.{layer}.{path}.ln_tuning_layers.weight")
}

/// Path in the model of the module that a tensor belongs to, as in `model.layers.0.self_attn.q_proj`.
pub(crate) fn module_path(tensor: &str) -> &str {
    let path = tensor.strip_prefix("base_model.model.").unwrap_or(tensor);
    [
        ".lora_A.weight",
        ".lora_B.weight",
        ".ia3_l",
        ".ln_tuning_layers.weight",
    ]
    .iter()
    .find_map(|end| path.strip_suffix(end))
    .unwrap_or(path)
}

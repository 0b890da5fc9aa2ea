//! LoRA adapters as plain host data, with the arithmetic that federations need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ModelConfig, TuningError, rng::Stream};

/// What an adapter is made of: LoRA (Hu et al. 2021), named as PEFT names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Inner width of every pair of matrices.
    pub rank: usize,
    /// The pair's product is scaled by `alpha / rank`.
    pub alpha: f32,
    /// Share of inputs to the A matrices that training sets to zero, `[0, 1)`.
    pub dropout: f32,
    /// Which matrices carry a pair: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`.
    pub targets: Vec<String>,
}

impl Default for AdapterConfig {
    /// Rank 16, alpha 32, no dropout, on queries and values.
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
        }
    }
}

/// Largest rank that is accepted, from files too.
const MAX_RANK: usize = 4096;

impl AdapterConfig {
    /// Checks every field's range.
    ///
    /// # Errors
    /// [`TuningError::Config`] that names the field.
    pub fn validate(&self) -> Result<(), TuningError> {
        let bad = |text: String| Err(TuningError::Config(text));
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
        for (index, target) in self.targets.iter().enumerate() {
            if Target::parse(target).is_none() {
                return bad(format!("unknown target {target:?}"));
            }
            if self.targets.iter().take(index).any(|other| other == target) {
                return bad(format!("target {target:?} occurs twice"));
            }
        }
        Ok(())
    }

    /// `alpha / rank`.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }
}

/// A matrix of a decoder block that can carry a LoRA pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Target {
    pub(crate) const ALL: [Self; 7] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The name of the projection, without its block.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The path inside a layer, as in `model.layers.0.self_attn.q_proj`.
    pub(crate) fn path(self) -> String {
        let block = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("{block}.{}", self.name())
    }

    /// `[out, in]` of the frozen matrix.
    pub(crate) fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        match self {
            Self::Q => [q, config.d_model],
            Self::K | Self::V => [kv, config.d_model],
            Self::O => [config.d_model, q],
            Self::Gate | Self::Up => [config.ffn, config.d_model],
            Self::Down => [config.d_model, config.ffn],
        }
    }
}

/// PEFT's name of one LoRA matrix; `side` is `A` or `B`.
pub(crate) fn peft_name(layer: usize, target: Target, side: char) -> String {
    format!(
        "base_model.model.model.layers.{layer}.{}.lora_{side}.weight",
        target.path()
    )
}

/// One matrix of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterTensor {
    /// `[rows, columns]`: `[rank, in]` for A, `[out, rank]` for B.
    pub shape: [usize; 2],
    /// Row-major values.
    pub data: Vec<f32>,
}

/// LoRA tensors by PEFT name, sorted.
///
/// An adapter is also what a difference of two adapters is: an update.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Tensors by name, as in
    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub tensors: BTreeMap<String, AdapterTensor>,
    /// What the tensors are made for.
    pub config: AdapterConfig,
}

impl Adapter {
    /// A fresh adapter with PEFT's initialisation: A uniform in `±1/sqrt(in)` (Kaiming with
    /// a = sqrt 5), B zero, so that it changes nothing yet.
    ///
    /// # Errors
    /// [`TuningError::Config`] when the configuration is out of range.
    pub fn init(
        config: &AdapterConfig,
        model: &ModelConfig,
        seed: u64,
    ) -> Result<Self, TuningError> {
        config.validate()?;
        let mut tensors = BTreeMap::new();
        for layer in 0..model.layers {
            for target in Target::ALL {
                if !config.targets.iter().any(|name| name == target.name()) {
                    continue;
                }
                let [out, inner] = target.shape(model);
                let stream = Stream::new(seed, &[0x1417, layer as u64, target as u64]);
                let bound = 1.0 / (inner as f64).sqrt();
                let a = (0..config.rank * inner)
                    .map(|i| ((2.0 * stream.unit(i as u64) - 1.0) * bound) as f32)
                    .collect();
                tensors.insert(
                    peft_name(layer, target, 'A'),
                    AdapterTensor {
                        shape: [config.rank, inner],
                        data: a,
                    },
                );
                tensors.insert(
                    peft_name(layer, target, 'B'),
                    AdapterTensor {
                        shape: [out, config.rank],
                        data: vec![0.0; out * config.rank],
                    },
                );
            }
        }
        Ok(Self {
            tensors,
            config: config.clone(),
        })
    }

    /// Checks that the tensors are exactly those that the configuration asks for on this model.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] that names the first tensor that differs.
    pub fn check_fits(&self, model: &ModelConfig) -> Result<(), TuningError> {
        self.config.validate()?;
        let mut expected = 0usize;
        for layer in 0..model.layers {
            for name in &self.config.targets {
                let Some(target) = Target::parse(name) else {
                    continue;
                };
                let [out, inner] = target.shape(model);
                for (side, shape) in [
                    ('A', [self.config.rank, inner]),
                    ('B', [out, self.config.rank]),
                ] {
                    expected += 1;
                    let name = peft_name(layer, target, side);
                    let tensor = self
                        .tensors
                        .get(&name)
                        .ok_or_else(|| TuningError::Adapter(format!("{name} is missing")))?;
                    if tensor.shape != shape || tensor.data.len() != shape[0] * shape[1] {
                        return Err(TuningError::Adapter(format!(
                            "{name} has shape {:?}, the model needs {shape:?}",
                            tensor.shape
                        )));
                    }
                }
            }
        }
        if expected != self.tensors.len() {
            return Err(TuningError::Adapter(format!(
                "{} tensors, the configuration asks for {expected}",
                self.tensors.len()
            )));
        }
        Ok(())
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.data.len()).sum()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values, tensors in name order, each row-major.
    pub fn flat(&self) -> Vec<f32> {
        let mut flat = Vec::with_capacity(self.len());
        for tensor in self.tensors.values() {
            flat.extend_from_slice(&tensor.data);
        }
        flat
    }

    /// An adapter of this one's shape from values in the order of [`flat`](Self::flat).
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when the number of values differs.
    pub fn from_flat(&self, flat: &[f32]) -> Result<Self, TuningError> {
        if flat.len() != self.len() {
            return Err(TuningError::Adapter(format!(
                "{} values for an adapter of {}",
                flat.len(),
                self.len()
            )));
        }
        let mut rest = flat;
        let mut result = self.clone();
        for tensor in result.tensors.values_mut() {
            let (head, tail) = rest.split_at(tensor.data.len());
            tensor.data.copy_from_slice(head);
            rest = tail;
        }
        Ok(result)
    }

    /// Whether both have the same tensors with the same shapes and the same configuration.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.config == other.config
            && self.tensors.len() == other.tensors.len()
            && self
                .tensors
                .iter()
                .zip(&other.tensors)
                .all(|((a, x), (b, y))| a == b && x.shape == y.shape)
    }

    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Result<Self, TuningError> {
        if !self.same_shape(other) {
            return Err(TuningError::Adapter(
                "the two adapters have different shapes".to_owned(),
            ));
        }
        let mut result = self.clone();
        for (tensor, right) in result.tensors.values_mut().zip(other.tensors.values()) {
            for (x, y) in tensor.data.iter_mut().zip(&right.data) {
                *x = f(*x, *y);
            }
        }
        Ok(result)
    }

    /// `self - other`.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when the shapes differ.
    pub fn sub(&self, other: &Self) -> Result<Self, TuningError> {
        self.zip(other, |x, y| x - y)
    }

    /// `self + factor · other`.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when the shapes differ.
    pub fn add_scaled(&self, other: &Self, factor: f32) -> Result<Self, TuningError> {
        self.zip(other, |x, y| x + factor * y)
    }

    /// `factor · self`.
    pub fn scale(&self, factor: f32) -> Self {
        let mut result = self.clone();
        for tensor in result.tensors.values_mut() {
            for x in &mut tensor.data {
                *x *= factor;
            }
        }
        result
    }

    /// Euclidean norm over all values, summed in f64 in name order.
    pub fn norm_l2(&self) -> f64 {
        self.tensors
            .values()
            .flat_map(|tensor| &tensor.data)
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
            .sqrt()
    }

    /// Whether every value is finite.
    pub fn is_finite(&self) -> bool {
        self.tensors
            .values()
            .all(|tensor| tensor.data.iter().all(|x| x.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_is_seeded_and_neutral() {
        let model = ModelConfig::tiny();
        let config = AdapterConfig {
            rank: 4,
            ..AdapterConfig::default()
        };
        let a = Adapter::init(&config, &model, 1).unwrap();
        assert_eq!(a, Adapter::init(&config, &model, 1).unwrap());
        assert_ne!(a, Adapter::init(&config, &model, 2).unwrap());
        a.check_fits(&model).unwrap();
        for (name, tensor) in &a.tensors {
            let zero = tensor.data.iter().all(|&x| x == 0.0);
            assert_eq!(zero, name.contains("lora_B"), "{name}");
        }
    }

    #[test]
    fn arithmetic_follows_its_definition() {
        let model = ModelConfig::tiny();
        let config = AdapterConfig {
            rank: 2,
            ..AdapterConfig::default()
        };
        let a = Adapter::init(&config, &model, 1).unwrap();
        let b = Adapter::init(&config, &model, 2).unwrap();
        let back = b.add_scaled(&a.sub(&b).unwrap(), 1.0).unwrap();
        for (x, y) in back.flat().iter().zip(a.flat()) {
            assert!((x - y).abs() < 1e-6);
        }
        assert_eq!(a.from_flat(&b.flat()).unwrap(), b);
        assert!(a.from_flat(&[0.0]).is_err());
        assert!((a.scale(2.0).norm_l2() - 2.0 * a.norm_l2()).abs() < 1e-6);
        let other = Adapter::init(&AdapterConfig { rank: 3, ..config }, &model, 1).unwrap();
        assert!(a.sub(&other).is_err());
    }
}

//! Adapters as plain host data, with the arithmetic that federations need.

use std::collections::BTreeMap;

use crate::{
    AdapterConfig, AdapterError, ModelConfig, Part, Slot, Target, ia3_name, peft_name, rng::Stream,
};

/// One matrix of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterTensor {
    /// `[rows, columns]`: `[rank, in]` for A, `[out, rank]` for B; `[out, 1]` or `[1, in]` for the
    /// factors of (IA)^3; `[1, width]` for a norm.
    pub shape: [usize; 2],
    /// Row-major values.
    pub data: Vec<f32>,
}

/// Tensors by PEFT name, sorted.
///
/// A difference of two adapters (an update) is an adapter too.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Tensors by name, as in
    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub tensors: BTreeMap<String, AdapterTensor>,
    /// Configuration that the tensors belong to.
    pub config: AdapterConfig,
}

impl Adapter {
    /// A fresh adapter with PEFT's initialisation: A uniform in `±1/sqrt(in)` (Kaiming with
    /// a = sqrt 5), B zero, so that it changes nothing yet.
    ///
    /// # Errors
    /// [`AdapterError::Config`] when the configuration is out of range.
    pub fn init(
        config: &AdapterConfig,
        model: &ModelConfig,
        seed: u64,
    ) -> Result<Self, AdapterError> {
        let slots = config.checked_slots(model)?;
        let fresh = |slot: &Slot| match slot.part {
            Part::A(target) => {
                let [rank, inner] = slot.shape;
                let stream = Stream::new(seed, &[0x1417, slot.layer as u64, target as u64]);
                let bound = 1.0 / (inner as f64).sqrt();
                let value = |i| ((2.0 * stream.unit(i as u64) - 1.0) * bound) as f32;
                Ok((0..rank * inner).map(value).collect())
            }
            Part::B(_) => Ok(vec![0.0; slot.shape[0] * slot.shape[1]]),
            Part::Factor(_) => Ok(vec![1.0; slot.shape[0] * slot.shape[1]]),
            Part::Norm(_) | Part::LastNorm => Err(AdapterError::Adapter(
                "norms start with the model's own weights: use Model::new_adapter".to_owned(),
            )),
        };
        let mut tensors = BTreeMap::new();
        for (name, slot) in slots {
            let (shape, data) = (slot.shape, fresh(&slot)?);
            tensors.insert(name, AdapterTensor { shape, data });
        }
        if tensors.is_empty() {
            return Err(config.none_exists(model));
        }
        Ok(Self {
            tensors,
            config: config.clone(),
        })
    }

    /// Checks that the tensors are exactly those that the configuration asks for on this model.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] that names the first tensor that differs.
    pub fn check_fits(&self, model: &ModelConfig) -> Result<(), AdapterError> {
        let slots = self.config.checked_slots(model)?;
        let expected = slots.len();
        for (name, Slot { shape, .. }) in slots {
            let tensor = self
                .tensors
                .get(&name)
                .ok_or_else(|| AdapterError::Adapter(format!("{name} is missing")))?;
            if tensor.shape != shape || tensor.data.len() != shape[0] * shape[1] {
                return Err(AdapterError::Adapter(format!(
                    "{name} has shape {:?}, the model needs {shape:?}",
                    tensor.shape
                )));
            }
        }
        if expected != self.tensors.len() {
            return Err(AdapterError::Adapter(format!(
                "{} tensors, the configuration asks for {expected}",
                self.tensors.len()
            )));
        }
        Ok(())
    }

    /// The LoRA pair of a matrix: A, `[rank, in]`, and B, `[out, rank]`. Matrices of a fused module have
    /// the same A, and B is their rows of the module's.
    pub fn pair(
        &self,
        model: &ModelConfig,
        layer: usize,
        target: Target,
    ) -> Option<(&[f32], &[f32])> {
        let place = model.place(target);
        let a = self.tensors.get(&peft_name(layer, place.module, 'A'))?;
        let b = self.tensors.get(&peft_name(layer, place.module, 'B'))?;
        let [rank, _] = a.shape;
        let rows = place.rows.start * rank..place.rows.end * rank;
        Some((&a.data, b.data.get(rows)?))
    }

    /// The factors of a matrix's outputs, or of its inputs where
    /// [`scales_input`](Target::scales_input).
    pub fn factors(&self, model: &ModelConfig, layer: usize, target: Target) -> Option<&[f32]> {
        let place = model.place(target);
        let factors = self.tensors.get(&ia3_name(layer, place.module))?;
        match target.scales_input() {
            true => Some(&factors.data),
            false => factors.data.get(place.rows),
        }
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
    /// [`AdapterError::Adapter`] when the number of values differs.
    pub fn from_flat(&self, flat: &[f32]) -> Result<Self, AdapterError> {
        if flat.len() != self.len() {
            return Err(AdapterError::Adapter(format!(
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

    fn expect_shape(&self, other: &Self) -> Result<(), AdapterError> {
        match self.same_shape(other) {
            true => Ok(()),
            false => Err(AdapterError::Adapter(
                "the two adapters have different shapes".to_owned(),
            )),
        }
    }

    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Result<Self, AdapterError> {
        self.expect_shape(other)?;
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
    /// [`AdapterError::Adapter`] when the shapes differ.
    pub fn sub(&self, other: &Self) -> Result<Self, AdapterError> {
        self.zip(other, |x, y| x - y)
    }

    /// Values of `self - other`, in the order of [`flat`](Self::flat).
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] when the shapes differ.
    pub fn flat_sub(&self, other: &Self) -> Result<Vec<f32>, AdapterError> {
        self.expect_shape(other)?;
        let mut flat = Vec::with_capacity(self.len());
        for (tensor, right) in self.tensors.values().zip(other.tensors.values()) {
            flat.extend(tensor.data.iter().zip(&right.data).map(|(x, y)| x - y));
        }
        Ok(flat)
    }

    /// `self + factor · other`.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] when the shapes differ.
    pub fn add_scaled(&self, other: &Self, factor: f32) -> Result<Self, AdapterError> {
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
        assert_eq!(a.flat_sub(&b).unwrap(), a.sub(&b).unwrap().flat());
        assert!(a.from_flat(&[0.0]).is_err());
        assert!((a.scale(2.0).norm_l2() - 2.0 * a.norm_l2()).abs() < 1e-6);
        let other = Adapter::init(&AdapterConfig { rank: 3, ..config }, &model, 1).unwrap();
        assert!(a.sub(&other).is_err());
    }
}

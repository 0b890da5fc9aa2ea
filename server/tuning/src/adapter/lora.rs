//! An adapter on a device: the parts that the decoder adds to its frozen products, multiplies them
//! with, or uses in place of its norms.

mod low_rank;

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rayon::prelude::*;

use fedseal_adapter::{LAST_NORM_NAME, Norm, Target, ia3_name, norm_name, peft_name, rng::Stream};

use crate::{
    Adapter, AdapterTensor, Architecture, ModelConfig, TuningError,
    ops::{self, FrozenWeight, to_host},
};
use low_rank::low_rank;

/// The LoRA matrices of one frozen matrix.
pub(crate) struct Pair {
    /// `[rank, in]`
    a: Tensor<2>,
    /// `[out, rank]`
    b: Tensor<2>,
}

/// Dropout of one training step: the share that is set to zero and the step's random stream.
#[derive(Clone, Copy)]
pub(crate) struct Dropout {
    pub(crate) share: f32,
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) part: u64,
}

/// Parts of an adapter in one decoder block.
#[derive(Default)]
struct LayerParts {
    /// LoRA pairs, indexed by [`Target`].
    pairs: [Option<Pair>; 7],
    /// Factors of (IA)^3, indexed by [`Target`], `[width]` each.
    factors: [Option<Tensor<1>>; 7],
    /// Norm weights as in a checkpoint, indexed by [`Norm`], `[width]` each.
    norms: [Option<Tensor<1>>; 6],
}

/// All parts of an adapter.
pub(crate) struct Lora {
    layers: Vec<LayerParts>,
    last_norm: Option<Tensor<1>>,
    scale: f32,
    norm_offset: f32,
    pub(crate) dropout: Option<Dropout>,
}

impl Lora {
    /// Copies an adapter to a device. With `train`, every tensor becomes a leaf whose gradient the
    /// backward pass keeps.
    pub(crate) fn upload(
        adapter: &Adapter,
        model: &ModelConfig,
        device: &Device,
        train: bool,
    ) -> Result<Self, TuningError> {
        adapter.check_fits(model)?;
        fn leaf<const D: usize>(tensor: Tensor<D>, train: bool) -> Tensor<D> {
            if train {
                tensor.autodiff().require_grad()
            } else {
                tensor
            }
        }
        let matrix = |name: &str| -> Option<Tensor<2>> {
            let AdapterTensor { shape, data } = adapter.tensors.get(name)?;
            let data = TensorData::new(data.clone(), *shape);
            Some(leaf(Tensor::from_data(data, device), train))
        };
        let vector = |name: &str| -> Option<Tensor<1>> {
            let AdapterTensor { shape, data } = adapter.tensors.get(name)?;
            let data = TensorData::new(data.clone(), [shape[0] * shape[1]]);
            Some(leaf(Tensor::from_data(data, device), train))
        };
        let layers = (0..model.layers)
            .map(|layer| LayerParts {
                pairs: Target::ALL.map(|target| {
                    Some(Pair {
                        a: matrix(&peft_name(layer, target, 'A'))?,
                        b: matrix(&peft_name(layer, target, 'B'))?,
                    })
                }),
                factors: Target::ALL.map(|target| vector(&ia3_name(layer, target))),
                norms: Norm::ALL.map(|norm| {
                    let path = norm.path(model.family.architecture)?;
                    vector(&norm_name(layer, path))
                }),
            })
            .collect();
        Ok(Self {
            layers,
            last_norm: vector(LAST_NORM_NAME),
            scale: adapter.config.scale(),
            norm_offset: model.norm_offset(),
            dropout: None,
        })
    }

    pub(crate) fn pair(&self, layer: usize, target: Target) -> Option<&Pair> {
        self.layers.get(layer)?.pairs[target as usize].as_ref()
    }

    /// Returns the lowest block with a part of the adapter; `None` when no block has one.
    pub(crate) fn lowest_layer(&self) -> Option<usize> {
        self.layers.iter().position(|parts| {
            parts.pairs.iter().any(Option::is_some)
                || parts.factors.iter().any(Option::is_some)
                || parts.norms.iter().any(Option::is_some)
        })
    }

    /// Returns the factors of a matrix's outputs, or of its inputs where [`Target::scales_input`].
    pub(crate) fn factors(&self, layer: usize, target: Target) -> Option<&Tensor<1>> {
        self.layers.get(layer)?.factors[target as usize].as_ref()
    }

    /// Returns a norm's weights that replace the model's.
    pub(crate) fn norm(&self, layer: usize, norm: Norm) -> Option<Tensor<1>> {
        let weight = self.layers.get(layer)?.norms[norm as usize].clone()?;
        Some(self.whole(weight))
    }

    /// As [`norm`](Self::norm), for the norm after the last block.
    pub(crate) fn last_norm(&self) -> Option<Tensor<1>> {
        self.last_norm.clone().map(|weight| self.whole(weight))
    }

    fn whole(&self, weight: Tensor<1>) -> Tensor<1> {
        if self.norm_offset == 0.0 {
            weight
        } else {
            weight.add_scalar(self.norm_offset)
        }
    }

    /// Computes `x · Wᵀ + scale · (drop(x) · Aᵀ) · Bᵀ`.
    pub(crate) fn apply(
        &self,
        x: Tensor<2>,
        weight: &FrozenWeight,
        pair: &Pair,
        layer: usize,
        target: Target,
    ) -> Tensor<2> {
        let (a, b) = (pair.a.clone(), pair.b.clone());
        let Some(dropout) = self.dropout else {
            return ops::lora_linear(x, weight, a, b, self.scale);
        };
        let mask = dropout.mask(x.dims(), layer, target, &x.device());
        let thinned = x.clone() * mask;
        weight.forward(x) + low_rank(thinned, a, b, self.scale)
    }

    /// Moves the gradients of all parts to the host and adds them to `sum` by name.
    pub(crate) fn add_gradients(
        &self,
        architecture: Architecture,
        gradients: &mut Gradients,
        sum: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), TuningError> {
        let mut add = |name: String, gradient: Result<Vec<f32>, TuningError>| {
            let gradient = gradient?;
            let sum = sum.entry(name).or_default();
            if sum.is_empty() {
                *sum = gradient;
            } else {
                for (sum, value) in sum.iter_mut().zip(gradient) {
                    *sum += value;
                }
            }
            Ok::<_, TuningError>(())
        };
        // A part that no counted token reaches has no gradient: zero.
        for (layer, parts) in self.layers.iter().enumerate() {
            for (i, target) in Target::ALL.into_iter().enumerate() {
                if let Some(pair) = &parts.pairs[i] {
                    for (side, tensor) in [('A', &pair.a), ('B', &pair.b)] {
                        if let Some(gradient) = tensor.grad_remove(gradients) {
                            add(peft_name(layer, target, side), to_host(gradient))?;
                        }
                    }
                }
                let factors = parts.factors[i].as_ref();
                if let Some(gradient) = factors.and_then(|leaf| leaf.grad_remove(gradients)) {
                    add(ia3_name(layer, target), to_host(gradient))?;
                }
            }
            for (leaf, norm) in parts.norms.iter().zip(Norm::ALL) {
                let (Some(leaf), Some(path)) = (leaf, norm.path(architecture)) else {
                    continue;
                };
                if let Some(gradient) = leaf.grad_remove(gradients) {
                    add(norm_name(layer, path), to_host(gradient))?;
                }
            }
        }
        let last = self.last_norm.as_ref();
        if let Some(gradient) = last.and_then(|leaf| leaf.grad_remove(gradients)) {
            add(LAST_NORM_NAME.to_owned(), to_host(gradient))?;
        }
        Ok(())
    }
}

/// Multiplies every column of `x` by its factor.
pub(crate) fn times_columns(x: Tensor<2>, factors: &Tensor<1>) -> Tensor<2> {
    let x = if factors.is_autodiff() {
        x.autodiff()
    } else {
        x
    };
    x * factors.clone().unsqueeze::<2>()
}

impl Dropout {
    /// Returns a mask whose elements are zero with probability `share`, else `1 / (1 - share)`.
    fn mask(self, shape: [usize; 2], layer: usize, target: Target, device: &Device) -> Tensor<2> {
        let path = [0xd209, self.step, self.part, layer as u64, target as u64];
        let stream = Stream::new(self.seed, &path);
        let keep = 1.0 / (1.0 - self.share);
        let share = f64::from(self.share);
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .into_par_iter()
            .with_min_len(1 << 14)
            .map(|i| {
                if stream.unit(i as u64) < share {
                    0.0
                } else {
                    keep
                }
            })
            .collect();
        Tensor::from_data(
            TensorData::new(values, shape),
            &device.clone().without_autodiff(),
        )
    }
}

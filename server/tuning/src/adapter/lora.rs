//! An adapter on a device: the parts that the decoder adds to its frozen products, multiplies them
//! with, or uses in place of its norms.

mod low_rank;

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rayon::prelude::*;

use fedseal_adapter::{LAST_NORM_NAME, Norm, Target, ia3_name, norm_name, peft_name, rng::Stream};

use crate::{
    Adapter, ModelConfig, TuningError,
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

/// Activation of a block, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Output of the self-attention: after its output matrix, before a norm and the residual.
    AttentionOut,
    /// Output of the feed-forward part, likewise.
    FfnOut,
}

/// Tensors that a pass adds to the activations of each block, `[rows, d_model]`.
pub(crate) struct Taps {
    pub(crate) place: Place,
    pub(crate) added: Vec<Tensor<2>>,
}

/// All parts of an adapter.
pub(crate) struct Lora {
    layers: Vec<LayerParts>,
    last_norm: Option<Tensor<1>>,
    scale: f32,
    norm_offset: f32,
    fused: bool,
    pub(crate) dropout: Option<Dropout>,
    pub(crate) taps: Option<Taps>,
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
        let matrix = |data: &[f32], shape: [usize; 2]| -> Tensor<2> {
            let data = TensorData::new(data.to_vec(), shape);
            leaf(Tensor::from_data(data, device), train)
        };
        let vector = |data: &[f32]| -> Tensor<1> {
            let data = TensorData::new(data.to_vec(), [data.len()]);
            leaf(Tensor::from_data(data, device), train)
        };
        let own_norm = |name: &str| Some(vector(&adapter.tensors.get(name)?.data));
        let rank = adapter.config.rank;
        let layers = (0..model.layers)
            .map(|layer| LayerParts {
                pairs: Target::ALL.map(|target| {
                    let [out, inner] = target.shape(model);
                    let (a, b) = adapter.pair(model, layer, target)?;
                    Some(Pair {
                        a: matrix(a, [rank, inner]),
                        b: matrix(b, [out, rank]),
                    })
                }),
                factors: Target::ALL
                    .map(|target| adapter.factors(model, layer, target).map(&vector)),
                norms: Norm::ALL.map(|norm| {
                    let path = norm.path(model.family.architecture)?;
                    own_norm(&norm_name(layer, path))
                }),
            })
            .collect();
        Ok(Self {
            layers,
            last_norm: own_norm(LAST_NORM_NAME),
            scale: adapter.config.scale(),
            norm_offset: model.norm_offset(),
            fused: model.family.architecture.is_fused(),
            dropout: None,
            taps: None,
        })
    }

    pub(crate) fn pair(&self, layer: usize, target: Target) -> Option<&Pair> {
        self.layers.get(layer)?.pairs[target as usize].as_ref()
    }

    /// Adds a pass's own tensor to the activations of a block, where there is one for the place.
    pub(crate) fn tapped(&self, layer: usize, place: Place, x: Tensor<2>) -> Tensor<2> {
        let taps = self.taps.as_ref().filter(|taps| taps.place == place);
        let Some(added) = taps.and_then(|taps| taps.added.get(layer)) else {
            return x;
        };
        match x.is_autodiff() || added.is_autodiff() {
            true => x.autodiff() + added.clone().autodiff(),
            false => x + added.clone(),
        }
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

    /// The first matrix of the module that holds a matrix.
    fn first_of(&self, target: Target) -> Target {
        match (self.fused, target) {
            (true, Target::K | Target::V) => Target::Q,
            (true, Target::Up) => Target::Gate,
            _ => target,
        }
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
        // Matrices of one module drop the same inputs.
        let first = self.first_of(target);
        let mask = dropout.mask(x.dims(), layer, first, &x.device());
        let thinned = x.clone() * mask;
        weight.forward(x) + low_rank(thinned, a, b, self.scale)
    }

    /// Moves the gradients of all parts to the host and adds them to `sum` by name.
    pub(crate) fn add_gradients(
        &self,
        model: &ModelConfig,
        gradients: &mut Gradients,
        sum: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), TuningError> {
        // `before` values of the tensor come before those of the gradient, which may be a part of `all`.
        let mut add_part = |name: String, gradient: Result<Vec<f32>, TuningError>, before, all| {
            let gradient = gradient?;
            let sum = sum.entry(name).or_default();
            if sum.is_empty() && gradient.len() == all {
                *sum = gradient;
                return Ok(());
            }
            sum.resize(all, 0.0);
            for (sum, value) in sum.iter_mut().skip(before).zip(gradient) {
                *sum += value;
            }
            Ok::<_, TuningError>(())
        };
        // A part that no counted token reaches has no gradient: zero.
        for (layer, parts) in self.layers.iter().enumerate() {
            for (i, target) in Target::ALL.into_iter().enumerate() {
                let place = model.place(target);
                let (module, [out, inner]) = (place.module, place.shape);
                if let Some(pair) = &parts.pairs[i] {
                    let [rank, _] = pair.a.dims();
                    let of_b = (place.rows.start * rank, out * rank);
                    for (side, tensor, (before, all)) in
                        [('A', &pair.a, (0, rank * inner)), ('B', &pair.b, of_b)]
                    {
                        if let Some(gradient) = tensor.grad_remove(gradients) {
                            let name = peft_name(layer, module, side);
                            add_part(name, to_host(gradient), before, all)?;
                        }
                    }
                }
                let factors = parts.factors[i].as_ref();
                if let Some(gradient) = factors.and_then(|leaf| leaf.grad_remove(gradients)) {
                    let (before, all) = match target.scales_input() {
                        true => (0, inner),
                        false => (place.rows.start, out),
                    };
                    add_part(ia3_name(layer, module), to_host(gradient), before, all)?;
                }
            }
            let mut add = |name: String, gradient: Result<Vec<f32>, TuningError>| {
                let gradient = gradient?;
                let all = gradient.len();
                add_part(name, Ok(gradient), 0, all)
            };
            for (leaf, norm) in parts.norms.iter().zip(Norm::ALL) {
                let (Some(leaf), Some(path)) = (leaf, norm.path(model.family.architecture)) else {
                    continue;
                };
                if let Some(gradient) = leaf.grad_remove(gradients) {
                    add(norm_name(layer, path), to_host(gradient))?;
                }
            }
        }
        let last = self.last_norm.as_ref();
        if let Some(gradient) = last.and_then(|leaf| leaf.grad_remove(gradients)) {
            let gradient = to_host(gradient)?;
            let all = gradient.len();
            add_part(LAST_NORM_NAME.to_owned(), Ok(gradient), 0, all)?;
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

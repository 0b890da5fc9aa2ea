//! An adapter on a device: the pairs that the decoder adds to its frozen products.

mod low_rank;

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rayon::prelude::*;

use crate::{
    Adapter, AdapterTensor, ModelConfig, TuningError,
    adapter::{Target, peft_name},
    ops::{self, FrozenWeight},
    rng::Stream,
};
use low_rank::low_rank;

/// The two matrices of one frozen matrix.
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

/// All pairs of an adapter.
pub(crate) struct Lora {
    /// By layer and [`Target`].
    pairs: Vec<[Option<Pair>; 7]>,
    scale: f32,
    pub(crate) dropout: Option<Dropout>,
}

impl Lora {
    /// Copies an adapter to a device. With `train`, every matrix becomes a leaf whose gradient the
    /// backward pass keeps.
    pub(crate) fn upload(
        adapter: &Adapter,
        model: &ModelConfig,
        device: &Device,
        train: bool,
    ) -> Result<Self, TuningError> {
        adapter.check_fits(model)?;
        let tensor = |tensor: &AdapterTensor| {
            let data = TensorData::new(tensor.data.clone(), tensor.shape);
            let tensor = Tensor::<2>::from_data(data, device);
            if train {
                tensor.autodiff().require_grad()
            } else {
                tensor
            }
        };
        let pairs = (0..model.layers)
            .map(|layer| {
                Target::ALL.map(|target| {
                    let a = adapter.tensors.get(&peft_name(layer, target, 'A'))?;
                    let b = adapter.tensors.get(&peft_name(layer, target, 'B'))?;
                    Some(Pair {
                        a: tensor(a),
                        b: tensor(b),
                    })
                })
            })
            .collect();
        Ok(Self {
            pairs,
            scale: adapter.config.scale(),
            dropout: None,
        })
    }

    pub(crate) fn pair(&self, layer: usize, target: Target) -> Option<&Pair> {
        self.pairs.get(layer)?[target as usize].as_ref()
    }

    /// `x · Wᵀ + scale · (drop(x) · Aᵀ) · Bᵀ`.
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

    /// Moves the gradients of all pairs to the host, added to `sum` in the order of
    /// [`Adapter::flat`].
    pub(crate) fn add_gradients(
        &self,
        gradients: &mut Gradients,
        sum: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), TuningError> {
        for (layer, pairs) in self.pairs.iter().enumerate() {
            for (target, pair) in Target::ALL.into_iter().zip(pairs) {
                let Some(pair) = pair else { continue };
                for (side, tensor) in [('A', &pair.a), ('B', &pair.b)] {
                    // A matrix that no counted token reaches has no gradient: zero.
                    let Some(gradient) = tensor.grad_remove(gradients) else {
                        continue;
                    };
                    let gradient = to_host(gradient)?;
                    let sum = sum.entry(peft_name(layer, target, side)).or_default();
                    if sum.is_empty() {
                        *sum = gradient;
                    } else {
                        for (sum, value) in sum.iter_mut().zip(gradient) {
                            *sum += value;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Dropout {
    /// Zero with probability `share`, else `1 / (1 - share)`, for every element.
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

/// The values of a tensor, row-major, on the host.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TuningError> {
    tensor
        .try_into_data()
        .map_err(|error| TuningError::Device(format!("{error:?}")))?
        .try_into_vec::<f32>()
        .map_err(|error| TuningError::Device(format!("{error:?}")))
}

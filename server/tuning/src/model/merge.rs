//! Merging an adapter into a model's weights, and undoing it.

use sha2::{Digest, Sha256};

use burn::tensor::{Tensor, TensorData};

use fedseal_adapter::{LAST_NORM_NAME, Norm, Target, norm_name};

use crate::{
    Adapter, Model, TuningError,
    kernels::{
        gemm::{Left, Right, Start, multiply},
        math, norm, pool,
    },
    model::decoder::Decoder,
    ops::{FrozenWeight, to_host},
};

/// Values that a merge replaced: they restore the model's former weights, bit by bit.
#[must_use = "without it the model cannot be unmerged"]
pub struct Unmerge {
    weights: Vec<(usize, Target, FrozenWeight)>,
    biases: Vec<(usize, Target, Tensor<1>)>,
    norms: Vec<(usize, Norm, Tensor<1>)>,
    last_norm: Option<Tensor<1>>,
    digest: [u8; 32],
}

impl std::fmt::Debug for Unmerge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.weights.len() + self.norms.len();
        f.debug_struct("Unmerge")
            .field("parts", &parts)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Merges an adapter into the weights, so that the model computes the same as with the separate
    /// adapter, up to rounding. The model's digest becomes the digest of both.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when the adapter does not fit, [`TuningError::NotFinite`] when a
    /// merged weight is not finite; the model is then unchanged.
    pub fn merge(&mut self, adapter: &Adapter) -> Result<Unmerge, TuningError> {
        adapter.check_fits(self.config())?;
        let mut hasher = Sha256::new();
        hasher.update(b"fedseal-merged-v1\n");
        hasher.update(self.digest());
        hasher.update(adapter.digest());
        let mut undo = Unmerge {
            weights: Vec::new(),
            biases: Vec::new(),
            norms: Vec::new(),
            last_norm: None,
            digest: self.digest(),
        };
        let device = self.device().clone();
        let merged = pool::run(|| merge(self.decoder_mut(), adapter, &device, &mut undo));
        if let Err(error) = merged {
            self.unmerge(undo);
            return Err(error);
        }
        self.set_digest(hasher.finalize().into());
        Ok(undo)
    }

    /// Removes a merged adapter again. Merges are undone in reverse order.
    pub fn unmerge(&mut self, undo: Unmerge) {
        let decoder = self.decoder_mut();
        for (layer, target, weight) in undo.weights {
            decoder.layers[layer].weights[target as usize] = weight;
        }
        for (layer, target, bias) in undo.biases {
            decoder.layers[layer].biases[target as usize] = Some(bias);
        }
        for (layer, norm, weight) in undo.norms {
            decoder.layers[layer].norms[norm as usize] = Some(weight);
        }
        if let Some(weight) = undo.last_norm {
            decoder.norm = weight;
        }
        self.set_digest(undo.digest);
    }
}

fn merge(
    decoder: &mut Decoder,
    adapter: &Adapter,
    device: &burn::tensor::Device,
    undo: &mut Unmerge,
) -> Result<(), TuningError> {
    let values = |name: &str| {
        adapter
            .tensors
            .get(name)
            .map(|tensor| tensor.data.as_slice())
    };
    let vector = |data: Vec<f32>| {
        let width = data.len();
        Tensor::<1>::from_data(TensorData::new(data, [width]), device)
    };
    let offset = decoder.config.norm_offset();
    let own_norm = |name: &str| {
        let data = values(name)?.iter().map(|value| value + offset);
        Some(vector(data.collect()))
    };
    let architecture = decoder.config.family.architecture;
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        for target in Target::ALL {
            let weight = &mut layer.weights[target as usize];
            let (out, inner) = (weight.out(), weight.inner());
            let pair = adapter.pair(&decoder.config, index, target);
            let factors = adapter.factors(&decoder.config, index, target);
            if pair.is_none() && factors.is_none() {
                continue;
            }
            let mut data = weight.values()?;
            if let Some((a, b)) = pair {
                let rank = adapter.config.rank;
                let mut b = b.to_vec();
                math::scale(&mut b, adapter.config.scale());
                let (left, right) = (Left::rows(&b, rank), Right::rows(a, inner));
                multiply(
                    (out, inner, rank),
                    left,
                    right,
                    &mut data,
                    inner,
                    Start::Output,
                );
            }
            if let Some(factors) = factors {
                if target.scales_input() {
                    norm::multiply_rows(&mut data, factors);
                } else {
                    for (row, factor) in data.chunks_exact_mut(inner).zip(factors) {
                        math::scale(row, *factor);
                    }
                    if let Some(bias) = &mut layer.biases[target as usize] {
                        let mut data = to_host(bias.clone())?;
                        norm::multiply_rows(&mut data, factors);
                        let old = std::mem::replace(bias, vector(data));
                        undo.biases.push((index, target, old));
                    }
                }
            }
            if data.iter().any(|value| !value.is_finite()) {
                return Err(TuningError::NotFinite(format!(
                    "merged weight of layer {index}, {}",
                    target.name()
                )));
            }
            let old = std::mem::replace(
                weight,
                FrozenWeight::with_numerics(data, out, inner, device, weight.numerics()),
            );
            undo.weights.push((index, target, old));
        }
        for which in Norm::ALL {
            let own = which
                .path(architecture)
                .and_then(|path| own_norm(&norm_name(index, path)));
            let slot = &mut layer.norms[which as usize];
            if let (Some(own), Some(slot)) = (own, slot) {
                undo.norms
                    .push((index, which, std::mem::replace(slot, own)));
            }
        }
    }
    if let Some(own) = own_norm(LAST_NORM_NAME) {
        undo.last_norm = Some(std::mem::replace(&mut decoder.norm, own));
    }
    Ok(())
}

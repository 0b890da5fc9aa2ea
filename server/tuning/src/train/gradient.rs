//! The gradient of a batch: parts of examples without padding, their losses, the backward pass.

pub(crate) mod anchored;
pub(crate) mod constrained;
mod direct;
mod packed;
pub(crate) mod tapped;

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor};
use direct::Direct;

use crate::{
    Adapter, Model, Tokens, TrainConfig, TuningError,
    adapter::lora::{Dropout, Lora},
    kernels::parallel,
    ops::{self, to_host},
};

pub(crate) use packed::{ByName, Packed, parts};

/// Loss and gradients of one batch.
#[derive(Clone, Debug, Default)]
pub struct BatchGradients {
    /// Mean loss of the response tokens, nats.
    pub loss: f32,
    /// Gradient of that loss by the names of the adapter's tensors.
    pub sums: BTreeMap<String, Vec<f32>>,
    /// Number of tokens that were computed.
    pub computed: u64,
}

/// Most tokens that one forward and backward pass holds, unless a single example is longer. Larger
/// batches are computed in parts whose gradients are added, in order.
const PART_TOKENS: usize = 1024;

/// Computes loss and gradients of one batch.
pub(crate) fn gradients(
    model: &Model,
    adapter: &Adapter,
    batch: &[Tokens],
    config: &TrainConfig,
    step: u64,
) -> Result<BatchGradients, TuningError> {
    if let Some(direct) = Direct::new(model.decoder(), adapter)? {
        return direct_gradients(&direct, batch, config, step);
    }
    tensor_gradients(model, adapter, batch, config, step)
}

/// As [`gradients`], on the kernels alone.
fn direct_gradients(
    direct: &Direct<'_>,
    batch: &[Tokens],
    config: &TrainConfig,
    step: u64,
) -> Result<BatchGradients, TuningError> {
    let counted: usize = batch.iter().map(Tokens::response_len).sum();
    let mut sums = BTreeMap::new();
    let (mut loss, mut computed) = (0.0, 0);
    for examples in micro_parts(batch, config) {
        let packed = Packed::sharing(examples);
        computed += packed.ids.len() as u64;
        let factor = 1.0 / counted as f32;
        // A step is a chain of some thousand pieces of work, many of them small.
        loss += parallel::with_team(|| direct.run(&packed, factor, config.recompute, &mut sums));
    }
    let loss = (loss / counted as f64) as f32;
    if !loss.is_finite() {
        return Err(TuningError::NotFinite(format!(
            "the loss of step {}",
            step + 1
        )));
    }
    Ok(BatchGradients {
        loss,
        sums,
        computed,
    })
}

/// Cuts a batch into parts, in order.
fn micro_parts<'a>(
    batch: &'a [Tokens],
    config: &TrainConfig,
) -> impl Iterator<Item = &'a [Tokens]> {
    let micro = batch.chunks(config.batch_size.max(1));
    micro.flat_map(|micro| parts(micro, PART_TOKENS))
}

/// As [`gradients`], for any adapter, on any device.
fn tensor_gradients(
    model: &Model,
    adapter: &Adapter,
    batch: &[Tokens],
    config: &TrainConfig,
    step: u64,
) -> Result<BatchGradients, TuningError> {
    let mut lora = Lora::upload(adapter, model.config(), model.device(), true)?;
    // The same tensors without gradients, for the forward pass that keeps no graph.
    let mut untracked = match config.recompute {
        true => Some(Lora::upload(
            adapter,
            model.config(),
            model.device(),
            false,
        )?),
        false => None,
    };
    let counted: usize = batch.iter().map(Tokens::response_len).sum();
    let mut sums = BTreeMap::new();
    let mut loss_sum = 0.0f64;
    let mut computed = 0;
    for (part, examples) in micro_parts(batch, config).enumerate() {
        let dropout = dropout_of(adapter, config, step, part);
        lora.dropout = dropout;
        // Dropout draws for every token of every example, so nothing is shared then.
        let packed = match dropout {
            None => Packed::sharing(examples),
            Some(_) => Packed::new(examples),
        };
        computed += packed.ids.len() as u64;
        let share = packed.targets.len() as f64 / counted as f64;
        if let Some(untracked) = &mut untracked {
            untracked.dropout = dropout;
            let pass = Recompute {
                model,
                packed: &packed,
                lora: &lora,
                untracked,
            };
            loss_sum += pass.add_gradients(share, step, &mut sums)? * share;
            continue;
        }
        let (mean, _) = add_part(model, &packed, &lora, share, step, &mut sums)?;
        loss_sum += mean * share;
    }
    Ok(BatchGradients {
        loss: loss_sum as f32,
        sums,
        computed,
    })
}

/// Dropout of a part of a step; none where the adapter has none.
fn dropout_of(adapter: &Adapter, config: &TrainConfig, step: u64, part: usize) -> Option<Dropout> {
    (adapter.config.dropout > 0.0).then_some(Dropout {
        share: adapter.config.dropout,
        seed: config.seed,
        step,
        part: part as u64,
    })
}

/// Adds the gradients of one part, whose share of the batch's counted tokens is `share`. Returns its mean
/// loss, and the gradients of what is not the adapter.
fn add_part(
    model: &Model,
    packed: &Packed,
    lora: &Lora,
    share: f64,
    step: u64,
    sums: &mut ByName,
) -> Result<(f64, Gradients), TuningError> {
    let decoder = model.decoder();
    let hidden = decoder.forward(
        &packed.ids,
        &packed.segments.positions(),
        &packed.segments,
        Some(lora),
        Some(&packed.rows),
    );
    let loss: Tensor<1> = ops::cross_entropy(
        hidden,
        decoder.vocab(),
        model.config().logit_cap(),
        &packed.targets,
    );
    let mean = finite(&loss, step)?;
    let mut gradients = weighted(loss, share).backward();
    lora.add_gradients(model.config(), &mut gradients, sums)?;
    Ok((mean, gradients))
}

/// Euclidean norm of values, summed in f64 in their order.
pub(crate) fn norm<'a>(values: impl Iterator<Item = &'a f32>) -> f64 {
    let squares = values.map(|&value| f64::from(value) * f64::from(value));
    squares.sum::<f64>().sqrt()
}

/// Returns the value of a loss.
fn finite(loss: &Tensor<1>, step: u64) -> Result<f64, TuningError> {
    let value = to_host(loss.clone().without_autodiff())?;
    match value.first() {
        Some(value) if value.is_finite() => Ok(f64::from(*value)),
        _ => Err(TuningError::NotFinite(format!(
            "the loss of step {}",
            step + 1
        ))),
    }
}

/// Weights a part's mean loss with its share of tokens, so that the sum is the batch's mean.
fn weighted(loss: Tensor<1>, share: f64) -> Tensor<1> {
    if share < 1.0 {
        loss.mul_scalar(share)
    } else {
        loss
    }
}

/// Gradient checkpointing (Chen et al. 2016): the forward pass keeps only each block's input, and
/// the backward pass recomputes each block with its graph. A block gives the same values both times
/// (dropout is counter-based), so the gradients have the same bits as without checkpointing.
struct Recompute<'a> {
    model: &'a Model,
    packed: &'a Packed,
    lora: &'a Lora,
    untracked: &'a Lora,
}

impl Recompute<'_> {
    /// Adds the gradients of one part, and returns its mean loss.
    fn add_gradients(&self, share: f64, step: u64, sums: &mut ByName) -> Result<f64, TuningError> {
        let (decoder, packed) = (self.model.decoder(), self.packed);
        let shape = self.model.config();
        let positions = packed.segments.positions();
        let block = |index: usize, x: Tensor<2>, lora: &Lora| {
            let attend = &mut &packed.segments;
            decoder.block(index, x, &positions, attend, Some(lora), Some(&packed.rows))
        };
        let mut inputs = Vec::with_capacity(decoder.layers.len());
        let mut x = decoder.embed(&packed.ids);
        for index in 0..decoder.layers.len() {
            inputs.push(x.clone());
            x = block(index, x, self.untracked);
        }
        let leaf = x.autodiff().require_grad();
        let loss = ops::cross_entropy(
            decoder.finish(leaf.clone(), Some(self.lora)),
            decoder.vocab(),
            self.model.config().logit_cap(),
            &packed.targets,
        );
        let value = finite(&loss, step)?;
        let mut gradients = weighted(loss, share).backward();
        self.lora.add_gradients(shape, &mut gradients, sums)?;
        let mut pull = leaf.grad_remove(&mut gradients);
        let lowest = self.lora.lowest_layer();
        while let (Some(x), Some(gradient)) = (inputs.pop(), pull.take()) {
            let index = inputs.len();
            if lowest.is_none_or(|lowest| index < lowest) {
                break;
            }
            // Below the lowest part of the adapter no gradient is needed.
            let leaf = match Some(index) == lowest {
                true => x,
                false => x.autodiff().require_grad(),
            };
            let out = block(index, leaf.clone(), self.lora);
            let mut gradients = (out * gradient.autodiff()).sum().backward();
            self.lora.add_gradients(shape, &mut gradients, sums)?;
            if Some(index) != lowest {
                pull = leaf.grad_remove(&mut gradients);
            }
        }
        Ok(value)
    }
}

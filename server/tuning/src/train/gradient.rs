//! The gradient of a batch: parts of examples without padding, their losses, the backward pass.

mod direct;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use direct::Direct;

use crate::{
    Adapter, Model, Tokens, TrainConfig, TuningError,
    adapter::lora::{Dropout, Lora, to_host},
    kernels::parallel,
    ops::{self, Segments},
};

/// Gradients by the names of their tensors.
pub(crate) type ByName = BTreeMap<String, Vec<f32>>;

/// Loss and gradients of one batch.
pub(crate) struct BatchGradients {
    pub(crate) loss: f32,
    pub(crate) sums: ByName,
    /// Number of tokens that were computed.
    pub(crate) computed: u64,
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
    let decoder = model.decoder();
    let architecture = model.config().family.architecture;
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
        let dropout = (adapter.config.dropout > 0.0).then_some(Dropout {
            share: adapter.config.dropout,
            seed: config.seed,
            step,
            part: part as u64,
        });
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
        let hidden = decoder.forward(
            &packed.ids,
            &packed.segments.positions(),
            &packed.segments,
            Some(&lora),
            Some(&packed.rows),
        );
        let loss: Tensor<1> = ops::cross_entropy(
            hidden,
            decoder.vocab(),
            model.config().logit_cap(),
            &packed.targets,
        );
        loss_sum += finite(&loss, step)? * share;
        let mut gradients = weighted(loss, share).backward();
        lora.add_gradients(architecture, &mut gradients, &mut sums)?;
    }
    Ok(BatchGradients {
        loss: loss_sum as f32,
        sums,
        computed,
    })
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
        let architecture = self.model.config().family.architecture;
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
        self.lora
            .add_gradients(architecture, &mut gradients, sums)?;
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
            self.lora
                .add_gradients(architecture, &mut gradients, sums)?;
            if Some(index) != lowest {
                pull = leaf.grad_remove(&mut gradients);
            }
        }
        Ok(value)
    }
}

/// Cuts a batch into runs of examples of at most `budget` tokens, at least one example each.
pub(crate) fn parts(batch: &[Tokens], budget: usize) -> impl Iterator<Item = &[Tokens]> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let mut count = 0;
        for example in rest {
            if count > 0 && tokens + example.ids.len() > budget {
                break;
            }
            tokens += example.ids.len();
            count += 1;
        }
        let (part, tail) = rest.split_at(count);
        rest = tail;
        (!part.is_empty()).then_some(part)
    })
}

/// Examples one after the other, without padding.
pub(crate) struct Packed {
    pub(crate) ids: Vec<u32>,
    pub(crate) segments: Segments,
    /// Rows whose next token the loss counts.
    pub(crate) rows: Vec<usize>,
    /// The next token of each of these rows.
    pub(crate) targets: Vec<u32>,
}

/// Fewest common first tokens that are worth sharing.
const WORTH_SHARING: usize = 8;

impl Packed {
    /// Packs every example separately.
    pub(crate) fn new(examples: &[Tokens]) -> Self {
        Self::behind(0, examples)
    }

    /// Packs examples so that the tokens that all begin with (a template's, a system prompt's) are
    /// held and computed once. Causal attention gives these tokens the same values in every
    /// example, so each row gets the same bits as from [`new`](Self::new). Gradients are the same
    /// sums in another order.
    pub(crate) fn sharing(examples: &[Tokens]) -> Self {
        Self::behind(common_beginning(examples), examples)
    }

    fn behind(shared: usize, examples: &[Tokens]) -> Self {
        let lengths = examples.iter().map(|tokens| tokens.ids.len() - shared);
        let beginning = examples.first().map(|tokens| &tokens.ids[..shared]);
        let mut packed = Self {
            ids: beginning.unwrap_or_default().to_vec(),
            segments: Segments::sharing(shared, lengths),
            rows: Vec::new(),
            targets: Vec::new(),
        };
        for tokens in examples {
            let base = packed.ids.len();
            packed.ids.extend_from_slice(&tokens.ids[shared..]);
            for (index, &target) in tokens
                .ids
                .iter()
                .enumerate()
                .skip(tokens.response_start.max(1))
            {
                packed.rows.push(base + index - 1 - shared);
                packed.targets.push(target);
            }
        }
        packed
    }
}

/// Returns how many tokens all examples begin with, or 0 where sharing them is not worth it. A row
/// that the loss counts is not among them: it has another target in every example.
fn common_beginning(examples: &[Tokens]) -> usize {
    let [first, rest @ ..] = examples else {
        return 0;
    };
    if rest.is_empty() {
        return 0;
    }
    let free = |tokens: &Tokens| tokens.response_start.max(1) - 1;
    let alike = |tokens: &Tokens| {
        let pairs = first.ids.iter().zip(&tokens.ids);
        pairs.take_while(|(a, b)| a == b).count().min(free(tokens))
    };
    let common = rest.iter().map(alike).fold(free(first), usize::min);
    match common >= WORTH_SHARING {
        true => common.min(first.ids.len()),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(length: usize, response_start: usize) -> Tokens {
        Tokens {
            ids: (0..length as u32).collect(),
            response_start,
            cut: false,
        }
    }

    #[test]
    fn a_row_predicts_the_next_token_of_its_own_example() {
        let packed = Packed::new(&[tokens(4, 2), tokens(3, 1)]);
        assert_eq!(packed.ids, [0, 1, 2, 3, 0, 1, 2]);
        assert_eq!(packed.rows, [1, 2, 4, 5]);
        assert_eq!(packed.targets, [2, 3, 1, 2]);
    }

    #[test]
    fn a_common_beginning_is_held_once_and_changes_no_row() {
        let mut other = tokens(14, 12);
        other.ids[10] = 99;
        let packed = Packed::sharing(&[tokens(12, 11), other.clone()]);
        let ids = [
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..],
            &[10, 11],
            &[99, 11, 12, 13],
        ]
        .concat();
        assert_eq!(packed.ids, ids);
        assert_eq!(packed.segments.shared(), 10);
        assert_eq!(packed.segments.positions()[10..], [10, 11, 10, 11, 12, 13]);
        assert_eq!(packed.rows, [10, 13, 14]);
        assert_eq!(packed.targets, [11, 12, 13]);
        // A counted row has another target in each example; few tokens are not worth it.
        assert_eq!(
            Packed::sharing(&[tokens(12, 6), other]).segments.shared(),
            0
        );
        assert_eq!(Packed::sharing(&[tokens(12, 11)]).segments.shared(), 0);
    }

    #[test]
    fn parts_keep_to_the_budget_and_lose_nothing() {
        let batch: Vec<Tokens> = [3, 5, 20, 1, 1].map(|n| tokens(n, 1)).into();
        let lengths: Vec<usize> = parts(&batch, 8).map(<[Tokens]>::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
    }
}

//! LoRA training on a frozen base.

use std::{collections::BTreeMap, ops::ControlFlow};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Example, Model, Tokens, TuningError,
    lora::{Dropout, Lora, to_host},
    ops::{self, Segments},
    optimizer::AdamConfig,
    trainer::Trainer,
};

/// How [`train`] trains. The learning rate is constant: a schedule over rounds is the caller's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Learning rate of AdamW.
    pub learning_rate: f32,
    /// Longest example, tokens; longer prompts lose their beginning.
    pub max_length: usize,
    /// Longest response, tokens; a longer one is cut and gets no end token.
    pub max_response_tokens: usize,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Largest Euclidean norm of a step's gradient; `None` leaves it as it is.
    pub clip_norm: Option<f32>,
    /// Names the order of the data and the dropout.
    pub seed: u64,
    /// FedProx: pulls towards the start adapter with `mu / 2 · ‖w - w₀‖²`; 0 is off.
    pub proximal_mu: f32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 10,
            batch_size: 16,
            learning_rate: 5e-5,
            max_length: 512,
            max_response_tokens: 512,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: Some(1.0),
            seed: 0,
            proximal_mu: 0.0,
        }
    }
}

impl TrainConfig {
    pub(crate) fn validate(&self) -> Result<(), TuningError> {
        let bad = |text: String| Err(TuningError::Config(text));
        if self.batch_size == 0 {
            return bad("batch_size is 0".to_owned());
        }
        if self.max_length < 2 || self.max_response_tokens == 0 {
            return bad("max_length below 2 or max_response_tokens 0".to_owned());
        }
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0) {
            return bad(format!("learning_rate {}", self.learning_rate));
        }
        if !(self.proximal_mu.is_finite() && self.proximal_mu >= 0.0) {
            return bad(format!("proximal_mu {}", self.proximal_mu));
        }
        if self
            .clip_norm
            .is_some_and(|norm| !(norm.is_finite() && norm > 0.0))
        {
            return bad("clip_norm is not above 0".to_owned());
        }
        self.adam().validate()
    }

    pub(crate) fn adam(&self) -> AdamConfig {
        AdamConfig {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
        }
    }
}

/// What the progress function hears after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepEvent {
    /// Finished steps, from 1.
    pub step: usize,
    /// Steps of the whole call.
    pub steps: usize,
    /// Mean loss of the step's response tokens, nats.
    pub loss: f32,
    /// Tokens that this step processed, prompts included.
    pub tokens: u64,
    /// Tokens that it computed: a beginning that examples share counts once.
    pub computed: u64,
}

/// What [`train`] gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The adapter after the last step.
    pub adapter: Adapter,
    /// Loss of every step.
    pub losses: Vec<f32>,
    /// Tokens of all steps, prompts included.
    pub tokens: u64,
}

/// Tokens that one forward and backward pass holds at most, unless a single example is longer.
/// Batches beyond it are computed in parts whose gradients are added, in order.
const PART_TOKENS: usize = 1024;

/// Trains an adapter from `start` on examples.
///
/// The loss counts response tokens only and is the mean over those of a batch. The data come in a
/// seeded order, shuffled anew for every pass. The same inputs give the same bits on the CPU,
/// whatever the number of threads.
///
/// # Errors
/// [`TuningError::Config`] for numbers out of range or no examples, [`TuningError::Adapter`] when
/// `start` does not fit the model, [`TuningError::Stopped`] when `progress` breaks,
/// [`TuningError::NotFinite`] when the loss or the gradient explodes, and the tokenizer's errors.
pub fn train(
    model: &Model,
    start: &Adapter,
    examples: &[Example],
    config: &TrainConfig,
    progress: &mut dyn FnMut(StepEvent) -> ControlFlow<()>,
) -> Result<Trained, TuningError> {
    let mut trainer = Trainer::new(model, start, examples, config)?;
    while let Some(event) = trainer.step()? {
        if progress(event).is_break() {
            return Err(TuningError::Stopped { steps: event.step });
        }
    }
    trainer.finish()
}

/// What one batch gives.
pub(crate) struct BatchGradients {
    pub(crate) loss: f32,
    /// By the adapter's tensor names.
    pub(crate) sums: BTreeMap<String, Vec<f32>>,
    /// Tokens that were computed.
    pub(crate) computed: u64,
}

/// Loss and gradients of one batch.
pub(crate) fn gradients(
    model: &Model,
    adapter: &Adapter,
    batch: &[Tokens],
    seed: u64,
    step: u64,
) -> Result<BatchGradients, TuningError> {
    let decoder = model.decoder();
    let mut lora = Lora::upload(adapter, model.config(), model.device(), true)?;
    let counted: usize = batch.iter().map(Tokens::response_len).sum();
    let mut sums = BTreeMap::new();
    let mut loss_sum = 0.0f64;
    let mut computed = 0;
    for (part, examples) in parts(batch, PART_TOKENS).enumerate() {
        if adapter.config.dropout > 0.0 {
            let share = adapter.config.dropout;
            lora.dropout = Some(Dropout {
                share,
                seed,
                step,
                part: part as u64,
            });
        }
        // Dropout draws for every token of every example: nothing is shared then.
        let packed = match lora.dropout {
            None => Packed::sharing(examples),
            Some(_) => Packed::new(examples),
        };
        computed += packed.ids.len() as u64;
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
        let share = packed.targets.len() as f64 / counted as f64;
        let value = to_host(loss.clone().without_autodiff())?
            .first()
            .copied()
            .unwrap_or(f32::NAN);
        if !value.is_finite() {
            return Err(TuningError::NotFinite(format!(
                "the loss of step {}",
                step + 1
            )));
        }
        loss_sum += f64::from(value) * share;
        // The mean over the batch is the parts' means, weighted by their tokens.
        let loss = if share < 1.0 {
            loss.mul_scalar(share)
        } else {
            loss
        };
        let architecture = model.config().family.architecture;
        lora.add_gradients(architecture, &mut loss.backward(), &mut sums)?;
    }
    Ok(BatchGradients {
        loss: loss_sum as f32,
        sums,
        computed,
    })
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

/// Fewer tokens than this that examples begin with alike are not worth sharing.
const WORTH_SHARING: usize = 8;

impl Packed {
    /// Every example by itself.
    pub(crate) fn new(examples: &[Tokens]) -> Self {
        Self::behind(0, examples)
    }

    /// With the tokens that all examples begin with (a template's, a system prompt's) held and
    /// computed once. Causal attention gives them the same values in every example, so each row
    /// gets the same bits as from [`new`](Self::new); gradients are the same sums in another
    /// order.
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

/// How many tokens all examples begin with, as far as sharing them is worth it. A row that the
/// loss counts is not among them: it has another target in every example.
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

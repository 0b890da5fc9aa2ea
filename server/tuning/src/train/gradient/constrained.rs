//! The gradient of a batch whose tokens count by weights, which follow from their log-probabilities under the
//! adapter and under a reference.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use super::{BatchGradients, dropout_of, micro_parts, packed::Packed};
use crate::{Adapter, Model, Tokens, TrainConfig, TuningError, adapter::lora::Lora, ops::to_host};

/// Weight of a response token: its place in the response from 0, tokens that the loss does not count among
/// them, and its log-probabilities under the adapter and under the reference.
pub(crate) type Weigh<'a> = &'a dyn Fn(usize, f64, f64) -> f64;

/// As [`gradients`](super::gradients), of `mean over the response tokens of weight * -log p`; weights are
/// constants. Always in tensors, with the logits of a part in memory, `[rows, vocab]`.
pub(crate) fn constrained_gradients(
    model: &Model,
    [adapter, reference]: [&Adapter; 2],
    batch: &[Tokens],
    config: &TrainConfig,
    step: u64,
    weigh: Weigh<'_>,
) -> Result<BatchGradients, TuningError> {
    let (shape, device) = (model.config(), model.device());
    let mut lora = Lora::upload(adapter, shape, device, true)?;
    let other = Lora::upload(reference, shape, device, false)?;
    let counted: usize = batch.iter().map(Tokens::response_len).sum();
    let mut found = BatchGradients::default();
    let mut loss = 0.0;
    for (part, examples) in micro_parts(batch, config).enumerate() {
        lora.dropout = dropout_of(adapter, config, step, part);
        let packed = Packed::new(examples);
        found.computed += 2 * packed.ids.len() as u64;
        let tracked = log_probabilities(model, &packed, &lora);
        let own = to_host(tracked.clone().without_autodiff())?;
        let theirs = to_host(log_probabilities(model, &packed, &other))?;
        let places = examples.iter().flat_map(|tokens| {
            let counted = tokens.counted().filter(|index| *index > 0);
            counted.map(move |index| index - tokens.response_start)
        });
        let mut weights = Vec::with_capacity(own.len());
        for ((place, own), theirs) in places.zip(own).zip(theirs) {
            let (own, theirs) = (f64::from(own), f64::from(theirs));
            let weight = weigh(place, own, theirs);
            loss -= weight * own;
            weights.push(weight as f32);
        }
        let rows = weights.len();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [rows, 1]), device);
        let mean = (tracked * weights.autodiff()).sum();
        let mut gradients = mean.mul_scalar(-1.0 / counted as f32).backward();
        lora.add_gradients(shape, &mut gradients, &mut found.sums)?;
    }
    found.loss = (loss / counted as f64) as f32;
    match found.loss.is_finite() {
        true => Ok(found),
        false => Err(TuningError::NotFinite(format!(
            "the loss of step {}",
            step + 1
        ))),
    }
}

/// Log-probabilities of the targets, `[rows, 1]`.
fn log_probabilities(model: &Model, packed: &Packed, lora: &Lora) -> Tensor<2> {
    let decoder = model.decoder();
    let hidden = decoder.forward(
        &packed.ids,
        &packed.segments.positions(),
        &packed.segments,
        Some(lora),
        Some(&packed.rows),
    );
    let logits = decoder.logits(hidden);
    let targets: Vec<i64> = packed.targets.iter().map(|id| i64::from(*id)).collect();
    let targets = TensorData::new(targets, [packed.targets.len(), 1]);
    let targets = Tensor::<2, Int>::from_data(targets, &logits.device());
    log_softmax(logits, 1).gather(1, targets)
}

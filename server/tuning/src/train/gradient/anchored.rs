//! The gradient of the distance between final hidden states and given ones.

use burn::tensor::{Tensor, TensorData};

use super::{BatchGradients, finite, weighted};
use crate::{
    Adapter, Model, TuningError,
    adapter::lora::Lora,
    ops::{Segments, to_host},
};

/// A prompt's tokens, and the hidden state that its last token is drawn to.
#[derive(Clone, Debug)]
pub(crate) struct Anchored {
    ids: Vec<u32>,
    /// `[d_model]`
    target: Vec<f32>,
}

impl Anchored {
    /// The hidden state of a prompt under an adapter.
    ///
    /// # Errors
    /// [`TuningError::Config`] for no token or too many; [`TuningError::Adapter`] for an adapter of another
    /// model.
    pub(crate) fn at(model: &Model, adapter: &Adapter, ids: Vec<u32>) -> Result<Self, TuningError> {
        model.decoder().check(&ids)?;
        if ids.is_empty() {
            return Err(TuningError::Config(
                "an anchor prompt without a token".to_owned(),
            ));
        }
        let lora = Lora::upload(adapter, model.config(), model.device(), false)?;
        let target = to_host(last_hidden(model, &lora, &ids))?;
        Ok(Self { ids, target })
    }
}

/// Final hidden state of the last token, `[1, d_model]`. There is a token.
fn last_hidden(model: &Model, lora: &Lora, ids: &[u32]) -> Tensor<2> {
    let segments = Segments::from_lengths([ids.len()]);
    let positions = segments.positions();
    let last = ids.len() - 1;
    let decoder = model.decoder();
    decoder.forward(ids, &positions, &segments, Some(lora), Some(&[last]))
}

/// Gradient of the mean over the anchors of their mean squared distance, which is the loss.
///
/// # Errors
/// [`TuningError::NotFinite`] for a distance that is not finite; [`TuningError::Adapter`] for an adapter of
/// another model.
pub(crate) fn anchored_gradients(
    model: &Model,
    adapter: &Adapter,
    anchors: &[Anchored],
    step: u64,
) -> Result<BatchGradients, TuningError> {
    let lora = Lora::upload(adapter, model.config(), model.device(), true)?;
    let share = 1.0 / anchors.len().max(1) as f64;
    let mut found = BatchGradients::default();
    let mut distance = 0.0;
    for Anchored { ids, target } in anchors {
        let shape = [1, target.len()];
        let target = TensorData::new(target.clone(), shape);
        let target = Tensor::<2>::from_data(target, model.device());
        let off = last_hidden(model, &lora, ids) - target.autodiff();
        let loss: Tensor<1> = (off.clone() * off).mean();
        distance += finite(&loss, step)? * share;
        let mut gradients = weighted(loss, share).backward();
        lora.add_gradients(model.config(), &mut gradients, &mut found.sums)?;
        found.computed += ids.len() as u64;
    }
    found.loss = distance as f32;
    Ok(found)
}

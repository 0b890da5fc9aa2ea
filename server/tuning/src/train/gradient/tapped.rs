//! The gradient of a batch with constants added to activations, or with the gradient in activations beside it.

use burn::tensor::{Tensor, TensorData};

use super::{BatchGradients, add_part, dropout_of, micro_parts, norm, packed::Packed};
use crate::{
    Adapter, Model, Tokens, TrainConfig, TuningError,
    adapter::lora::{Lora, Place, Taps},
    ops::to_host,
};

/// Values at a place: by part of the batch and by block, `[rows, d_model]` each, row-major. The last block
/// has only rows whose next token the loss counts: no other row of it has a gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    place: Place,
    parts: Vec<Vec<Vec<f32>>>,
}

impl Activations {
    /// Joint Euclidean norm over blocks, examples and tokens, summed in f64.
    pub fn norm(&self) -> f64 {
        norm(self.parts.iter().flatten().flatten())
    }

    /// Values times a factor.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        let values = self.parts.iter_mut().flatten().flatten();
        values.for_each(|value| *value *= factor);
        self
    }
}

/// Work of a pass at a place.
pub(crate) enum Tap<'a> {
    /// The gradient of the batch's loss in the activations is returned.
    Watch(Place),
    /// These constants are added to the activations.
    Shift(&'a Activations),
}

/// As [`gradients`](super::gradients), with a tap; returns the gradients that it watched, too. Always in
/// tensors, without a shared beginning (each example has its own activations) and without recomputing.
pub(crate) fn tapped_gradients(
    model: &Model,
    adapter: &Adapter,
    batch: &[Tokens],
    config: &TrainConfig,
    step: u64,
    tap: &Tap<'_>,
) -> Result<(BatchGradients, Activations), TuningError> {
    let shape = model.config();
    let mut lora = Lora::upload(adapter, shape, model.device(), true)?;
    let counted: usize = batch.iter().map(Tokens::response_len).sum();
    let place = match tap {
        Tap::Watch(place) => *place,
        Tap::Shift(values) => values.place,
    };
    let mut found = BatchGradients::default();
    let (mut loss, mut watched) = (0.0f64, Vec::new());
    for (part, examples) in micro_parts(batch, config).enumerate() {
        lora.dropout = dropout_of(adapter, config, step, part);
        let packed = Packed::new(examples);
        found.computed += packed.ids.len() as u64;
        let sizes = sizes(&packed, [shape.layers, shape.d_model]);
        let mut added = Vec::with_capacity(shape.layers);
        for (layer, size) in sizes.iter().enumerate() {
            let values = match tap {
                Tap::Watch(_) => vec![0.0; size[0] * size[1]],
                Tap::Shift(all) => values_of(all, part, layer, size[0] * size[1])?,
            };
            let tensor = Tensor::<2>::from_data(TensorData::new(values, *size), model.device());
            added.push(match tap {
                Tap::Watch(_) => tensor.autodiff().require_grad(),
                Tap::Shift(_) => tensor,
            });
        }
        lora.taps = Some(Taps { place, added });
        let share = packed.targets.len() as f64 / counted as f64;
        let (mean, mut gradients) = add_part(model, &packed, &lora, share, step, &mut found.sums)?;
        loss += mean * share;
        if let (Tap::Watch(_), Some(taps)) = (tap, lora.taps.take()) {
            let mut by_layer = Vec::with_capacity(shape.layers);
            for (leaf, [rows, width]) in taps.added.iter().zip(&sizes) {
                by_layer.push(match leaf.grad_remove(&mut gradients) {
                    Some(gradient) => to_host(gradient)?,
                    None => vec![0.0; rows * width],
                });
            }
            watched.push(by_layer);
        }
    }
    found.loss = loss as f32;
    let parts = watched;
    Ok((found, Activations { place, parts }))
}

/// Rows and columns of each block's activations of a part.
fn sizes(packed: &Packed, [layers, width]: [usize; 2]) -> Vec<[usize; 2]> {
    let tokens = packed.ids.len();
    let rows = |layer| match layer + 1 == layers {
        true => packed.rows.len().min(tokens),
        false => tokens,
    };
    (0..layers).map(|layer| [rows(layer), width]).collect()
}

fn values_of(
    all: &Activations,
    part: usize,
    layer: usize,
    length: usize,
) -> Result<Vec<f32>, TuningError> {
    let values = all.parts.get(part).and_then(|layers| layers.get(layer));
    let values = values.filter(|values| values.len() == length);
    values.cloned().ok_or_else(|| {
        TuningError::Config("constants for activations of another batch or model".to_owned())
    })
}

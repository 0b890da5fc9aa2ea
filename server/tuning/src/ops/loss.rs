//! The loss of a language model.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use super::FrozenWeight;

/// Mean cross-entropy of `targets` under `softmax(hidden · vocabᵀ)`, shape `[1]`.
///
/// `hidden` is `[rows, width]`: only the rows whose next token counts. `targets` holds one
/// token a row. Differentiable in `hidden`.
///
/// # Panics
/// When there is not one target per row, or no row.
pub fn cross_entropy(hidden: Tensor<2>, vocab: &FrozenWeight, targets: &[u32]) -> Tensor<1> {
    let rows = hidden.dims()[0];
    assert!(rows > 0 && rows == targets.len(), "one target per row");
    let targets: Vec<i64> = targets.iter().map(|&t| i64::from(t)).collect();
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &hidden.device());
    let log_probability = log_softmax(vocab.forward(hidden), 1).gather(1, targets);
    log_probability.mean().neg()
}

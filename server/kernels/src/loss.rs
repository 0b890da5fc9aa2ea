//! Cross-entropy fused with the vocabulary product.

use super::{
    attention::{exp_row, max_of},
    gemm::{Matrix, Start},
    math::{self, ln},
    memory::{Shared, with_scratch},
    parallel,
};

/// Most logits in memory at a time: 48 MiB, so that one read of the vocabulary matrix from memory
/// serves about 200 rows.
const LOGITS: usize = 12 << 20;

/// Returns the natural logarithm of every target's probability under `softmax(hidden · vocabᵀ)`.
///
/// `hidden` is `[targets.len(), vocab.inner()]`. With a cap, logits become `cap · tanh(logit /
/// cap)` first.
///
/// # Panics
/// When a target lies beyond the vocabulary or the length of `hidden` is another.
pub fn log_probabilities(
    hidden: &[f32],
    vocab: &Matrix,
    cap: Option<f32>,
    targets: &[u32],
) -> Vec<f32> {
    let mut result = vec![0.0; targets.len()];
    blocks(hidden, vocab, cap, targets, |block| {
        let Block { first, logs, .. } = block;
        result[first..first + logs.len()].copy_from_slice(logs);
    });
    result
}

/// As [`log_probabilities`], and returns the gradient in `hidden` of the summed loss, the negated
/// sum of the logarithms. `vocab_back` is the transposed vocabulary.
///
/// # Panics
/// As [`log_probabilities`].
pub fn with_gradient(
    hidden: &[f32],
    vocab: &Matrix,
    vocab_back: &Matrix,
    cap: Option<f32>,
    targets: &[u32],
) -> (Vec<f32>, Vec<f32>) {
    let width = vocab.inner();
    let mut result = vec![0.0; targets.len()];
    let mut gradient = vec![0.0; hidden.len()];
    blocks(hidden, vocab, cap, targets, |block| {
        let (first, rows) = (block.first, block.targets.len());
        result[first..first + rows].copy_from_slice(block.logs);
        let probabilities = block.probabilities;
        let each = probabilities.chunks_exact_mut(vocab.out());
        for (row, &target) in each.zip(block.targets) {
            row[target as usize] -= 1.0;
        }
        if cap.is_some() {
            multiply_by(probabilities, block.slopes);
        }
        let out = &mut gradient[first * width..(first + rows) * width];
        vocab_back.multiply(probabilities, rows, out, Start::Zero);
    });
    (result, gradient)
}

/// Consecutive rows of a loss.
pub struct Block<'a> {
    /// `[rows, vocab]`
    pub probabilities: &'a mut [f32],
    /// With a cap, the derivative of each capped logit, `[rows, vocab]`.
    slopes: &'a [f32],
    /// The rows' targets.
    pub targets: &'a [u32],
    /// The first row.
    pub first: usize,
    /// The targets' log-probabilities.
    pub logs: &'a [f32],
}

/// Calls `work` with blocks of consecutive rows, in order.
pub fn blocks(
    hidden: &[f32],
    vocab: &Matrix,
    cap: Option<f32>,
    targets: &[u32],
    mut work: impl FnMut(Block<'_>),
) {
    let (out, width) = (vocab.out(), vocab.inner());
    assert_eq!(hidden.len(), targets.len() * width, "one target per row");
    assert!(
        targets.iter().all(|&t| (t as usize) < out),
        "targets within the vocabulary"
    );
    let most = (LOGITS / out).max(1);
    let count = targets.len().div_ceil(most).max(1);
    let rows = targets.len().div_ceil(count).max(1);
    let slopes = if cap.is_some() { rows * out } else { 0 };
    with_scratch(rows * out + slopes, |scratch| {
        let (logits, slopes) = scratch.split_at_mut(rows * out);
        for (block, targets) in targets.chunks(rows).enumerate() {
            let first = block * rows;
            let logits = &mut logits[..targets.len() * out];
            let hidden = &hidden[first * width..(first + targets.len()) * width];
            vocab.multiply(hidden, targets.len(), logits, Start::Zero);
            let mut logs = vec![0.0; targets.len()];
            let (shared, shared_logs) = (Shared::new(logits), Shared::new(&mut logs));
            let shared_slopes = Shared::new(slopes);
            parallel::for_ranges(targets.len(), 8 * out, &|range| {
                for row in range {
                    // SAFETY: rows do not overlap.
                    let (logits, log) =
                        unsafe { (shared.slice(row * out, out), shared_logs.slice(row, 1)) };
                    if let Some(cap) = cap {
                        // SAFETY: as above.
                        let slopes = unsafe { shared_slopes.slice(row * out, out) };
                        cap_row(logits, slopes, cap);
                    }
                    probabilities(logits, targets[row] as usize, &mut log[0]);
                }
            });
            work(Block {
                probabilities: logits,
                slopes: if cap.is_some() {
                    &slopes[..targets.len() * out]
                } else {
                    &[]
                },
                targets,
                first,
                logs: &logs,
            });
        }
    });
}

multiversion! {
    /// Turns one row of logits into probabilities.
    fn probabilities(row: &mut [f32], target: usize, log: &mut f32) {
        let largest = max_of(row);
        let at_target = row[target];
        let sum = exp_row(row, 1.0, largest);
        *log = at_target - largest - ln(sum);
        let inverse = 1.0 / sum;
        for value in row {
            *value *= inverse;
        }
    }

    /// Caps a row of logits; `slopes` gets the derivatives.
    fn cap_row(row: &mut [f32], slopes: &mut [f32], cap: f32) {
        for (value, slope) in row.iter_mut().zip(slopes) {
            let t = math::tanh(*value / cap);
            *value = cap * t;
            *slope = 1.0 - t * t;
        }
    }

    fn multiply_by(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// Returns the mean of `-values`, summed in order.
pub fn mean_negative(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    (-sum / values.len() as f64) as f32
}

/// Returns `values · factor` as a new vector.
pub fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    let mut values = values.to_vec();
    math::scale(&mut values, factor);
    values
}

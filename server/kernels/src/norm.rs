//! Root mean square normalisation of rows (RMSNorm).

use super::{
    LANES,
    math::{self, Lanes, sum_lanes},
    memory::{self, Shared},
    parallel,
};

/// Computes `x / sqrt(mean(x²) + eps) · weight` for rows of `weight.len()` values.
///
/// # Panics
/// When `x` does not consist of whole rows.
pub fn forward(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    assert_eq!(x.len() % width, 0, "whole rows");
    let fill = |out: Shared| {
        parallel::for_ranges(x.len() / width, 4 * width, &|rows| {
            let range = rows.start * width..rows.end * width;
            // SAFETY: ranges of rows do not overlap.
            let out = unsafe { out.slice(range.start, range.len()) };
            forward_rows(&x[range], weight, eps, out);
        });
    };
    // SAFETY: every row of the output is written.
    unsafe { memory::filled(x.len(), fill) }
}

/// Returns the gradient of [`forward`] in `x`.
///
/// # Panics
/// When `x` and `grad` differ in length or do not consist of whole rows.
pub fn backward(x: &[f32], weight: &[f32], eps: f32, grad: &[f32]) -> Vec<f32> {
    let width = weight.len();
    assert!(
        x.len().is_multiple_of(width) && x.len() == grad.len(),
        "whole rows"
    );
    let fill = |out: Shared| {
        parallel::for_ranges(x.len() / width, 8 * width, &|rows| {
            let range = rows.start * width..rows.end * width;
            // SAFETY: ranges of rows do not overlap.
            let out = unsafe { out.slice(range.start, range.len()) };
            backward_rows(&x[range.clone()], weight, eps, &grad[range], out);
        });
    };
    // SAFETY: every row of the output is written.
    unsafe { memory::filled(x.len(), fill) }
}

/// Returns the gradient of [`forward`] in the weight, summed over rows in order.
pub fn backward_weight(x: &[f32], width: usize, eps: f32, grad: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    add_weight_rows(x, eps, grad, &mut sum);
    sum
}

#[inline(always)]
pub(super) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (math::sum_squares(x) / x.len() as f32 + eps).sqrt()
}

/// Returns the `pull` of a row `x`, whose gradient is `grad · weight · inverse - x · pull`.
#[inline(always)]
pub(super) fn pull(x: &[f32], weight: &[f32], grad: &[f32], inverse: f32) -> f32 {
    let mut acc: Lanes = [0.0; LANES];
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let (grads, grad_tail) = grad.as_chunks::<LANES>();
    let (weights, weight_tail) = weight.as_chunks::<LANES>();
    for ((x, grad), weight) in xs.iter().zip(grads).zip(weights) {
        for i in 0..LANES {
            acc[i] = (x[i] * weight[i]).mul_add(grad[i], acc[i]);
        }
    }
    for i in 0..x_tail.len() {
        acc[i] = (x_tail[i] * weight_tail[i]).mul_add(grad_tail[i], acc[i]);
    }
    sum_lanes(acc) * inverse * inverse * inverse / x.len() as f32
}

multiversion! {
    /// Computes rows on this thread; as [`forward`].
    pub fn forward_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let width = weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let inverse = inverse_rms(x, eps);
            for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * weight;
            }
        }
    }

    fn add_weight_rows(x: &[f32], eps: f32, grad: &[f32], sum: &mut [f32]) {
        let width = sum.len();
        for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
            let inverse = inverse_rms(x, eps);
            for ((sum, &x), &grad) in sum.iter_mut().zip(x).zip(grad) {
                *sum = (x * inverse).mul_add(grad, *sum);
            }
        }
    }

    fn backward_rows(x: &[f32], weight: &[f32], eps: f32, grad: &[f32], out: &mut [f32]) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((x, grad), out) in rows.zip(out.chunks_exact_mut(width)) {
            let inverse = inverse_rms(x, eps);
            let pull = pull(x, weight, grad, inverse);
            for i in 0..width {
                out[i] = (grad[i] * weight[i]).mul_add(inverse, -(x[i] * pull));
            }
        }
    }
}

/// Computes `a += b`, elementwise.
///
/// # Panics
/// When the lengths differ.
pub fn add_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "equal lengths");
    let shared = Shared::new(a);
    parallel::for_ranges(b.len().div_ceil(4096), 4096, &|blocks| {
        let (from, to) = (blocks.start * 4096, b.len().min(blocks.end * 4096));
        // SAFETY: blocks do not overlap.
        let a = unsafe { shared.slice(from, to - from) };
        add_block(a, &b[from..to]);
    });
}

/// Adds `b` to every row of `a`.
///
/// # Panics
/// When `a` does not consist of whole rows.
pub fn add_to_rows(a: &mut [f32], b: &[f32]) {
    assert!(a.len().is_multiple_of(b.len()), "whole rows");
    for row in a.chunks_exact_mut(b.len()) {
        add_block(row, b);
    }
}

/// Multiplies every row of `a` by `b`, elementwise.
///
/// # Panics
/// When `a` does not consist of whole rows.
pub fn multiply_rows(a: &mut [f32], b: &[f32]) {
    assert!(a.len().is_multiple_of(b.len()), "whole rows");
    for row in a.chunks_exact_mut(b.len()) {
        multiply_block(row, b);
    }
}

multiversion! {
    fn multiply_block(a: &mut [f32], b: &[f32]) {
        for (a, b) in a.iter_mut().zip(b) {
            *a *= b;
        }
    }

    fn add_block(a: &mut [f32], b: &[f32]) {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
}

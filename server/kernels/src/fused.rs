//! Steps between the products of the mode `fast`. Each reads and writes memory once and writes
//! words of 16-bit integers for the next product.

use super::{
    gated::Activation,
    gemm::pairs::{new_words, round_row, round_rows, widen_row, words_of},
    memory::{Shared, with_scratch, words_mut},
    norm::{inverse_rms, pull},
    parallel,
};

/// Returns a part of a parallel output as words.
///
/// # Safety
/// As [`Shared::slice`].
unsafe fn words_at<'a>(shared: Shared, offset: usize, len: usize) -> &'a mut [u32] {
    // SAFETY: the caller's promise.
    words_mut(unsafe { shared.slice(offset, len) })
}

/// Computes `x / sqrt(mean(x²) + eps) · weight` for rows of `weight.len()` values, and rounds them
/// to `[rows, words_of(width)]`.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn norm(x: &[f32], weight: &[f32], eps: f32, target: &mut [u32]) {
    let (width, packed) = (weight.len(), words_of(weight.len()));
    let rows = x.len() / width;
    assert!(
        x.len() == rows * width && target.len() == rows * packed,
        "whole rows"
    );
    let target = Shared::of_words(target);
    parallel::for_ranges(rows, 4 * width, &|range| {
        // SAFETY: ranges of rows do not overlap.
        let target = unsafe { words_at(target, range.start * packed, range.len() * packed) };
        let x = &x[range.start * width..range.end * width];
        with_scratch(width, |row| norm_rows(x, weight, eps, row, target));
    });
}

/// As [`norm`], into new words.
///
/// # Panics
/// When `x` does not consist of whole rows.
pub fn normed(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let len = x.len() / weight.len() * words_of(weight.len());
    // SAFETY: `norm` writes every word of whole rows.
    unsafe { new_words(len, |words| norm(x, weight, eps, words)) }
}

/// Adds a norm's gradient in its input `x` to `sum`; `grad` is the gradient in its output. Also
/// writes the rounded sum to `rounded` where it is given.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn add_norm_gradient(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    grad: &[f32],
    sum: &mut [f32],
    rounded: Option<&mut [u32]>,
) {
    let (width, packed) = (weight.len(), words_of(weight.len()));
    let rows = x.len() / width;
    assert!(
        x.len() == rows * width && grad.len() == x.len() && sum.len() == x.len(),
        "whole rows"
    );
    let sum = Shared::new(sum);
    let rounded = rounded.map(|words| {
        assert_eq!(words.len(), rows * packed, "whole rows");
        Shared::of_words(words)
    });
    parallel::for_ranges(rows, 8 * width, &|range| {
        let part = range.start * width..range.end * width;
        // SAFETY: ranges of rows do not overlap, here and below.
        let sum = unsafe { sum.slice(part.start, part.len()) };
        add_gradient_rows(&x[part.clone()], weight, eps, &grad[part], sum);
        if let Some(rounded) = rounded {
            // SAFETY: as above.
            let target = unsafe { words_at(rounded, range.start * packed, range.len() * packed) };
            round_rows(sum, width, target);
        }
    });
}

/// Computes `activation(gate) · up` for rows of `width` values, rounded, and rounds the inputs for
/// the backward pass.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn gate(
    inputs: [&[f32]; 2],
    width: usize,
    activation: Activation,
    active: &mut [u32],
    saved: [&mut [u32]; 2],
) {
    let packed = words_of(width);
    let rows = inputs[0].len() / width;
    assert!(
        inputs.iter().all(|values| values.len() == rows * width)
            && saved.iter().all(|words| words.len() == rows * packed)
            && active.len() == rows * packed,
        "whole rows"
    );
    let active = Shared::of_words(active);
    let saved = saved.map(Shared::of_words);
    parallel::for_ranges(rows, 10 * width, &|range| {
        let part = range.start * width..range.end * width;
        let [gate, up] = inputs.map(|values| &values[part.clone()]);
        let (offset, len) = (range.start * packed, range.len() * packed);
        // SAFETY: ranges of rows do not overlap.
        let [active, gates, ups] =
            unsafe { [active, saved[0], saved[1]].map(|words| words_at(words, offset, len)) };
        with_scratch(width, |row| gate_rows(gate, up, activation, row, active));
        round_rows(gate, width, gates);
        round_rows(up, width, ups);
    });
}

/// As [`gate`], into new words of the active values and of both inputs.
///
/// # Panics
/// When the inputs are not whole rows of `width` values, equally many.
pub fn gated(inputs: [&[f32]; 2], width: usize, activation: Activation) -> [Vec<f32>; 3] {
    let len = inputs[0].len() / width * words_of(width);
    let (mut gates, mut ups) = (Vec::new(), Vec::new());
    // SAFETY: `gate` writes every word of whole rows, of all three.
    let active = unsafe {
        new_words(len, |active| {
            gates = new_words(len, |gates| {
                ups = new_words(len, |ups| {
                    gate(inputs, width, activation, active, [gates, ups]);
                });
            });
        })
    };
    [active, gates, ups]
}

/// Backward pass of [`gate`]. `inputs` are the words that it saved; they are replaced by the
/// rounded gradients in gate and up. `grad` is the gradient in the active values, `[rows, width]`.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn gate_back(inputs: [&mut [u32]; 2], width: usize, activation: Activation, grad: &[f32]) {
    let packed = words_of(width);
    let rows = grad.len() / width;
    assert!(
        inputs.iter().all(|words| words.len() == rows * packed) && grad.len() == rows * width,
        "whole rows"
    );
    let inputs = inputs.map(Shared::of_words);
    parallel::for_ranges(rows, 16 * width, &|range| {
        let (offset, len) = (range.start * packed, range.len() * packed);
        // SAFETY: ranges of rows do not overlap.
        let [gate, up] = unsafe { inputs.map(|words| words_at(words, offset, len)) };
        let grad = &grad[range.start * width..range.end * width];
        with_scratch(2 * width, |scratch| {
            let (gates, ups) = scratch.split_at_mut(width);
            gate_back_rows(gate, up, grad, activation, gates, ups);
        });
    });
}

multiversion! {
    fn norm_rows(x: &[f32], weight: &[f32], eps: f32, row: &mut [f32], target: &mut [u32]) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(target.chunks_exact_mut(words_of(width)));
        for (x, target) in rows {
            let inverse = inverse_rms(x, eps);
            for ((value, &x), &weight) in row.iter_mut().zip(x).zip(weight) {
                *value = x * inverse * weight;
            }
            round_row(row, target);
        }
    }

    fn add_gradient_rows(x: &[f32], weight: &[f32], eps: f32, grad: &[f32], sum: &mut [f32]) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((x, grad), sum) in rows.zip(sum.chunks_exact_mut(width)) {
            let inverse = inverse_rms(x, eps);
            let pull = pull(x, weight, grad, inverse);
            for (((sum, &x), &grad), &weight) in sum.iter_mut().zip(x).zip(grad).zip(weight) {
                *sum += (grad * weight).mul_add(inverse, -(x * pull));
            }
        }
    }

    fn gate_rows(
        gate: &[f32],
        up: &[f32],
        activation: Activation,
        row: &mut [f32],
        active: &mut [u32],
    ) {
        let width = row.len();
        let rows = gate.chunks_exact(width).zip(up.chunks_exact(width));
        for ((gate, up), active) in rows.zip(active.chunks_exact_mut(words_of(width))) {
            // Chosen outside the loops, so that each vectorises.
            match activation {
                Activation::Silu => gate_row(gate, up, Activation::Silu, row),
                Activation::GeluTanh => gate_row(gate, up, Activation::GeluTanh, row),
            }
            round_row(row, active);
        }
    }

    fn gate_back_rows(
        gate: &mut [u32],
        up: &mut [u32],
        grad: &[f32],
        activation: Activation,
        gates: &mut [f32],
        ups: &mut [f32],
    ) {
        let (width, packed) = (gates.len(), words_of(gates.len()));
        let rows = gate.chunks_exact_mut(packed).zip(up.chunks_exact_mut(packed));
        for ((gate, up), grad) in rows.zip(grad.chunks_exact(width)) {
            widen_row(gate, gates);
            widen_row(up, ups);
            match activation {
                Activation::Silu => gate_back_row(gates, ups, grad, Activation::Silu),
                Activation::GeluTanh => gate_back_row(gates, ups, grad, Activation::GeluTanh),
            }
            round_row(gates, gate);
            round_row(ups, up);
        }
    }
}

#[inline(always)]
fn gate_row(gate: &[f32], up: &[f32], activation: Activation, active: &mut [f32]) {
    for ((active, &gate), &up) in active.iter_mut().zip(gate).zip(up) {
        *active = activation.at(gate).0 * up;
    }
}

#[inline(always)]
fn gate_back_row(gates: &mut [f32], ups: &mut [f32], grad: &[f32], activation: Activation) {
    for ((gate, up), &grad) in gates.iter_mut().zip(ups).zip(grad) {
        let (value, slope) = activation.at(*gate);
        (*gate, *up) = (grad * *up * slope, grad * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gated,
        gemm::pairs::widen_rows,
        memory, norm as plain,
        tests_support::{each_isa, noise},
    };

    fn close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
        assert_eq!(a.len(), b.len(), "{what}");
        let scale = b.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(
                (a - b).abs() <= tolerance * scale,
                "{what} at {i}: {a} is not {b}"
            );
        }
    }

    fn widened(words: &[u32], width: usize) -> Vec<f32> {
        let mut values = vec![0.0; words.len() / words_of(width) * width];
        widen_rows(words, width, &mut values);
        values
    }

    #[test]
    fn new_words_are_those_that_are_written_in_place() {
        each_isa(|isa| {
            // Whole pieces, a shorter last one, and an odd end.
            for width in [1, 40, 75, 2049] {
                for rows in [0, 1, 7, 64] {
                    let values = |seed| noise(rows * width, seed);
                    // Earlier content must not affect the result.
                    let words = || vec![0xffff_ffff_u32; rows * words_of(width)];
                    let (x, weight) = (values(1), noise(width, 2));
                    let mut out = words();
                    norm(&x, &weight, 1e-5, &mut out);
                    let new = normed(&x, &weight, 1e-5);
                    assert_eq!(memory::words(&new), out, "norm {isa:?}");
                    let (mut active, mut a, mut b) = (words(), words(), words());
                    let inputs = [&x[..], &values(3)];
                    let silu = Activation::Silu;
                    gate(inputs, width, silu, &mut active, [&mut a, &mut b]);
                    let new = super::gated(inputs, width, silu);
                    let new = new.each_ref().map(|words| memory::words(words));
                    assert_eq!(new, [&active[..], &a, &b], "gate {isa:?}");
                }
            }
        });
    }

    /// 2⁻¹⁰: rounding short rows to integers loses less than this.
    const ROUNDED: f32 = 1.0 / 1024.0;

    #[test]
    fn fused_steps_round_what_the_plain_ones_give() {
        each_isa(|isa| {
            for width in [40, 75] {
                let rows = 11;
                let words = || vec![0_u32; rows * words_of(width)];
                let values = |seed| noise(rows * width, seed);
                let (x, grad, weight) = (values(1), values(2), noise(width, 3));
                let mut out = words();
                norm(&x, &weight, 1e-5, &mut out);
                let expected = plain::forward(&x, &weight, 1e-5);
                close(
                    &widened(&out, width),
                    &expected,
                    ROUNDED,
                    &format!("norm {isa:?}"),
                );

                let mut sum = values(4);
                let mut expected = plain::backward(&x, &weight, 1e-5, &grad);
                plain::add_in_place(&mut expected, &sum);
                add_norm_gradient(&x, &weight, 1e-5, &grad, &mut sum, Some(&mut out));
                close(&sum, &expected, 1e-6, "gradient");
                close(
                    &widened(&out, width),
                    &expected,
                    ROUNDED,
                    "rounded gradient",
                );

                for activation in [Activation::Silu, Activation::GeluTanh] {
                    let (gates, ups) = (values(5), values(6));
                    let (mut active, mut a, mut b) = (words(), words(), words());
                    gate(
                        [&gates, &ups],
                        width,
                        activation,
                        &mut active,
                        [&mut a, &mut b],
                    );
                    let expected = gated::forward(&gates, &ups, activation);
                    close(&widened(&active, width), &expected, ROUNDED, "gated");
                    // The backward pass starts from the rounded inputs.
                    let (gates, ups) = (widened(&a, width), widened(&b, width));
                    let (of_gate, of_up) = gated::backward(&gates, &ups, &grad, activation);
                    gate_back([&mut a, &mut b], width, activation, &grad);
                    close(&widened(&a, width), &of_gate, ROUNDED, "gate's gradient");
                    close(&widened(&b, width), &of_up, ROUNDED, "up's gradient");
                }
            }
        });
    }
}

//! Rotation of heads by position (rotary embeddings).

use super::{
    memory::{self, Shared},
    parallel,
};

/// Cosines and sines by token, `[tokens, half]` each.
#[derive(Clone, Copy, Debug)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines; negated ones rotate back.
    pub sin: &'a [f32],
    /// Rotated pairs of a head: half its size, or less.
    pub half: usize,
    /// Size of a head.
    pub dim: usize,
}

/// Rotates `[tokens, heads, head_dim]`; with `back` by the negated angles. Value `i` of a head and value
/// `i + half` are a pair; values after the pairs stay.
///
/// # Panics
/// When the angles do not belong to this many tokens.
pub fn rotate(x: &[f32], heads: usize, angles: Angles<'_>, back: bool) -> Vec<f32> {
    let width = angles.dim * heads;
    let tokens = x.len() / width;
    assert_eq!(x.len(), tokens * width, "whole tokens");
    assert!(
        angles.cos.len() == tokens * angles.half && angles.sin.len() == angles.cos.len(),
        "one angle per token and pair"
    );
    let sign = if back { -1.0 } else { 1.0 };
    let fill = |out: Shared| {
        parallel::for_ranges(tokens, 2 * width, &|range| {
            let part = range.start * width..range.end * width;
            let half = range.start * angles.half..range.end * angles.half;
            // SAFETY: ranges of tokens do not overlap.
            let out = unsafe { out.slice(part.start, part.len()) };
            let (cos, sin) = (&angles.cos[half.clone()], &angles.sin[half]);
            rotate_tokens(
                &x[part],
                [angles.dim, heads],
                angles.half,
                cos,
                sin,
                sign,
                out,
            );
        });
    };
    // SAFETY: every token of the output is written.
    unsafe { memory::filled(x.len(), fill) }
}

/// As [`rotate`], in place.
///
/// # Panics
/// As [`rotate`].
pub fn rotate_in_place(x: &mut [f32], heads: usize, angles: Angles<'_>, back: bool) {
    let width = angles.dim * heads;
    let tokens = x.len() / width;
    assert_eq!(x.len(), tokens * width, "whole tokens");
    assert!(
        angles.cos.len() == tokens * angles.half && angles.sin.len() == angles.cos.len(),
        "one angle per token and pair"
    );
    let sign = if back { -1.0 } else { 1.0 };
    let shared = Shared::new(x);
    parallel::for_ranges(tokens, 2 * width, &|range| {
        let half = range.start * angles.half..range.end * angles.half;
        // SAFETY: ranges of tokens do not overlap.
        let x = unsafe { shared.slice(range.start * width, range.len() * width) };
        let (cos, sin) = (&angles.cos[half.clone()], &angles.sin[half]);
        turn_tokens(x, [angles.dim, heads], angles.half, cos, sin, sign);
    });
}

multiversion! {
    fn turn_tokens(
        x: &mut [f32],
        sizes: [usize; 2],
        half: usize,
        cos: &[f32],
        sin: &[f32],
        sign: f32,
    ) {
        let [dim, heads] = sizes;
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (x, (cos, sin)) in x.chunks_exact_mut(dim * heads).zip(angles) {
            for x in x.chunks_exact_mut(dim) {
                let (low, rest) = x.split_at_mut(half);
                let high = &mut rest[..half];
                for i in 0..half {
                    let sin = sign * sin[i];
                    let (a, b) = (low[i], high[i]);
                    low[i] = a.mul_add(cos[i], -(b * sin));
                    high[i] = b.mul_add(cos[i], a * sin);
                }
            }
        }
    }

    fn rotate_tokens(
        x: &[f32],
        sizes: [usize; 2],
        half: usize,
        cos: &[f32],
        sin: &[f32],
        sign: f32,
        out: &mut [f32],
    ) {
        let [dim, heads] = sizes;
        let width = dim * heads;
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        let tokens = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for ((x, out), (cos, sin)) in tokens.zip(angles) {
            for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
                out[2 * half..].copy_from_slice(&x[2 * half..]);
                let (x_low, x_rest) = x.split_at(half);
                let (low, rest) = out.split_at_mut(half);
                let (x_high, high) = (&x_rest[..half], &mut rest[..half]);
                for i in 0..half {
                    let sin = sign * sin[i];
                    low[i] = x_low[i].mul_add(cos[i], -(x_high[i] * sin));
                    high[i] = x_high[i].mul_add(cos[i], x_low[i] * sin);
                }
            }
        }
    }
}

//! Rotation of heads by position (rotary embeddings).

use super::{
    memory::{self, Shared},
    parallel,
};

/// Cosines and sines by token, `[tokens, head_dim / 2]` each.
#[derive(Clone, Copy, Debug)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines; negated ones rotate back.
    pub sin: &'a [f32],
    /// Half the size of a head.
    pub half: usize,
}

/// Rotates `[tokens, heads, head_dim]`; with `back` by the negated angles.
///
/// # Panics
/// When the angles do not belong to this many tokens.
pub fn rotate(x: &[f32], heads: usize, angles: Angles<'_>, back: bool) -> Vec<f32> {
    let width = 2 * angles.half * heads;
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
            rotate_tokens(&x[part], heads, angles.half, cos, sin, sign, out);
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
    let width = 2 * angles.half * heads;
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
        turn_tokens(x, heads, angles.half, cos, sin, sign);
    });
}

multiversion! {
    fn turn_tokens(
        x: &mut [f32],
        heads: usize,
        half: usize,
        cos: &[f32],
        sin: &[f32],
        sign: f32,
    ) {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (x, (cos, sin)) in x.chunks_exact_mut(2 * half * heads).zip(angles) {
            for x in x.chunks_exact_mut(2 * half) {
                let (low, high) = x.split_at_mut(half);
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
        heads: usize,
        half: usize,
        cos: &[f32],
        sin: &[f32],
        sign: f32,
        out: &mut [f32],
    ) {
        let width = 2 * half * heads;
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        let tokens = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for ((x, out), (cos, sin)) in tokens.zip(angles) {
            for (x, out) in x.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half)) {
                let (x_low, x_high) = x.split_at(half);
                let (low, high) = out.split_at_mut(half);
                for i in 0..half {
                    let sin = sign * sin[i];
                    low[i] = x_low[i].mul_add(cos[i], -(x_high[i] * sin));
                    high[i] = x_high[i].mul_add(cos[i], x_low[i] * sin);
                }
            }
        }
    }
}

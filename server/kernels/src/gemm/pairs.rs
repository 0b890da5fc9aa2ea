//! Products of 16-bit integers with exact sums: `fast` mode.
//!
//! A row of the left operand and a row (an output) of the frozen matrix are cut into pieces of at
//! most 512 values. Each piece is scaled so that its values are integers of 16 bits and its
//! Euclidean norm is below 2^15.5. By the Cauchy-Schwarz inequality the sum of a piece's products
//! then stays within 32 bits. The sum is exact, so it does not depend on order, vector width or
//! instruction set. Sums of pieces are added in f32, in order. So `fast` mode has the same bits on
//! every machine. Only rounding the operands loses precision: a value of usual size keeps 10 bits
//! or more, and a value of a hundredth of its piece's largest keeps as many bits as bf16 has.
//!
//! Two neighbouring k share a 32-bit word, so a matrix of words has half the inner dimension and is
//! otherwise like the matrix of an f32 product. VPDPWSSD adds two words' two products to a sum in
//! the time of one multiply-add of floats, on Intel's processors and on AMD's.

mod packed;
mod products;
mod tiles;

pub use packed::PackedPairs;
pub(crate) use products::multiply_pairs;
pub use products::{add_product, product_pairs, products_together, sum_of_products};

use crate::{
    LANES,
    math::{Lanes, sum_lanes},
    memory::{Shared, filled, halves, halves_mut, with_scratch, words_mut},
    parallel,
};

/// Number of words for the values of a row.
fn pairs_of(inner: usize) -> usize {
    inner.div_ceil(2)
}

/// Most words of a piece.
const PIECE: usize = 512;

/// Number of pieces of a row of `inner` values.
fn pieces_of(inner: usize) -> usize {
    pairs_of(inner).div_ceil(PIECE)
}

/// Words in each piece of a row but the last one, which may be shorter.
fn piece_of(inner: usize) -> usize {
    pairs_of(inner).div_ceil(pieces_of(inner).max(1)).max(1)
}

/// Words of a row of `inner` values: one scale per piece, then the packed integers.
pub fn words_of(inner: usize) -> usize {
    pieces_of(inner) + pairs_of(inner)
}

/// Largest integer that a value is rounded to.
const LARGEST: f32 = 32766.0;

/// Returns the scale of a piece's values and its inverse.
///
/// The norm of `k` rounded values is at most that of the scaled ones plus √k / 2. The sum of
/// squares below is within k·2⁻²⁸ of the exact one, and 2⁻¹⁴ is kept as a margin.
#[inline(always)]
fn scales(piece: &[f32]) -> (f32, f32) {
    let (max, squares) = size(piece, 1.0);
    let k = piece.len() as f32;
    let norm_limit = 46340.0 * (1.0 - 1.0 / 16384.0 - k / (1 << 29) as f32) - 0.5 * k.sqrt();
    // Squares of very small or very large values leave a float's range.
    let by_norm = if (1e-30..1e38).contains(&squares) {
        norm_limit / squares.sqrt()
    } else if max == 0.0 && squares == 0.0 {
        return (1.0, 1.0);
    } else if max.is_finite() && !piece.iter().any(|value| value.is_nan()) {
        let down = if max > 1.0 { 1e-25 } else { 1e25 };
        norm_limit / size(piece, down).1.sqrt() * down
    } else {
        // Every product with such a piece is NaN, whatever the integers are.
        return (0.0, f32::NAN);
    };
    // Kept below 2¹⁰⁰, so that the scale is finite whatever the norm is.
    let scale = (LARGEST / max).min(by_norm).min(1.267_650_6e30);
    (scale, 1.0 / scale)
}

/// Returns the largest magnitude, and the sum of squares of the values times `factor`.
#[inline(always)]
fn size(values: &[f32], factor: f32) -> (f32, f32) {
    let mut largest: Lanes = [0.0; LANES];
    let mut squares: Lanes = [0.0; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            let value = chunk[i].abs();
            // Not `max`, which takes two more comparisons: a NaN shows in the squares.
            largest[i] = if value > largest[i] {
                value
            } else {
                largest[i]
            };
            squares[i] = (value * factor).mul_add(value * factor, squares[i]);
        }
    }
    for (i, value) in tail.iter().enumerate() {
        largest[i] = largest[i].max(value.abs());
        squares[i] = (value * factor).mul_add(value * factor, squares[i]);
    }
    let max = largest.into_iter().fold(0.0, f32::max);
    (max, sum_lanes(squares))
}

/// Returns the integer nearest to a value below 2²¹ (ties to even) in two's complement: its lower
/// 16 bits.
#[inline(always)]
fn integer(value: f32) -> u16 {
    // The last bit of a float of this size has the value one.
    (value + 12_582_912.0).to_bits() as u16
}

/// Rounds a row to `words_of(len)` words; an odd end is paired with zero.
///
/// # Panics
/// When `target` is shorter.
#[inline(always)]
pub(crate) fn round_row(row: &[f32], target: &mut [u32]) {
    let piece = piece_of(row.len());
    let (backs, words) = target.split_at_mut(pieces_of(row.len()));
    let words = &mut words[..pairs_of(row.len())];
    let pieces = row.chunks(2 * piece).zip(words.chunks_mut(piece));
    for ((values, words), back_of) in pieces.zip(backs) {
        let (scale, back) = scales(values);
        *back_of = back.to_bits();
        let integers = halves_mut(words);
        for (integer_of, &value) in integers.iter_mut().zip(values) {
            *integer_of = integer(value * scale);
        }
        if let Some(padding) = integers.get_mut(values.len()) {
            *padding = 0;
        }
    }
}

/// Writes the values of a row of words to `target`.
///
/// # Panics
/// When there are fewer words.
#[inline(always)]
pub(crate) fn widen_row(words: &[u32], target: &mut [f32]) {
    let piece = piece_of(target.len());
    let (backs, words) = words.split_at(pieces_of(target.len()));
    let pieces = target.chunks_mut(2 * piece).zip(words.chunks(piece));
    for ((target, words), &back) in pieces.zip(backs) {
        let back = f32::from_bits(back);
        for (target, &value) in target.iter_mut().zip(halves(words)) {
            *target = f32::from(value as i16) * back;
        }
    }
}

multiversion! {
    /// Rounds rows of `inner` values to rows of words.
    ///
    /// # Panics
    /// When `target` has room for fewer rows.
    pub fn round_rows(source: &[f32], inner: usize, target: &mut [u32]) {
        for (source, target) in source.chunks_exact(inner).zip(target.chunks_exact_mut(words_of(inner))) {
            round_row(source, target);
        }
    }

    /// Widens words to the values that they hold, `[rows, inner]`.
    pub fn widen_rows(words: &[u32], inner: usize, target: &mut [f32]) {
        for (words, target) in words.chunks_exact(words_of(inner)).zip(target.chunks_exact_mut(inner)) {
            widen_row(words, target);
        }
    }
}

/// A left operand: rows rounded to integers.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[rows, words_of(inner)]`
    words: &'a [u32],
    inner: usize,
}

impl<'a> Rows<'a> {
    /// Rows of words that [`round_rows`] made.
    ///
    /// # Panics
    /// When they are not whole rows.
    pub fn new(words: &'a [u32], inner: usize) -> Self {
        assert!(words.len().is_multiple_of(words_of(inner)), "whole rows");
        Self { words, inner }
    }

    /// Rounds a row-major `[rows, inner]` into scratch memory for one call.
    ///
    /// # Panics
    /// When `x` does not consist of whole rows.
    pub fn with<R>(x: &[f32], inner: usize, work: impl FnOnce(Rows<'_>) -> R) -> R {
        assert!(x.len().is_multiple_of(inner), "whole rows");
        let rows = x.len() / inner;
        let width = words_of(inner);
        with_scratch(rows * width, |scratch| {
            let target = words_mut(scratch);
            round_all(x, inner, target);
            work(Rows::new(target, inner))
        })
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.words.len() / words_of(self.inner)
    }
}

/// As [`widen_rows`], into a new `[rows, inner]`.
pub fn widened(words: &[u32], inner: usize) -> Vec<f32> {
    let len = Rows::new(words, inner).rows() * inner;
    // SAFETY: nobody else knows the memory; every value of whole rows is written.
    unsafe {
        filled(len, |out| {
            widen_rows(words, inner, out.slice(0, len));
        })
    }
}

/// As [`round_all`], into new words.
///
/// # Panics
/// When `x` does not consist of whole rows.
pub fn rounded(x: &[f32], inner: usize) -> Vec<f32> {
    assert!(x.len().is_multiple_of(inner), "whole rows");
    // SAFETY: whole rows, of which every word is written.
    unsafe {
        new_words(x.len() / inner * words_of(inner), |words| {
            round_all(x, inner, words)
        })
    }
}

/// Returns the words that `fill` writes, in the memory of floats.
///
/// # Safety
/// `fill` must write every word before it reads it.
pub(crate) unsafe fn new_words(len: usize, fill: impl FnOnce(&mut [u32])) -> Vec<f32> {
    // SAFETY: nobody else knows the memory; the rest is the caller's promise.
    unsafe { filled(len, |out| fill(words_mut(out.slice(0, len)))) }
}

/// As [`round_rows`], in parallel when the work is large enough.
///
/// # Panics
/// When `target` does not have room for exactly these rows.
pub fn round_all(x: &[f32], inner: usize, target: &mut [u32]) {
    let width = words_of(inner);
    let rows = x.len() / inner;
    assert_eq!(target.len(), rows * width, "room for every row");
    let shared = Shared::of_words(target);
    parallel::for_ranges(rows, inner, &|range| {
        // SAFETY: ranges of rows do not overlap.
        let target = unsafe { shared.slice(range.start * width, range.len() * width) };
        let source = &x[range.start * inner..range.end * inner];
        round_rows(source, inner, words_mut(target));
    });
}

#[cfg(test)]
mod tests;

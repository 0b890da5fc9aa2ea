//! Products of bf16 values: `fast` mode.
//!
//! Two neighbouring k share a 32-bit word, the even one in its lower half, so a matrix of
//! words has half the inner dimension and everything else of an f32 product. A word of A times
//! a word of B adds two products to an f32 sum, the odd k's first, as VDPBF16PS does. Where a
//! processor lacks that instruction, both halves are widened to f32: the same values, slower.
//!
//! Where a processor multiplies f16 vectors, which it does faster, frozen matrices are stored in f16
//! ([`halves`]). What is multiplied with them is kept in bf16 everywhere else all the same.

#[cfg(target_arch = "x86_64")]
mod halves;
mod packed;
mod products;

pub use packed::PackedPairs;
pub use products::{multiply_each, multiply_pairs, multiply_sum, product_pairs};

use super::{NR, Start, Tile};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::kernels::{
    Isa, isa,
    memory::{Shared, with_scratch, words, words_mut},
    parallel,
};

/// Words of a row of `inner` values.
pub fn words_of(inner: usize) -> usize {
    inner.div_ceil(2)
}

/// The nearest bf16, ties to even; what is not a number stays so.
#[inline(always)]
pub(in crate::kernels) fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if value.is_nan() {
        (bits >> 16) | 0x40
    } else {
        rounded
    }
}

/// Two values as a word.
#[inline(always)]
pub(in crate::kernels) fn pair(even: f32, odd: f32) -> u32 {
    round(even) | (round(odd) << 16)
}

/// One half of a word.
#[inline(always)]
pub(in crate::kernels) fn half(word: u32, odd: bool) -> f32 {
    f32::from_bits(if odd { word & 0xffff_0000 } else { word << 16 })
}

multiversion! {
    /// Rounds rows of `inner` values to rows of words; an odd end is paired with zero.
    ///
    /// # Panics
    /// When `target` has room for fewer rows.
    pub fn round_rows(source: &[f32], inner: usize, target: &mut [u32]) {
        for (source, target) in source.chunks_exact(inner).zip(target.chunks_exact_mut(words_of(inner))) {
            let (pairs, tail) = source.as_chunks::<2>();
            for (word, &[even, odd]) in target.iter_mut().zip(pairs) {
                *word = pair(even, odd);
            }
            if let ([last], Some(word)) = (tail, target.last_mut()) {
                *word = pair(*last, 0.0);
            }
        }
    }
}

multiversion! {
    /// Words to the values that they hold, `[rows, inner]`.
    pub fn widen_rows(words: &[u32], inner: usize, target: &mut [f32]) {
        let rows = words.chunks_exact(words_of(inner)).zip(target.chunks_exact_mut(inner));
        for (words, target) in rows {
            let (pairs, tail) = target.as_chunks_mut::<2>();
            for ([even, odd], &word) in pairs.iter_mut().zip(words) {
                *even = half(word, false);
                *odd = half(word, true);
            }
            if let ([last], Some(&word)) = (tail, words.last()) {
                *last = half(word, false);
            }
        }
    }
}

/// A left operand: rows rounded to bf16.
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

    /// Rounds a row-major `[rows, inner]` into scratch for one call.
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

/// As [`round_rows`], over all threads when it is worth it.
///
/// # Panics
/// When `target` has not room for exactly these rows.
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

#[cfg(target_arch = "x86_64")]
fn has_pairs() -> bool {
    isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    // AVX-512 without its bf16 part widens with AVX2.
    isa() != Isa::Portable && Isa::Avx2.available()
}

/// What products of pairs run on: `avx512-fp16`, `avx512-bf16`, or `avx2` or `portable`, which widen
/// to f32. The bits of the mode `fast` depend on it.
pub fn kernel_name() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if halves::available() {
            return "avx512-fp16";
        }
        if has_pairs() {
            return "avx512-bf16";
        }
        if has_avx2() {
            return "avx2";
        }
    }
    "portable"
}

fn kernel() -> unsafe fn(Tile) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_pairs() {
            return avx512::tile_pairs;
        }
        if has_avx2() {
            return avx2::tile_pairs;
        }
    }
    portable
}

/// Computes a tile of pairs without intrinsics.
///
/// # Safety
/// The pointers of the tile must be valid for its shape.
unsafe fn portable(tile: Tile) {
    for row in 0..tile.rows {
        // SAFETY: row `row` of C has `columns` elements.
        let c = unsafe { tile.c.add(row * tile.c_row) };
        let mut acc = [0.0_f32; NR];
        if tile.start == Start::Output {
            // SAFETY: as above, initialised as the caller promises.
            unsafe { std::ptr::copy_nonoverlapping(c, acc.as_mut_ptr(), tile.columns) };
        }
        for k in 0..tile.k {
            // SAFETY: A has this word, B has `columns` at each k.
            let (a, b) = unsafe {
                (
                    tile.a.add(k * tile.a_column + row * tile.a_row).read(),
                    std::slice::from_raw_parts(tile.b.add(k * tile.b_row), tile.columns),
                )
            };
            let a = a.to_bits();
            for (acc, &b) in acc.iter_mut().zip(words(b)) {
                // Products of two bf16 are exact in f32, so a plain sum is a fused one.
                *acc += half(a, true) * half(b, true);
                *acc += half(a, false) * half(b, false);
            }
        }
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(acc.as_ptr(), c, tile.columns) };
    }
}

#[cfg(test)]
mod tests;

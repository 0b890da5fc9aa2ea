//! Products of integers: `fast` mode with matrices of 4 or 8 bits.
//!
//! Rows of `x` are rounded to 8 bits with one scale for each block of the matrix, as llama.cpp
//! does; the products of a block are summed exactly as integers, blocks are summed as f32. Where
//! the processor has no integer dot products (VNNI), [`available`] is false and the exact product
//! is used.

use super::{Bits, Compact, NR};
use crate::{
    Isa, isa,
    memory::{Aligned, Shared, words_mut},
    parallel,
};

/// Whether this processor, with the instruction set in use, has integer dot products.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        return is_x86_feature_detected!("avx512vnni");
    }
    false
}

/// Whether a matrix can be multiplied this way.
pub fn takes(matrix: &Compact) -> bool {
    available() && matrix.format.has_scales()
}

/// Rows of 8 bits.
#[derive(Debug)]
pub struct ByteRows {
    /// `[rows][inner]` bytes, four a word.
    words: Aligned,
    /// Scale of each block's bytes, `[rows][blocks]`.
    scales: Vec<f32>,
    /// Sums of each block's bytes, as integers and multiplied by the scale; `[rows][blocks]`.
    sums: Aligned,
    totals: Vec<f32>,
    rows: usize,
    inner: usize,
}

impl ByteRows {
    /// Rounds a row-major `[rows, inner]`, with one scale per `block` values.
    ///
    /// # Panics
    /// When rows are not whole, or do not consist of whole blocks of words.
    pub fn new(x: &[f32], inner: usize, block: usize) -> Self {
        assert!(
            x.len().is_multiple_of(inner) && inner.is_multiple_of(block) && block.is_multiple_of(4),
            "whole rows and blocks"
        );
        let blocks = x.len() / block;
        let mut words = Aligned::zeros(x.len() / 4);
        let (mut scales, mut totals) = (vec![0.0; blocks], vec![0.0; blocks]);
        let mut sums = Aligned::zeros(blocks);
        let shared = Shared::new(words.as_mut_slice());
        let shared_sums = Shared::new(sums.as_mut_slice());
        let (shared_scales, shared_totals) = (Shared::new(&mut scales), Shared::new(&mut totals));
        parallel::for_ranges(blocks, 4 * block, &|range| {
            // SAFETY: ranges of blocks do not overlap.
            let (words, scales, sums, totals) = unsafe {
                (
                    shared.slice(range.start * block / 4, range.len() * block / 4),
                    shared_scales.slice(range.start, range.len()),
                    shared_sums.slice(range.start, range.len()),
                    shared_totals.slice(range.start, range.len()),
                )
            };
            let x = &x[range.start * block..range.end * block];
            let words = words_mut(words);
            #[cfg(target_arch = "x86_64")]
            if isa() == Isa::Avx512 && block.is_multiple_of(16) {
                // SAFETY: the processor has AVX-512; the slices hold these blocks.
                return unsafe { x86::round(x, block, words, scales, words_mut(sums), totals) };
            }
            round(x, block, words, scales, words_mut(sums), totals);
        });
        Self {
            words,
            scales,
            sums,
            totals,
            rows: x.len() / inner,
            inner,
        }
    }
}

multiversion! {
    fn round(x: &[f32], block: usize, words: &mut [u32], scales: &mut [f32], sums: &mut [u32], totals: &mut [f32]) {
        let heads = scales.iter_mut().zip(sums.iter_mut().zip(totals));
        let targets = words.chunks_exact_mut(block / 4).zip(heads);
        for (x, (words, (scale, (sum_out, total)))) in x.chunks_exact(block).zip(targets) {
            let mut most = [0.0f32; 8];
            for x in x.as_chunks::<8>().0 {
                for i in 0..8 {
                    most[i] = most[i].max(x[i].abs());
                }
            }
            let most = most.iter().fold(0.0f32, |a, &b| a.max(b));
            let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
            let mut sum = 0i32;
            for (word, x) in words.iter_mut().zip(x.as_chunks::<4>().0) {
                let mut bits = 0;
                for (i, x) in x.iter().enumerate() {
                    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
                    let q = (x * inverse + 12_582_912.0).to_bits() as i32 - 0x4b40_0000;
                    sum += q;
                    bits |= (q as u32 & 0xff) << (8 * i);
                }
                *word = bits;
            }
            *scale = most / 127.0;
            *sum_out = sum as u32;
            *total = *scale * sum as f32;
        }
    }
}

/// Computes products of the same rows with several matrices, `[m, out]` each; every element is
/// written.
///
/// # Panics
/// When a matrix [cannot](takes) be multiplied this way, and as [`products`](super::products).
pub(crate) fn products(x: &[f32], m: usize, parts: &[(&Compact, Shared)]) {
    let Some((first, _)) = parts.first() else {
        return;
    };
    let block = first.format.block;
    for (matrix, c) in parts {
        assert!(takes(matrix), "no integer products");
        assert!(
            x.len() == m * matrix.inner && c.len() >= m * matrix.out,
            "shapes of a product"
        );
        assert_eq!(matrix.format.block, block, "blocks of one size");
    }
    if m == 0 {
        return;
    }
    let rows = ByteRows::new(x, first.inner, block);
    let panels: usize = parts.iter().map(|(matrix, _)| matrix.panels()).sum();
    parallel::for_ranges(panels, m * NR * first.inner / 8, &|range| {
        let mut start = 0;
        for (matrix, c) in parts {
            let end = start + matrix.panels();
            for panel in range.start.max(start)..range.end.min(end) {
                // SAFETY: VNNI is there; panels do not overlap, nor do outputs.
                unsafe { multiply_panel(matrix, &rows, panel - start, *c) };
            }
            start = end;
        }
    });
}

#[cfg(target_arch = "x86_64")]
use x86::multiply_panel;

/// Never called: this product needs VNNI.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn multiply_panel(_: &Compact, _: &ByteRows, _: usize, _: Shared) {
    unreachable!("no integer products")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::super::avx512::mask;
    use super::super::avx512::{Ahead, head, spread, words as load};
    use super::{Bits, ByteRows, Compact, NR, Shared};

    /// Rows that share a register full of weights.
    const ROWS: usize = 6;

    /// As the portable version, with the same bits.
    ///
    /// # Safety
    /// The processor must have AVX-512 (F, BW, DQ, VL); `block` is a multiple of 16, and every
    /// slice has as many blocks as `scales`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn round(
        x: &[f32],
        block: usize,
        words: &mut [u32],
        scales: &mut [f32],
        sums: &mut [u32],
        totals: &mut [f32],
    ) {
        let heads = scales.iter_mut().zip(sums.iter_mut().zip(totals));
        let blocks = x.chunks_exact(block).zip(words.chunks_exact_mut(block / 4));
        for ((x, words), (scale, (sum_out, total))) in blocks.zip(heads) {
            let load = |part: &[f32; 16]| {
                // SAFETY: sixteen floats.
                unsafe { _mm512_loadu_ps(part.as_ptr()) }
            };
            let mut most = _mm512_setzero_ps();
            for part in x.as_chunks::<16>().0 {
                most = _mm512_max_ps(most, _mm512_abs_ps(load(part)));
            }
            let most = _mm512_reduce_max_ps(most);
            let inverse = _mm512_set1_ps(if most > 0.0 { 127.0 / most } else { 0.0 });
            let mut sum = _mm512_setzero_si512();
            let targets = words.as_chunks_mut::<4>().0.iter_mut();
            for (part, target) in x.as_chunks::<16>().0.iter().zip(targets) {
                // To the nearest, ties to even.
                let q = _mm512_cvtps_epi32(_mm512_mul_ps(load(part), inverse));
                sum = _mm512_add_epi32(sum, q);
                // SAFETY: four words.
                unsafe { _mm_storeu_si128(target.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(q)) };
            }
            let sum = _mm512_reduce_add_epi32(sum);
            *scale = most / 127.0;
            *sum_out = sum as u32;
            *total = *scale * sum as f32;
        }
    }

    /// Multiplies all rows with a panel.
    ///
    /// # Safety
    /// The processor must have AVX-512 (F, BW, DQ, VL, VNNI); the matrix must have the panel and
    /// the blocks of the rows; nobody else may touch these columns of C.
    pub(super) unsafe fn multiply_panel(
        matrix: &Compact,
        rows: &ByteRows,
        panel: usize,
        c: Shared,
    ) {
        let tiles = rows.rows.div_ceil(ROWS);
        let ahead = Ahead::of(matrix, panel, rows.rows);
        for part in 0..tiles {
            let from = part * rows.rows / tiles;
            let count = (part + 1) * rows.rows / tiles - from;
            let kernel = match (matrix.format.bits, count) {
                (Bits::Four { .. }, 1) => tile::<1, true>,
                (Bits::Four { .. }, 2) => tile::<2, true>,
                (Bits::Four { .. }, 3) => tile::<3, true>,
                (Bits::Four { .. }, 4) => tile::<4, true>,
                (Bits::Four { .. }, 5) => tile::<5, true>,
                (Bits::Four { .. }, _) => tile::<6, true>,
                (_, 1) => tile::<1, false>,
                (_, 2) => tile::<2, false>,
                (_, 3) => tile::<3, false>,
                (_, 4) => tile::<4, false>,
                (_, 5) => tile::<5, false>,
                (_, _) => tile::<6, false>,
            };
            let zero = match matrix.format.bits {
                Bits::Four { zero } => zero,
                _ => 128,
            };
            // SAFETY: the caller's promises; the rows exist.
            unsafe { kernel(matrix, rows, panel, from, zero, c, ahead.share(part, tiles)) };
        }
    }

    /// Broadcasts one word to every lane.
    ///
    /// # Safety
    /// It exists; AVX-512 F.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    unsafe fn spread_word(at: *const u32) -> __m512i {
        // SAFETY: the caller's promise; the lanes are only moved as floats.
        unsafe { _mm512_castps_si512(spread(at.cast())) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    #[allow(clippy::needless_range_loop)]
    unsafe fn tile<const R: usize, const FOUR: bool>(
        matrix: &Compact,
        rows: &ByteRows,
        panel: usize,
        from: usize,
        zero: u8,
        c: Shared,
        mut ahead: Ahead,
    ) {
        let format = matrix.format;
        let (blocks, block) = (matrix.blocks(), format.block);
        let (scale_words, head_words) = (format.scale_words(), format.head_words());
        let mut record = matrix.panel(panel).as_ptr();
        let width = rows.inner / 4;
        let mut x = rows.words.as_words()[from * width..].as_ptr();
        let part = from * blocks..(from + R) * blocks;
        let mut scales = rows.scales[part.clone()].as_ptr();
        let mut totals = rows.totals[part.clone()].as_ptr();
        let mut byte_sums = rows.sums.as_words()[part].as_ptr();
        let shift = _mm_cvtsi32_si128(zero.max(1).ilog2() as i32);
        let low = _mm512_set1_epi8(15);
        let sign = _mm512_set1_epi8(-128);
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        for _ in 0..blocks {
            let mut dots = [[_mm512_setzero_si512(); 2]; R];
            if zero > 0 {
                // The offset of the bytes is a power of two; it is subtracted first.
                for row in 0..R {
                    // SAFETY: a sum for every row and block.
                    let sum = unsafe { spread_word(byte_sums.wrapping_add(row * blocks)) };
                    let excess = _mm512_sll_epi32(sum, shift);
                    dots[row] = [_mm512_sub_epi32(_mm512_setzero_si512(), excess); 2];
                }
            }
            ahead.fetch();
            let mut words = record.wrapping_add(head_words);
            for _ in 0..block / if FOUR { 8 } else { 4 } {
                for v in 0..2 {
                    // SAFETY: the values of a record, and as many bytes of every row.
                    unsafe {
                        let q = load(words.wrapping_add(16 * v));
                        if FOUR {
                            let first = _mm512_and_si512(q, low);
                            let second = _mm512_and_si512(_mm512_srli_epi32::<4>(q), low);
                            for row in 0..R {
                                let at = x.wrapping_add(row * width);
                                let dot = &mut dots[row][v];
                                *dot = _mm512_dpbusd_epi32(*dot, first, spread_word(at));
                                let next = spread_word(at.wrapping_add(1));
                                *dot = _mm512_dpbusd_epi32(*dot, second, next);
                            }
                        } else {
                            // Signed bytes become unsigned ones that are 128 too large.
                            let q = _mm512_xor_si512(q, sign);
                            for row in 0..R {
                                let x = spread_word(x.wrapping_add(row * width));
                                dots[row][v] = _mm512_dpbusd_epi32(dots[row][v], q, x);
                            }
                        }
                    }
                }
                words = words.wrapping_add(NR);
                x = x.wrapping_add(if FOUR { 2 } else { 1 });
            }
            for v in 0..2 {
                // SAFETY: a record begins with its scales and least values.
                let (scale, least) = unsafe {
                    let least = match format.least {
                        true => head(format.half, record.wrapping_add(scale_words), v),
                        false => _mm512_setzero_ps(),
                    };
                    (head(format.half, record, v), least)
                };
                for row in 0..R {
                    let sums = &mut sums[row][v];
                    let dot = _mm512_cvtepi32_ps(dots[row][v]);
                    // SAFETY: a scale and a total for every row and block.
                    let (by, total) = unsafe {
                        (
                            spread(scales.wrapping_add(row * blocks)),
                            spread(totals.wrapping_add(row * blocks)),
                        )
                    };
                    *sums = _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, by), *sums);
                    if format.least {
                        *sums = _mm512_fmadd_ps(least, total, *sums);
                    }
                }
            }
            scales = scales.wrapping_add(1);
            totals = totals.wrapping_add(1);
            byte_sums = byte_sums.wrapping_add(1);
            record = record.wrapping_add(format.record_words());
        }
        let columns = matrix.out - panel * NR;
        for (row, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let c = c.at((from + row) * matrix.out + panel * NR);
                // SAFETY: columns beyond the last are masked.
                unsafe {
                    let c = c.wrapping_add(16 * v);
                    _mm512_mask_storeu_ps(c, mask(columns.saturating_sub(16 * v)), *sum);
                }
            }
        }
    }
}

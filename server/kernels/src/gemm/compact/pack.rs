//! Packing of compact matrices.

use half::f16;

use super::{Bits, Compact, Format, NR, unpack::SHIFTS};
use crate::{
    memory::{Aligned, Shared, words_mut},
    parallel,
};

/// One row of a matrix of integers.
#[derive(Debug)]
pub struct RowParts<'a> {
    /// Integers, `[inner]`, without the offset that the layout adds.
    pub quants: &'a mut [i8],
    /// One scale per block.
    pub scales: &'a mut [f32],
    /// Least value of each block, added to its scaled integers; not read where the format has none.
    pub leasts: &'a mut [f32],
}

impl Compact {
    /// Packs integers with scales; `row` fills one row after the other, in parallel.
    ///
    /// # Panics
    /// When `inner` is not a multiple of the block, or the format has no scales.
    pub fn from_rows(
        out: usize,
        inner: usize,
        format: Format,
        row: &(impl Fn(usize, RowParts<'_>) + Sync),
    ) -> Self {
        assert!(
            format.has_scales() && format.block.is_multiple_of(8),
            "integers with scales"
        );
        assert!(inner.is_multiple_of(format.block), "whole blocks");
        let blocks = inner / format.block;
        Self::pack(out, inner, format, &|panel, rows, target| {
            let mut quants = vec![0; inner];
            let (mut scales, mut leasts) = (vec![0.0; blocks], vec![0.0; blocks]);
            for i in 0..rows {
                let parts = RowParts {
                    quants: &mut quants,
                    scales: &mut scales,
                    leasts: &mut leasts,
                };
                row(panel * NR + i, parts);
                for (block, record) in target.chunks_exact_mut(format.record_words()).enumerate() {
                    let quants = &quants[block * format.block..][..format.block];
                    write_block(format, record, i, quants, scales[block], leasts[block]);
                }
            }
        })
    }

    /// Packs 16-bit floats, given as bits; `value` returns the bits at a row and column.
    ///
    /// # Panics
    /// When the format has scales.
    pub fn from_floats(
        out: usize,
        inner: usize,
        format: Format,
        value: &(impl Fn(usize, usize) -> u16 + Sync),
    ) -> Self {
        assert!(!format.has_scales(), "16-bit floats");
        Self::pack(out, inner, format, &|panel, rows, target| {
            for i in 0..rows {
                for (k, record) in target.chunks_exact_mut(NR / 2).enumerate() {
                    let word = u32::from(value(panel * NR + i, k));
                    record[i / 2] |= word << (16 * (i % 2));
                }
            }
        })
    }

    fn pack(
        out: usize,
        inner: usize,
        format: Format,
        fill: &(impl Fn(usize, usize, &mut [u32]) + Sync),
    ) -> Self {
        let panels = out.div_ceil(NR);
        let words = inner / format.block * format.record_words();
        let mut data = Aligned::zeros(panels * words);
        let shared = Shared::new(data.as_mut_slice());
        parallel::for_ranges(panels, 4 * inner * NR, &|range| {
            for panel in range {
                // SAFETY: every panel is a part of its own.
                let target = unsafe { shared.slice(panel * words, words) };
                fill(panel, NR.min(out - panel * NR), words_mut(target));
            }
        });
        Self {
            data,
            out,
            inner,
            format,
        }
    }
}

/// Puts a block of output `i` into a record of zeros.
fn write_block(
    format: Format,
    record: &mut [u32],
    i: usize,
    quants: &[i8],
    scale: f32,
    least: f32,
) {
    let words = format.scale_words();
    let mut head = |first: usize, value: f32| {
        if format.half {
            let bits = u32::from(f16::from_f32(value).to_bits());
            record[first + i / 2] |= bits << (16 * (i % 2));
        } else {
            record[first + i] = value.to_bits();
        }
    };
    head(0, scale);
    if format.least {
        head(words, least);
    }
    let values = &mut record[format.head_words()..];
    match format.bits {
        Bits::Four { zero } => {
            for (quants, words) in quants
                .as_chunks::<8>()
                .0
                .iter()
                .zip(values.chunks_exact_mut(NR))
            {
                let nibble = |(&q, shift): (&i8, u32)| {
                    u32::from(q.wrapping_add(zero as i8) as u8 & 15) << shift
                };
                words[i] = quants.iter().zip(SHIFTS).map(nibble).fold(0, |a, b| a | b);
            }
        }
        Bits::Eight => {
            for (quants, words) in quants
                .as_chunks::<4>()
                .0
                .iter()
                .zip(values.chunks_exact_mut(NR))
            {
                words[i] = u32::from_le_bytes(quants.map(|q| q as u8));
            }
        }
        Bits::Bf16 | Bits::F16 => {}
    }
}

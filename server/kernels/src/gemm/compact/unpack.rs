//! Conversion of records to f32, for every instruction set.

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{Bits, Format, NR};
use crate::{Isa, isa};

/// Bit positions of the eight values in a word of nibbles.
pub(super) const SHIFTS: [u32; 8] = [0, 8, 16, 24, 4, 12, 20, 28];

/// Widens an f16 that is neither infinite nor NaN, without a table or a branch.
#[inline(always)]
pub(super) fn widen(half: u32) -> f32 {
    // These are the bits of an f32 whose exponent is 112 too small. The product corrects it, also
    // for subnormal numbers.
    let magnitude = f32::from_bits((half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (half & 0x8000) << 16)
}

#[inline(always)]
fn lane(words: &[u32], lane: usize) -> u32 {
    words[lane / 2] >> (16 * (lane % 2)) & 0xffff
}

/// Reads the scales and least values of a record's outputs. Without least values it returns
/// negative zeros, which change no sum.
#[inline(always)]
fn heads(format: Format, record: &[u32]) -> ([f32; NR], [f32; NR]) {
    let words = format.scale_words();
    let read = |words: &[u32], target: &mut [f32; NR]| {
        for (i, target) in target.iter_mut().enumerate() {
            *target = match format.half {
                true => widen(lane(words, i)),
                false => f32::from_bits(words[i]),
            };
        }
    };
    let (mut scale, mut least) = ([0.0; NR], [-0.0; NR]);
    read(&record[..words], &mut scale);
    if format.least {
        read(&record[words..2 * words], &mut least);
    }
    (scale, least)
}

/// Writes whole blocks as `[values][NR]`.
pub(super) fn panel(format: Format, records: &[u32], target: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        // SAFETY: the processor has AVX-512.
        return unsafe { avx512::panel(format, records, target) };
    }
    match format.bits {
        Bits::Four { zero } => four(format, i32::from(zero), records, target),
        Bits::Eight => eight(format, records, target),
        Bits::Bf16 => bf16(records, target),
        Bits::F16 => f16(records, target),
    }
}

multiversion! {
    fn four(format: Format, zero: i32, records: &[u32], target: &mut [f32]) {
        let records = records.chunks_exact(format.record_words());
        for (record, target) in records.zip(target.chunks_exact_mut(format.block * NR)) {
            let (scale, least) = heads(format, record);
            let words = record[format.head_words()..].as_chunks::<NR>().0;
            for (words, target) in words.iter().zip(target.as_chunks_mut::<{ 8 * NR }>().0) {
                for (k, target) in target.as_chunks_mut::<NR>().0.iter_mut().enumerate() {
                    for i in 0..NR {
                        let q = (words[i] >> SHIFTS[k] & 15) as i32 - zero;
                        target[i] = scale[i] * q as f32 + least[i];
                    }
                }
            }
        }
    }

    fn eight(format: Format, records: &[u32], target: &mut [f32]) {
        let records = records.chunks_exact(format.record_words());
        for (record, target) in records.zip(target.chunks_exact_mut(format.block * NR)) {
            let (scale, least) = heads(format, record);
            let words = record[format.head_words()..].as_chunks::<NR>().0;
            for (words, target) in words.iter().zip(target.as_chunks_mut::<{ 4 * NR }>().0) {
                for (k, target) in target.as_chunks_mut::<NR>().0.iter_mut().enumerate() {
                    for i in 0..NR {
                        let q = (words[i] << (24 - 8 * k)) as i32 >> 24;
                        target[i] = scale[i] * q as f32 + least[i];
                    }
                }
            }
        }
    }

    fn bf16(records: &[u32], target: &mut [f32]) {
        let records = records.as_chunks::<{ NR / 2 }>().0;
        for (record, target) in records.iter().zip(target.as_chunks_mut::<NR>().0) {
            for (i, value) in target.iter_mut().enumerate() {
                *value = f32::from_bits(lane(record, i) << 16);
            }
        }
    }

    fn f16(records: &[u32], target: &mut [f32]) {
        let records = records.as_chunks::<{ NR / 2 }>().0;
        for (record, target) in records.iter().zip(target.as_chunks_mut::<NR>().0) {
            for (i, value) in target.iter_mut().enumerate() {
                *value = widen(lane(record, i));
            }
        }
    }
}

/// Writes one output's values of one record.
pub(super) fn row(format: Format, record: &[u32], output: usize, target: &mut [f32]) {
    let (head, words) = record.split_at(format.head_words());
    let (scale, least) = match format.has_scales() {
        true => {
            let (scale, least) = heads(format, head);
            (scale[output], least[output])
        }
        false => (1.0, -0.0),
    };
    for (k, target) in target.iter_mut().enumerate() {
        *target = match format.bits {
            Bits::Four { zero } => {
                let q = words[k / 8 * NR + output] >> SHIFTS[k % 8] & 15;
                scale * (q as i32 - i32::from(zero)) as f32 + least
            }
            Bits::Eight => {
                let q = (words[k / 4 * NR + output] << (24 - 8 * (k % 4))) as i32 >> 24;
                scale * q as f32 + least
            }
            Bits::Bf16 => f32::from_bits(lane(words, output) << 16),
            Bits::F16 => widen(lane(words, output)),
        };
    }
}

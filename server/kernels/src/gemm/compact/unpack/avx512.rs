//! [`panel`](super::panel) with AVX-512.

use std::arch::x86_64::*;

use super::super::{
    Bits, Format, NR,
    avx512::{head, widen, words as load},
};

/// Writes whole blocks of a panel as `[values][NR]`.
///
/// # Safety
/// The processor must have AVX-512 (F, BW, DQ, VL).
///
/// # Panics
/// When there are fewer records than `target` takes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn panel(format: Format, records: &[u32], target: &mut [f32]) {
    let blocks = target.len() / (format.block * NR);
    assert!(
        blocks * format.record_words() <= records.len(),
        "too few records"
    );
    let mut record = records.as_ptr();
    let mut target = target.as_mut_ptr();
    assert!(
        record.cast::<__m512i>().is_aligned() && target.cast::<__m512>().is_aligned(),
        "records and scratch start at cache lines"
    );
    let zero = match format.bits {
        Bits::Four { zero } => -i32::from(zero),
        _ => 0,
    };
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let table = _mm512_cvtepi32_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(zero)));
    for _ in 0..blocks {
        // SAFETY: `blocks` records of `block` values each lie within both slices.
        unsafe {
            let mut scale = [_mm512_setzero_ps(); 2];
            let mut least = [_mm512_set1_ps(-0.0); 2];
            if format.has_scales() {
                for v in 0..2 {
                    scale[v] = head(format.half, record, v);
                    if format.least {
                        least[v] = head(format.half, record.wrapping_add(format.scale_words()), v);
                    }
                }
            }
            let mut words = record.wrapping_add(format.head_words());
            match format.bits {
                Bits::Four { .. } => {
                    for _ in 0..format.block / 8 {
                        for v in 0..2 {
                            let q = load(words.wrapping_add(16 * v));
                            macro_rules! step {
                                ($k:literal, $shift:literal) => {
                                    let index = _mm512_srli_epi32::<$shift>(q);
                                    let value = _mm512_permutexvar_ps(index, table);
                                    let value = _mm512_fmadd_ps(value, scale[v], least[v]);
                                    _mm512_store_ps(target.wrapping_add($k * NR + 16 * v), value);
                                };
                            }
                            step!(0, 0);
                            step!(1, 8);
                            step!(2, 16);
                            step!(3, 24);
                            step!(4, 4);
                            step!(5, 12);
                            step!(6, 20);
                            step!(7, 28);
                        }
                        words = words.wrapping_add(NR);
                        target = target.wrapping_add(8 * NR);
                    }
                }
                Bits::Eight => {
                    for _ in 0..format.block / 4 {
                        for v in 0..2 {
                            let q = load(words.wrapping_add(16 * v));
                            macro_rules! step {
                                ($k:literal, $left:literal) => {
                                    let value = _mm512_slli_epi32::<$left>(q);
                                    let value = _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(value));
                                    let value = _mm512_fmadd_ps(value, scale[v], least[v]);
                                    _mm512_store_ps(target.wrapping_add($k * NR + 16 * v), value);
                                };
                            }
                            step!(0, 24);
                            step!(1, 16);
                            step!(2, 8);
                            step!(3, 0);
                        }
                        words = words.wrapping_add(NR);
                        target = target.wrapping_add(4 * NR);
                    }
                }
                Bits::Bf16 | Bits::F16 => {
                    for v in 0..2 {
                        let bits = _mm256_load_si256(words.wrapping_add(8 * v).cast());
                        let value = widen(bits, format.bits == Bits::Bf16);
                        _mm512_store_ps(target.wrapping_add(16 * v), value);
                    }
                    target = target.wrapping_add(NR);
                }
            }
            record = record.wrapping_add(format.record_words());
        }
    }
}

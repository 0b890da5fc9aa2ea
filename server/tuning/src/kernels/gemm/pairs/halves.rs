//! Products of f16 values with f16 sums: `fast` mode on processors with AVX512-FP16.
//!
//! There a multiply-add of 32 f16 values takes as long as one of 16 floats, while VDPBF16PS takes
//! four times as long. Two things make f16 do for any model:
//!
//! - Range: every row of the left operand and every matrix is scaled by a power of two, which is
//!   exact, so that a product lies below 2⁹ whatever the values are.
//! - Sums: at most [`CHUNK`] products are added in f16, below 2¹⁵; these sums are added in f32, in
//!   order. The chunks follow from the shape alone, so neither blocking nor threads show.

use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use half::f16;

use super::super::{MR, Start, Tile, avx512, avx512::mask, first_row, row_panels};
use super::{Rows, words_of};
use crate::kernels::{
    Isa, isa,
    memory::{Aligned, Shared, filled, words_mut},
    parallel,
};

/// Columns of a panel: two vectors of 32.
pub(super) const HR: usize = 64;
/// Products that are added in f16.
pub(super) const CHUNK: usize = 64;
/// Scaled rows of A lie below two to this.
const LEFT_BITS: i32 = 5;
/// Scaled matrices lie below two to this.
const RIGHT_BITS: i32 = 4;

/// Whether frozen matrices are stored in f16 from now on.
pub(super) fn available() -> bool {
    isa() == Isa::Avx512 && is_x86_feature_detected!("avx512fp16")
}

/// The power of two that brings values below `max` just below 2^`bits`. Held to ±60, so that two
/// of them and their inverses can be multiplied.
fn scale_to(max: f32, bits: i32) -> f32 {
    if max == 0.0 || !max.is_finite() {
        return 1.0;
    }
    // The exponent of a subnormal reads as -127: it is held to 60 anyway.
    let exponent = (max.to_bits() >> 23) as i32 - 127;
    let power = (bits - 1 - exponent).clamp(-60, 60);
    f32::from_bits(((power + 127) as u32) << 23)
}

/// A frozen matrix in f16 as panels of [`HR`] outputs: `[panel][2 * words_of(inner)][HR]`, zeros
/// behind the last.
#[derive(Debug)]
pub(super) struct Halves {
    data: Aligned,
    out: usize,
    inner: usize,
    /// What a stored value was multiplied with.
    scale: f32,
}

impl Halves {
    /// Scales, rounds and packs `[out, inner]`, row-major, on a processor that has f16 products.
    pub fn new(weight: &[f32], out: usize, inner: usize) -> Self {
        let max = AtomicU32::new(0);
        parallel::for_ranges(out, inner, &|range| {
            let part = &weight[range.start * inner..range.end * inner];
            // Floats above zero are ordered as their bits are.
            let largest = part
                .iter()
                .fold(0, |max, value| value.abs().to_bits().max(max));
            max.fetch_max(largest, Ordering::Relaxed);
        });
        let scale = scale_to(f32::from_bits(max.into_inner()), RIGHT_BITS);
        let width = inner.div_ceil(2);
        // SAFETY: every word of every row is written.
        let rounded = unsafe {
            filled(out * width, |target| {
                parallel::for_ranges(out, inner, &|range| {
                    for row in range {
                        let source = &weight[row * inner..][..inner];
                        // SAFETY: rows do not overlap.
                        let target = words_mut(target.slice(row * width, width));
                        // SAFETY: the caller has seen that the processor has AVX-512.
                        round(source, scale, target);
                    }
                });
            })
        };
        let halves = floats_as_halves(&rounded);
        Self::from_fn(out, inner, scale, |row, k| halves[row * 2 * width + k])
    }

    /// The same values transposed.
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.inner, self.out, self.scale, |row, k| self.bits(k, row))
    }

    fn from_fn(
        out: usize,
        inner: usize,
        scale: f32,
        bits: impl Fn(usize, usize) -> u16 + Sync,
    ) -> Self {
        let height = 2 * words_of(inner);
        let panels = out.div_ceil(HR);
        let mut data = Aligned::zeros(panels * height * HR / 2);
        let shared = Shared::new(data.as_mut_slice());
        parallel::for_ranges(panels, inner * HR, &|range| {
            for panel in range {
                // SAFETY: every panel is a part of its own.
                let target = unsafe { shared.slice(panel * height * HR / 2, height * HR / 2) };
                let target = floats_as_halves_mut(target);
                let first = panel * HR;
                // Blocks of 16 values: source lines are read whole.
                for from in (0..inner).step_by(16) {
                    for row in 0..HR.min(out - first) {
                        for k in from..inner.min(from + 16) {
                            target[k * HR + row] = bits(first + row, k);
                        }
                    }
                }
            }
        });
        Self {
            data,
            out,
            inner,
            scale,
        }
    }

    fn bits(&self, row: usize, k: usize) -> u16 {
        let panel = (row / HR) * 2 * words_of(self.inner) * HR;
        floats_as_halves(self.data.as_slice())[panel + k * HR + row % HR]
    }

    /// The value at a place, unscaled.
    pub fn value(&self, row: usize, k: usize) -> f32 {
        f16::from_bits(self.bits(row, k)).to_f32() / self.scale
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}

fn floats_as_halves(values: &[f32]) -> &[u16] {
    // SAFETY: twice as many of half the size and a lower alignment; every bit pattern is one.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), 2 * values.len()) }
}

fn floats_as_halves_mut(values: &mut [f32]) -> &mut [u16] {
    // SAFETY: as above, and every bit pattern is a float too.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), 2 * values.len()) }
}

/// A left operand ready for products: each value scaled, rounded and twice in a word.
pub(super) struct Left {
    /// `[rows, inner]`, `inner` even.
    words: Vec<f32>,
    /// What takes back the scale of each row.
    back: Vec<f32>,
    rows: usize,
    inner: usize,
}

impl Left {
    /// From rows of bf16 pairs.
    pub fn new(x: Rows<'_>) -> Self {
        let (rows, width) = (x.rows(), words_of(x.inner));
        let mut back = vec![1.0; rows];
        let scales = Shared::new(&mut back);
        // SAFETY: every word of every row is written.
        let words = unsafe {
            filled(rows * 2 * width, |target| {
                parallel::for_ranges(rows, 2 * width, &|range| {
                    for row in range {
                        let source = &x.words[row * width..][..width];
                        // SAFETY: rows do not overlap.
                        let target = words_mut(target.slice(row * 2 * width, 2 * width));
                        // SAFETY: f16 matrices exist on processors with AVX-512 alone.
                        scales.slice(row, 1)[0] = 1.0 / double(source, target);
                    }
                });
            })
        };
        Self {
            words,
            back,
            rows,
            inner: 2 * width,
        }
    }
}

/// Scales and rounds a row to halves, two a word, zero behind an odd end.
///
/// # Safety
/// The processor must have AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn round(source: &[f32], scale: f32, target: &mut [u32]) {
    let scale = _mm512_set1_ps(scale);
    for (source, target) in source.chunks(16).zip(target.chunks_mut(8)) {
        let mask = mask(source.len());
        // SAFETY: lanes beyond the chunk are not read.
        let values = unsafe { _mm512_maskz_loadu_ps(mask, source.as_ptr()) };
        let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
            _mm512_mul_ps(values, scale),
        );
        let mut all = [0_u32; 8];
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), halves) };
        target.copy_from_slice(&all[..target.len()]);
    }
}

/// Scales a row of bf16 pairs and writes each value twice into a word of its own, `[2 * words]`;
/// returns the scale.
///
/// # Safety
/// The processor must have AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn double(source: &[u32], target: &mut [u32]) -> f32 {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let load = |source: &[u32]| {
        // SAFETY: lanes beyond the chunk are not read.
        let words = unsafe { _mm512_maskz_loadu_epi32(mask(source.len()), source.as_ptr().cast()) };
        let even = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words));
        let odd = _mm512_castsi512_ps(_mm512_and_si512(words, upper));
        (even, odd)
    };
    let mut max = _mm512_setzero_ps();
    for source in source.chunks(16) {
        let (even, odd) = load(source);
        max = _mm512_max_ps(max, _mm512_abs_ps(even));
        max = _mm512_max_ps(max, _mm512_abs_ps(odd));
    }
    let scale = scale_to(_mm512_reduce_max_ps(max), LEFT_BITS);
    let scales = _mm512_set1_ps(scale);
    let doubled = |values| {
        let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
            _mm512_mul_ps(values, scales),
        );
        let words = _mm512_cvtepu16_epi32(halves);
        _mm512_or_si512(words, _mm512_slli_epi32::<16>(words))
    };
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for (source, target) in source.chunks(16).zip(target.chunks_mut(32)) {
        let (even, odd) = load(source);
        let (even, odd) = (doubled(even), doubled(odd));
        let at = target.as_mut_ptr().cast::<i32>();
        // SAFETY: lanes beyond the chunk are not written.
        unsafe {
            let low = _mm512_permutex2var_epi32(even, first, odd);
            _mm512_mask_storeu_epi32(at, mask(target.len()), low);
            let high = _mm512_permutex2var_epi32(even, second, odd);
            let rest = mask(target.len().saturating_sub(16));
            _mm512_mask_storeu_epi32(at.wrapping_add(16), rest, high);
        }
    }
    scale
}

/// F16 sums of a tile, `[MR][HR]`.
#[repr(C, align(64))]
struct Sums([u16; MR * HR]);

/// A checked product, of which any block of tiles can be computed by itself.
pub(super) struct Product<'a> {
    left: &'a Left,
    right: &'a Halves,
    c: Shared,
    c_row: usize,
    start: Start,
}

impl<'a> Product<'a> {
    /// # Panics
    /// When an operand is too short for the shape, or there are no rows.
    pub fn new(left: &'a Left, right: &'a Halves, c: Shared, c_row: usize, start: Start) -> Self {
        assert_eq!(left.inner, 2 * words_of(right.inner), "inner dimensions");
        assert!(left.rows > 0, "an empty product");
        assert!(
            c_row >= right.out && (left.rows - 1) * c_row + right.out <= c.len(),
            "C is too short"
        );
        Self {
            left,
            right,
            c,
            c_row,
            start,
        }
    }

    pub fn row_panels(&self) -> usize {
        row_panels(self.left.rows)
    }

    pub fn column_panels(&self) -> usize {
        self.right.out.div_ceil(HR)
    }

    /// Multiply-adds.
    pub fn work(&self) -> usize {
        self.left.rows * self.right.out * self.left.inner
    }

    /// Computes the tiles of these panels of rows and of columns.
    ///
    /// # Safety
    /// Nobody else may touch these elements of C; they are initialised where the sums go on from
    /// them.
    pub unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        let inner = self.left.inner;
        let (a, b) = (&self.left.words, self.right.data.as_slice());
        // A panel's row of 64 halves is as long as one of 32 floats.
        let (b_row, panel) = (HR / 2, inner * HR / 2);
        let mut sums = Sums([0; MR * HR]);
        for j in columns {
            let width = HR.min(self.right.out - j * HR);
            // The panels of a tile row share the fetching of the next panel of B.
            let next = b.get((j + 1) * panel..).filter(|next| !next.is_empty());
            let (share, step) = match next {
                Some(_) => (panel / rows.len(), (4 * b_row).div_ceil(rows.len())),
                None => (0, 0),
            };
            for i in rows.clone() {
                let from = first_row(self.left.rows, i);
                let height = first_row(self.left.rows, i + 1) - from;
                let fetched = next.map_or(a.as_ptr(), |next| {
                    next.as_ptr().wrapping_add((i - rows.start) * share)
                });
                for k in (0..inner).step_by(CHUNK) {
                    let tile = Tile {
                        k: CHUNK.min(inner - k),
                        a: a[from * inner + k..].as_ptr(),
                        a_row: inner,
                        a_column: 1,
                        rows: height,
                        b: b[j * panel + k * b_row..].as_ptr(),
                        b_row,
                        c: sums.0.as_mut_ptr().cast(),
                        c_row: HR / 2,
                        columns: width.div_ceil(2),
                        start: Start::Zero,
                        prefetch: fetched.wrapping_byte_add(k * step),
                        prefetch_step: step,
                    };
                    let onto = k > 0 || self.start == Start::Output;
                    // SAFETY: the tile lies within A, B and the sums, which `new` and the
                    // shapes of both operands bound; the caller vouches for C, and whoever
                    // made the matrix for the processor.
                    unsafe {
                        avx512::tile_halves(tile);
                        self.widen(&sums, from..from + height, j * HR, width, onto);
                    }
                }
            }
        }
    }

    /// Takes back the scales of a tile of sums and writes or adds it to C.
    ///
    /// # Safety
    /// As [`run`](Self::run); the processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn widen(
        &self,
        sums: &Sums,
        rows: Range<usize>,
        column: usize,
        width: usize,
        onto: bool,
    ) {
        let down = 1.0 / self.right.scale;
        for (row, sums) in rows.zip(sums.0.chunks_exact(HR)) {
            let scale = _mm512_set1_ps(self.left.back[row] * down);
            let c = self.c.at(row * self.c_row + column);
            // Whole vectors, as they were stored a moment ago: loads of their halves would wait.
            for (from, sums) in (0..width).step_by(32).zip(sums.chunks_exact(32)) {
                // SAFETY: 32 halves; lanes of C beyond the width are neither read nor written.
                unsafe {
                    let sums = _mm512_load_si512(sums.as_ptr().cast());
                    let low = _mm512_cvtph_ps(_mm512_castsi512_si256(sums));
                    let high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(sums));
                    add_scaled(low, scale, c.add(from), mask(width - from), onto);
                    let rest = (width - from).saturating_sub(16);
                    add_scaled(high, scale, c.wrapping_add(from + 16), mask(rest), onto);
                }
            }
        }
    }
}

/// Writes `values` times `scale`, or adds it, to the lanes of the mask.
///
/// # Safety
/// Those lanes of `c` must be valid, and initialised when they are added to.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn add_scaled(values: __m512, scale: __m512, c: *mut f32, mask: u16, onto: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let old = if onto {
            _mm512_maskz_loadu_ps(mask, c)
        } else {
            _mm512_setzero_ps()
        };
        _mm512_mask_storeu_ps(c, mask, _mm512_fmadd_ps(values, scale, old));
    }
}

//! Few rows times a compact matrix with AVX-512: values are widened in registers.

use std::{arch::x86_64::*, ops::Range};

use super::{super::avx512::mask, Bits, Compact, Format, NR};
use crate::memory::Shared;

/// A kernel call: `ROWS` rows times `PANELS` neighbouring panels.
#[derive(Clone, Copy)]
struct Job {
    format: Format,
    blocks: usize,
    /// Records of the first panel, and the distance of two panels in words.
    records: *const u32,
    panel_words: usize,
    x: *const f32,
    inner: usize,
    c: *mut f32,
    c_row: usize,
    /// Number of outputs that exist.
    columns: usize,
    ahead: Ahead,
}

/// Prefetch of the records of the next panel, of which each tile of this panel fetches a share.
/// Where all texts of a batch use a weight, waiting for it costs as much as multiplying with it.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    at: *const u32,
    /// Words to fetch per record, from `at` on, and words of a record.
    words: usize,
    record: usize,
}

impl Ahead {
    /// Returns the prefetch of the panel after this one, if there is one. One or two rows are
    /// multiplied so fast that the processor's own prefetching is ahead of any hint.
    pub(super) fn of(matrix: &Compact, panel: usize, rows: usize) -> Self {
        let record = matrix.format.record_words();
        let next =
            (rows > 2 && panel + 1 < matrix.panels()).then(|| matrix.panel(panel + 1).as_ptr());
        Self {
            at: next.unwrap_or(std::ptr::null()),
            words: if next.is_some() { record } else { 0 },
            record,
        }
    }

    /// Returns the share of tile `tile` out of `tiles`.
    pub(super) fn share(self, tile: usize, tiles: usize) -> Self {
        let line = |tile: usize| tile * (self.words / 16) / tiles * 16;
        Self {
            at: self.at.wrapping_add(line(tile)),
            words: line(tile + 1) - line(tile),
            record: self.record,
        }
    }

    /// Prefetches this share of the next record.
    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        for word in (0..self.words).step_by(16) {
            // SAFETY: a hint about any address; it never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.at.wrapping_add(word).cast()) };
        }
        self.at = self.at.wrapping_add(self.record);
    }
}

/// Computes rows of a product in a range of panels.
///
/// # Safety
/// The processor must have AVX-512 (F, BW, DQ, VL); `x` is `[m, inner]`, nobody
/// else may touch these columns of C, `[m, out]`.
pub(super) unsafe fn multiply_panels(
    matrix: &Compact,
    x: &[f32],
    m: usize,
    panels: Range<usize>,
    c: Shared,
) {
    assert!(
        x.len() == m * matrix.inner && c.len() >= m * matrix.out,
        "shapes"
    );
    // Most rows whose sums and operands fit the registers.
    let most = if matrix.format.has_scales() { 8 } else { 6 };
    let tiles = m.div_ceil(most);
    let mut panel = panels.start;
    while panel < panels.end {
        // One or two rows have too few chains of multiply-adds to hide their latency.
        let together = if m <= 2 { 2.min(panels.end - panel) } else { 1 };
        let ahead = Ahead::of(matrix, panel, m);
        for tile in 0..tiles {
            let (from, to) = (tile * m / tiles, (tile + 1) * m / tiles);
            let job = Job {
                format: matrix.format,
                blocks: matrix.blocks(),
                records: matrix.data.as_words()[panel * matrix.panel_words()..].as_ptr(),
                panel_words: matrix.panel_words(),
                x: x[from * matrix.inner..].as_ptr(),
                inner: matrix.inner,
                c: c.at(from * matrix.out + panel * NR),
                c_row: matrix.out,
                columns: matrix.out - panel * NR,
                ahead: ahead.share(tile, tiles),
            };
            // SAFETY: the matrix has these panels, `x` these rows, and C these columns, of which
            // those beyond the last are masked.
            unsafe {
                match (to - from, together) {
                    (1, 2) => kernel::<1, 2>(job),
                    (1, _) => kernel::<1, 1>(job),
                    (2, 2) => kernel::<2, 2>(job),
                    (2, _) => kernel::<2, 1>(job),
                    (3, _) => kernel::<3, 1>(job),
                    (4, _) => kernel::<4, 1>(job),
                    (5, _) => kernel::<5, 1>(job),
                    (6, _) => kernel::<6, 1>(job),
                    (7, _) => kernel::<7, 1>(job),
                    (8, _) => kernel::<8, 1>(job),
                    _ => unreachable!("one to eight rows"),
                }
            }
        }
        panel += together;
    }
}

/// Loads sixteen words of a record, which starts at a cache line.
///
/// Neither an unaligned load nor a read of a pointer: where debug assertions are on, those check
/// their pointers each time.
///
/// # Safety
/// They exist and are aligned; AVX-512 F.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
pub(super) unsafe fn words(at: *const u32) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_load_si512(at.cast()) }
}

/// Broadcasts one float to every lane.
///
/// # Safety
/// It exists; AVX-512 F.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
pub(super) unsafe fn spread(at: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_broadcastss_ps(_mm_load_ss(at)) }
}

/// Loads scales, or least values, of 16 outputs.
///
/// # Safety
/// `words` points to the scales of a record; AVX-512 F.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
pub(super) unsafe fn head(half: bool, words: *const u32, v: usize) -> __m512 {
    // SAFETY: a record has 32 scales, as f16 or f32.
    unsafe {
        if half {
            _mm512_cvtph_ps(_mm256_load_si256(words.wrapping_add(8 * v).cast()))
        } else {
            _mm512_load_ps(words.wrapping_add(16 * v).cast())
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn kernel<const ROWS: usize, const PANELS: usize>(job: Job) {
    let mut acc = [[[_mm512_setzero_ps(); 2]; PANELS]; ROWS];
    // SAFETY: the caller's promises are theirs.
    unsafe {
        match job.format.bits {
            Bits::Four { zero } => four(job, zero, &mut acc),
            Bits::Eight => eight(job, &mut acc),
            Bits::Bf16 => floats::<ROWS, PANELS, true>(job, &mut acc),
            Bits::F16 => floats::<ROWS, PANELS, false>(job, &mut acc),
        }
    }
    for (row, acc) in acc.iter().enumerate() {
        for (panel, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                let first = panel * NR + 16 * v;
                let c = job.c.wrapping_add(row * job.c_row + first);
                // SAFETY: columns beyond the last are masked.
                unsafe {
                    _mm512_mask_storeu_ps(c, mask(job.columns.saturating_sub(first)), *acc);
                }
            }
        }
    }
}

/// Loads words of values of neighbouring panels.
///
/// # Safety
/// They exist; AVX-512 F.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
unsafe fn load<const PANELS: usize>(words: *const u32, distance: usize) -> [[__m512i; 2]; PANELS] {
    std::array::from_fn(|panel| {
        std::array::from_fn(|v| {
            let at = words.wrapping_add(panel * distance + 16 * v);
            // SAFETY: the caller's promise.
            unsafe { self::words(at) }
        })
    })
}

type Sums<const ROWS: usize, const PANELS: usize> = [[[__m512; 2]; PANELS]; ROWS];

/// Adds `x[k] · value` to the sums of every row.
macro_rules! add {
    ($acc:ident, $x:ident, $inner:expr, $k:expr, $panel:ident, $v:ident, $value:expr) => {
        for row in 0..ROWS {
            let x = spread($x.wrapping_add(row * $inner + $k));
            $acc[row][$panel][$v] = _mm512_fmadd_ps(x, $value, $acc[row][$panel][$v]);
        }
    };
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
#[allow(clippy::needless_range_loop)]
unsafe fn four<const ROWS: usize, const PANELS: usize>(
    job: Job,
    zero: u8,
    acc: &mut Sums<ROWS, PANELS>,
) {
    let Format {
        half, least, block, ..
    } = job.format;
    let (scale_words, head_words) = (job.format.scale_words(), job.format.head_words());
    let record_words = job.format.record_words();
    let first = -i32::from(zero);
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // The permutation uses only the lowest four bits of an index.
    let table = _mm512_cvtepi32_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(first)));
    let mut sums = *acc;
    let mut ahead = job.ahead;
    let mut x = job.x;
    let mut record = job.records;
    for _ in 0..job.blocks {
        ahead.fetch();
        let mut scales = [[_mm512_setzero_ps(); 2]; PANELS];
        let mut leasts = [[_mm512_set1_ps(-0.0); 2]; PANELS];
        for panel in 0..PANELS {
            let record = record.wrapping_add(panel * job.panel_words);
            for v in 0..2 {
                // SAFETY: a record begins with its scales and least values.
                unsafe {
                    scales[panel][v] = head(half, record, v);
                    if least {
                        leasts[panel][v] = head(half, record.wrapping_add(scale_words), v);
                    }
                }
            }
        }
        let mut words = record.wrapping_add(head_words);
        for _ in 0..block / 8 {
            // SAFETY: the values of a record; eight of `x` for each row.
            unsafe {
                let q = load::<PANELS>(words, job.panel_words);
                macro_rules! step {
                    ($k:literal, $shift:literal) => {
                        for panel in 0..PANELS {
                            for v in 0..2 {
                                let index = _mm512_srli_epi32::<$shift>(q[panel][v]);
                                let value = _mm512_permutexvar_ps(index, table);
                                let (scale, least) = (scales[panel][v], leasts[panel][v]);
                                let value = _mm512_fmadd_ps(value, scale, least);
                                add!(sums, x, job.inner, $k, panel, v, value);
                            }
                        }
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
            x = x.wrapping_add(8);
        }
        record = record.wrapping_add(record_words);
    }
    *acc = sums;
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
#[allow(clippy::needless_range_loop)]
unsafe fn eight<const ROWS: usize, const PANELS: usize>(job: Job, acc: &mut Sums<ROWS, PANELS>) {
    let Format {
        half, least, block, ..
    } = job.format;
    let (scale_words, head_words) = (job.format.scale_words(), job.format.head_words());
    let record_words = job.format.record_words();
    let mut sums = *acc;
    let mut ahead = job.ahead;
    let mut x = job.x;
    let mut record = job.records;
    for _ in 0..job.blocks {
        ahead.fetch();
        let mut scales = [[_mm512_setzero_ps(); 2]; PANELS];
        let mut leasts = [[_mm512_set1_ps(-0.0); 2]; PANELS];
        for panel in 0..PANELS {
            let record = record.wrapping_add(panel * job.panel_words);
            for v in 0..2 {
                // SAFETY: a record begins with its scales and least values.
                unsafe {
                    scales[panel][v] = head(half, record, v);
                    if least {
                        leasts[panel][v] = head(half, record.wrapping_add(scale_words), v);
                    }
                }
            }
        }
        let mut words = record.wrapping_add(head_words);
        for _ in 0..block / 4 {
            // SAFETY: the values of a record; four of `x` for each row.
            unsafe {
                let q = load::<PANELS>(words, job.panel_words);
                macro_rules! step {
                    ($k:literal, $left:literal) => {
                        for panel in 0..PANELS {
                            for v in 0..2 {
                                let value = _mm512_slli_epi32::<$left>(q[panel][v]);
                                let value = _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(value));
                                let (scale, least) = (scales[panel][v], leasts[panel][v]);
                                let value = _mm512_fmadd_ps(value, scale, least);
                                add!(sums, x, job.inner, $k, panel, v, value);
                            }
                        }
                    };
                }
                step!(0, 24);
                step!(1, 16);
                step!(2, 8);
                step!(3, 0);
            }
            words = words.wrapping_add(NR);
            x = x.wrapping_add(4);
        }
        record = record.wrapping_add(record_words);
    }
    *acc = sums;
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
#[allow(clippy::needless_range_loop)]
unsafe fn floats<const ROWS: usize, const PANELS: usize, const BF16: bool>(
    job: Job,
    acc: &mut Sums<ROWS, PANELS>,
) {
    let mut sums = *acc;
    let mut ahead = job.ahead;
    let mut x = job.x;
    let mut record = job.records;
    for _ in 0..job.blocks {
        ahead.fetch();
        for panel in 0..PANELS {
            for v in 0..2 {
                let at = record.wrapping_add(panel * job.panel_words + 8 * v);
                // SAFETY: 32 values of a panel; one of `x` for each row.
                unsafe {
                    let bits = _mm256_load_si256(at.cast());
                    let value = widen(bits, BF16);
                    add!(sums, x, job.inner, 0, panel, v, value);
                }
            }
        }
        x = x.wrapping_add(1);
        record = record.wrapping_add(NR / 2);
    }
    *acc = sums;
}

/// Widens 16-bit floats to f32.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
pub(super) fn widen(bits: __m256i, bf16: bool) -> __m512 {
    if bf16 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    } else {
        _mm512_cvtph_ps(bits)
    }
}

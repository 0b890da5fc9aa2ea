//! The AVX2 micro-kernel: blocks of up to 6 x 16 accumulators in 12 registers.

use std::arch::x86_64::{
    __m256, __m256i, _mm_load_ss, _mm256_add_epi32, _mm256_broadcastss_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_madd_epi16,
    _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_ps,
};

use super::{Start, Tile};

/// Computes a tile.
///
/// # Safety
/// The processor must have AVX2 and FMA; the pointers of the tile must be valid for its
/// shape.
pub(super) unsafe fn tile(tile: Tile) {
    // SAFETY: the caller's promises.
    unsafe { rows_and_halves::<false>(tile) }
}

/// Computes a tile of pairs of 16-bit integers, with 32-bit sums from zero.
///
/// # Safety
/// As [`tile`], in words of two values.
pub(super) unsafe fn tile_pairs(tile: Tile) {
    // SAFETY: the caller's promises.
    unsafe { rows_and_halves::<true>(tile) }
}

unsafe fn rows_and_halves<const PAIRS: bool>(tile: Tile) {
    let mut from = 0;
    while from < tile.rows {
        // 14 rows are split 5 + 5 + 4, which is more even than 6 + 6 + 2.
        let rows = (tile.rows - from).min(5);
        for half in 0..tile.columns.div_ceil(16) {
            // SAFETY: the caller's promises are those of `micro`.
            unsafe {
                match rows {
                    1 => micro::<1, PAIRS>(tile, from, half),
                    2 => micro::<2, PAIRS>(tile, from, half),
                    3 => micro::<3, PAIRS>(tile, from, half),
                    4 => micro::<4, PAIRS>(tile, from, half),
                    _ => micro::<5, PAIRS>(tile, from, half),
                }
            }
        }
        from += rows;
    }
}

#[target_feature(enable = "avx2,fma")]
fn mask(columns: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(columns.min(8) as i32), lanes)
}

/// Adds the products of pairs of 16-bit integers to 32-bit sums.
#[target_feature(enable = "avx2,fma")]
fn add_pairs(sums: __m256, a: __m256, b: __m256) -> __m256 {
    let products = _mm256_madd_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sums), products))
}

#[target_feature(enable = "avx2,fma")]
unsafe fn micro<const ROWS: usize, const PAIRS: bool>(tile: Tile, from: usize, half: usize) {
    let columns = tile.columns - 16 * half;
    let full = columns >= 16;
    let masks = [mask(columns), mask(columns.saturating_sub(8))];
    let mut acc: [[__m256; 2]; ROWS] = [[_mm256_setzero_ps(); 2]; ROWS];
    // SAFETY: within C; row `from + row` has `columns` elements from `16 * half` on.
    let c = unsafe { tile.c.add(from * tile.c_row + 16 * half) };
    if tile.start == Start::Output {
        for (row, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                let c = c.wrapping_add(row * tile.c_row + 8 * v);
                // SAFETY: the mask spares what lies beyond the row.
                *acc = unsafe { _mm256_maskload_ps(c, masks[v]) };
            }
        }
    }
    let a_row = tile.a_row;
    let mut a = tile.a.wrapping_add(from * a_row);
    let mut b = tile.b.wrapping_add(16 * half);
    for _ in 0..tile.k {
        // SAFETY: each k has `columns` elements; the mask spares the rest.
        let b_now: [__m256; 2] = std::array::from_fn(|v| unsafe {
            if full {
                _mm256_loadu_ps(b.wrapping_add(8 * v))
            } else {
                _mm256_maskload_ps(b.wrapping_add(8 * v), masks[v])
            }
        });
        // Indices, not iterators: the accumulators must stay in registers.
        #[allow(clippy::needless_range_loop)]
        for row in 0..ROWS {
            // SAFETY: A has this element.
            let value = unsafe { _mm_load_ss(a.wrapping_add(row * a_row)) };
            let value = _mm256_broadcastss_ps(value);
            for v in 0..2 {
                acc[row][v] = if PAIRS {
                    add_pairs(acc[row][v], value, b_now[v])
                } else {
                    _mm256_fmadd_ps(value, b_now[v], acc[row][v])
                };
            }
        }
        a = a.wrapping_add(tile.a_column);
        b = b.wrapping_add(tile.b_row);
    }
    for (row, acc) in acc.iter().enumerate() {
        for (v, acc) in acc.iter().enumerate() {
            let c = c.wrapping_add(row * tile.c_row + 8 * v);
            // SAFETY: as for the loads of C.
            unsafe { _mm256_maskstore_ps(c, masks[v], *acc) };
        }
    }
}

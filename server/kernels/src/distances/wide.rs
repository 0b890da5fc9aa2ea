//! Squared distances of blocks with sums that stay in registers: given the plain loop, the compiler keeps them in
//! memory, and every addition waits for the store before it.
//!
//! A tile is all pairs of two groups of rows: four rows of 16 lanes in AVX-512 leave room for 16 sums and more, three
//! of 8 lanes in AVX2 for 9. So a load serves three or four pairs, and additions, of which a processor starts as many
//! a cycle as loads, stay the bound. Rows of a group are read from memory once, while the pairs among them are
//! worked on, and packed for the tiles that follow: rows often lie whole pages apart and start anywhere in a cache
//! line, so that their parts would drive each other out of the nearest cache and half of the loads take two lines.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::sums::{BLOCK, Sums};

/// Rows of a group in AVX-512.
pub(super) const GROUP_16: usize = 4;

/// Rows of a group in AVX2.
pub(super) const GROUP_8: usize = 3;

/// Columns between what is read of a row and what memory is asked for: it arrives in the second cache while the tiles
/// of some blocks are worked on. Left to itself the processor asks within a page, and not while nothing is read.
const AHEAD: usize = 3 * BLOCK;

/// Sums of lanes side by side. The first half is added in single precision, which `NEAR` counts.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn folded_8(lanes: __m256) -> __m256d {
    let high = _mm256_extractf128_ps::<1>(lanes);
    _mm256_cvtps_pd(_mm_add_ps(_mm256_castps256_ps128(lanes), high))
}

/// As [`folded_8`], of 16 lanes: two roundings.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
fn folded_16(lanes: __m512) -> __m256d {
    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(lanes));
    let high = _mm256_castpd_ps(high);
    folded_8(_mm256_add_ps(_mm512_castps512_ps256(lanes), high))
}

/// Adds four sums to those of a pair.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(sums: &mut Sums, found: __m256d) {
    // SAFETY: a vector is its lanes.
    let before: __m256d = unsafe { transmute(*sums) };
    // SAFETY: as above.
    *sums = unsafe { transmute::<__m256d, Sums>(_mm256_add_pd(before, found)) };
}

/// Defines the function of an instruction set: adds the squared distances of all pairs of rows in a block, in the
/// order of `tiled`.
macro_rules! near {
    (
        $name:ident $group_of:ident $own:ident $cross:ident $group:ident $features:literal
        $lanes:literal $vector:ident: $zero:ident $sub:ident $fma:ident $folded:ident
    ) => {
        /// Packs a block of a group's rows and adds the squared distances of the pairs among them. The number of
        /// vectors is an argument: were it known, all steps of one sum would come first, each waiting for the one
        /// before.
        #[inline]
        #[target_feature(enable = $features)]
        fn $own<const ROWS: usize>(
            rows: [&[f32; BLOCK]; ROWS],
            packed: &mut [[f32; BLOCK]; ROWS],
            vectors: usize,
            sums: &mut [Sums],
        ) {
            assert!(vectors <= BLOCK / $lanes);
            let mut found = [[$zero(); ROWS]; ROWS];
            for at in 0..vectors {
                let mut values = [$zero(); ROWS];
                for row in 0..ROWS {
                    let part = &rows[row].as_chunks::<$lanes>().0[at];
                    let ahead = part.as_ptr().wrapping_add(AHEAD);
                    // A hint, which may name any address.
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                    // SAFETY: a vector is its lanes.
                    values[row] = unsafe { transmute::<[f32; $lanes], $vector>(*part) };
                    // SAFETY: as above.
                    let lanes = unsafe { transmute::<$vector, [f32; $lanes]>(values[row]) };
                    packed[row].as_chunks_mut::<$lanes>().0[at] = lanes;
                }
                for row in 0..ROWS {
                    for other in 0..ROWS {
                        if row < other {
                            let difference = $sub(values[row], values[other]);
                            found[row][other] = $fma(difference, difference, found[row][other]);
                        }
                    }
                }
            }
            let mut sums = sums.iter_mut();
            for row in 0..ROWS {
                for other in 0..ROWS {
                    if row < other
                        && let Some(sums) = sums.next()
                    {
                        add(sums, $folded(found[row][other]));
                    }
                }
            }
        }

        /// Adds the squared distances of a group's rows from those of a group before.
        #[inline]
        #[target_feature(enable = $features)]
        fn $cross<const ROWS: usize>(
            own: &[[f32; BLOCK]; ROWS],
            others: &[[f32; BLOCK]; $group],
            vectors: usize,
            sums: &mut [Sums],
        ) {
            assert!(vectors <= BLOCK / $lanes && sums.len() == ROWS * $group);
            let mut found = [[$zero(); $group]; ROWS];
            for at in 0..vectors {
                let mut values = [$zero(); ROWS];
                for row in 0..ROWS {
                    let part = &own[row].as_chunks::<$lanes>().0[at];
                    // SAFETY: a vector is its lanes.
                    values[row] = unsafe { transmute::<[f32; $lanes], $vector>(*part) };
                }
                for other in 0..$group {
                    let part = &others[other].as_chunks::<$lanes>().0[at];
                    // SAFETY: as above.
                    let value = unsafe { transmute::<[f32; $lanes], $vector>(*part) };
                    for row in 0..ROWS {
                        let difference = $sub(values[row], value);
                        found[row][other] = $fma(difference, difference, found[row][other]);
                    }
                }
            }
            for row in 0..ROWS {
                for other in 0..$group {
                    add(&mut sums[row * $group + other], $folded(found[row][other]));
                }
            }
        }

        /// Adds the squared distances of the pairs of which a group's row is the second. Returns the other sums.
        #[inline]
        #[target_feature(enable = $features)]
        fn $group_of<'a, const ROWS: usize>(
            rows: &[&[f32]],
            start: usize,
            vectors: usize,
            before: &[[f32; BLOCK]],
            packed: &mut [[f32; BLOCK]],
            sums: &'a mut [Sums],
        ) -> &'a mut [Sums] {
            let mut parts: [&[f32; BLOCK]; ROWS] = [&[0.0; BLOCK]; ROWS];
            for row in 0..ROWS {
                parts[row] = &rows[row][start..].as_chunks().0[0];
            }
            let packed = &mut packed.as_chunks_mut::<ROWS>().0[0];
            let (own, mut sums) = sums.split_at_mut(ROWS * (ROWS - 1) / 2);
            $own(parts, packed, vectors, own);
            for others in before.as_chunks::<$group>().0 {
                let (those, left) = sums.split_at_mut(ROWS * $group);
                $cross(packed, others, vectors, those);
                sums = left;
            }
            sums
        }

        /// Adds the squared distances of all pairs of rows in the block from `start` on, of which `len` columns
        /// count and zeros follow. `packed` has room for it.
        #[target_feature(enable = $features)]
        pub(super) fn $name(
            rows: &[&[f32]],
            start: usize,
            len: usize,
            packed: &mut [[f32; BLOCK]],
            mut sums: &mut [Sums],
        ) {
            let vectors = len.div_ceil($lanes);
            for first in (0..rows.len()).step_by($group) {
                let own = &rows[first..rows.len().min(first + $group)];
                let (before, packed) = packed.split_at_mut(first);
                sums = match own.len() {
                    1 => $group_of::<1>(own, start, vectors, before, packed, sums),
                    2 => $group_of::<2>(own, start, vectors, before, packed, sums),
                    3 => $group_of::<3>(own, start, vectors, before, packed, sums),
                    _ => $group_of::<$group>(own, start, vectors, before, packed, sums),
                };
            }
        }
    };
}

near! {
    avx512 group_16 own_16 cross_16 GROUP_16 "avx512f,avx2,fma"
    16 __m512: _mm512_setzero_ps _mm512_sub_ps _mm512_fmadd_ps folded_16
}
near! {
    avx2 group_8 own_8 cross_8 GROUP_8 "avx2,fma"
    8 __m256: _mm256_setzero_ps _mm256_sub_ps _mm256_fmadd_ps folded_8
}

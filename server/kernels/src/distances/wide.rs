//! Squared distances of blocks with sums that stay in registers: given the plain loop, the compiler keeps them in
//! memory, and every addition waits for the store before it. A row is read once for four others.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::sums::{BLOCK, add};

/// Asks memory for the part of a row that is needed next, so that it comes while this block is worked on.
#[inline(always)]
fn ask(row: &[f32], start: usize) {
    let part = &row[start.min(row.len())..];
    for line in part[..BLOCK.min(part.len())].chunks(16) {
        // SAFETY: a hint about an address that is there; every x86_64 has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
}

/// Defines the function of an instruction set: adds the squared distances of all pairs of rows in a block.
macro_rules! near {
    ($name:ident $beside:ident $features:literal $lanes:literal $vector:ident: $zero:ident $sub:ident $fma:ident) => {
        /// Adds the squared distances of a row from others, each to eight sums. The number of vectors is an
        /// argument: were it known, all steps of one sum would come first, each waiting for the one before.
        #[inline]
        #[target_feature(enable = $features)]
        fn $beside<const OTHERS: usize>(
            row: &[f32; BLOCK],
            others: &[[f32; BLOCK]; OTHERS],
            vectors: usize,
            sums: &mut [[f64; 8]],
        ) {
            let row = &row.as_chunks::<$lanes>().0[..vectors];
            let mut parts = [row; OTHERS];
            for other in 0..OTHERS {
                parts[other] = &others[other].as_chunks::<$lanes>().0[..vectors];
            }
            let mut found = [$zero(); OTHERS];
            for at in 0..vectors {
                // SAFETY: a vector is its lanes.
                let value: $vector = unsafe { transmute(row[at]) };
                for other in 0..OTHERS {
                    // SAFETY: as above.
                    let difference = $sub(value, unsafe { transmute(parts[other][at]) });
                    found[other] = $fma(difference, difference, found[other]);
                }
            }
            for other in 0..OTHERS {
                // SAFETY: as above.
                let lanes: [f32; $lanes] = unsafe { transmute(found[other]) };
                add(&lanes, &mut sums[other]);
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn $name(
            rows: &[[f32; BLOCK]],
            len: usize,
            ahead: &[&[f32]],
            next: usize,
            mut sums: &mut [[f64; 8]],
        ) {
            let vectors = len.div_ceil($lanes);
            for (at, row) in rows.iter().enumerate() {
                ask(ahead[at], next);
                let (fours, rest) = rows[at + 1..].as_chunks::<4>();
                for four in fours {
                    $beside(row, four, vectors, sums);
                    sums = &mut sums[4..];
                }
                if let Some(rest) = rest.as_array::<3>() {
                    $beside(row, rest, vectors, sums);
                } else if let Some(rest) = rest.as_array::<2>() {
                    $beside(row, rest, vectors, sums);
                } else if let Some(rest) = rest.as_array::<1>() {
                    $beside(row, rest, vectors, sums);
                }
                sums = &mut sums[rest.len()..];
            }
        }
    };
}

near! { avx512 beside_16 "avx512f" 16 __m512: _mm512_setzero_ps _mm512_sub_ps _mm512_fmadd_ps }
near! { avx2 beside_8 "avx2,fma" 8 __m256: _mm256_setzero_ps _mm256_sub_ps _mm256_fmadd_ps }

//! Squared distances of blocks with sums that stay in registers: given the plain loop, the compiler keeps them in
//! memory, and every addition waits for the store before it.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::sums::{tail, total};

/// Defines the function of an instruction set: adds the squared distances of all pairs of rows in a block.
macro_rules! near {
    ($name:ident $features:literal $lanes:literal $vector:ident: $zero:ident $sub:ident $fma:ident $add:ident) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name(rows: &[&[f32]], start: usize, len: usize, sums: &mut [f64]) {
            let mut at = 0;
            for (i, a) in rows.iter().enumerate() {
                let (a, a_tail) = a[start..][..len].as_chunks::<{ 4 * $lanes }>();
                for b in &rows[i + 1..] {
                    let (b, b_tail) = b[start..][..len].as_chunks::<{ 4 * $lanes }>();
                    let b = &b[..a.len()];
                    let (mut s0, mut s1, mut s2, mut s3) = ($zero(), $zero(), $zero(), $zero());
                    for chunk in 0..a.len() {
                        // SAFETY: both are four vectors of floats.
                        let [a, b]: [[$vector; 4]; 2] = unsafe { transmute([a[chunk], b[chunk]]) };
                        let (d0, d1) = ($sub(a[0], b[0]), $sub(a[1], b[1]));
                        let (d2, d3) = ($sub(a[2], b[2]), $sub(a[3], b[3]));
                        s0 = $fma(d0, d0, s0);
                        s1 = $fma(d1, d1, s1);
                        s2 = $fma(d2, d2, s2);
                        s3 = $fma(d3, d3, s3);
                    }
                    let sum = $add($add(s0, s1), $add(s2, s3));
                    // SAFETY: a vector is its lanes.
                    let lanes: [f32; $lanes] = unsafe { transmute(sum) };
                    sums[at] += total(&lanes) + tail(a_tail, b_tail);
                    at += 1;
                }
            }
        }
    };
}

near! { avx512 "avx512f" 16 __m512: _mm512_setzero_ps _mm512_sub_ps _mm512_fmadd_ps _mm512_add_ps }
near! { avx2 "avx2,fma" 8 __m256: _mm256_setzero_ps _mm256_sub_ps _mm256_fmadd_ps _mm256_add_ps }

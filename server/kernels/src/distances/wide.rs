//! Squared distances of blocks with sums that stay in registers: given the plain loop, the compiler keeps them in
//! memory, and every addition waits for the store before it.

use std::arch::x86_64::*;

/// Defines the function of an instruction set: adds the squared distances of all pairs of rows in a block.
macro_rules! near {
    ($name:ident $features:literal $lanes:literal: $zero:ident $load:ident $sub:ident $fma:ident $store:ident) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name(rows: &[&[f32]], start: usize, len: usize, sums: &mut [f64]) {
            let mut at = 0;
            for (i, a) in rows.iter().enumerate() {
                let (a, a_tail) = a[start..][..len].as_chunks::<{ 4 * $lanes }>();
                for b in &rows[i + 1..] {
                    let (b, b_tail) = b[start..][..len].as_chunks::<{ 4 * $lanes }>();
                    let (mut s0, mut s1, mut s2, mut s3) = ($zero(), $zero(), $zero(), $zero());
                    for (a, b) in a.iter().zip(b) {
                        let (a, b) = (a.as_ptr(), b.as_ptr());
                        // SAFETY: a chunk has four vectors.
                        unsafe {
                            let d0 = $sub($load(a), $load(b));
                            let d1 = $sub($load(a.add($lanes)), $load(b.add($lanes)));
                            let d2 = $sub($load(a.add(2 * $lanes)), $load(b.add(2 * $lanes)));
                            let d3 = $sub($load(a.add(3 * $lanes)), $load(b.add(3 * $lanes)));
                            s0 = $fma(d0, d0, s0);
                            s1 = $fma(d1, d1, s1);
                            s2 = $fma(d2, d2, s2);
                            s3 = $fma(d3, d3, s3);
                        }
                    }
                    let mut lanes = [0.0_f32; 4 * $lanes];
                    let to = lanes.as_mut_ptr();
                    // SAFETY: the lanes are four vectors.
                    unsafe {
                        $store(to, s0);
                        $store(to.add($lanes), s1);
                        $store(to.add(2 * $lanes), s2);
                        $store(to.add(3 * $lanes), s3);
                    }
                    sums[at] += super::total(&lanes) + super::tail(a_tail, b_tail);
                    at += 1;
                }
            }
        }
    };
}

near! { avx512 "avx512f" 16: _mm512_setzero_ps _mm512_loadu_ps _mm512_sub_ps _mm512_fmadd_ps _mm512_storeu_ps }
near! { avx2 "avx2,fma" 8: _mm256_setzero_ps _mm256_loadu_ps _mm256_sub_ps _mm256_fmadd_ps _mm256_storeu_ps }

//! Products of bf16 values against sums in f64.

use half::{bf16, f16};

#[cfg(target_arch = "x86_64")]
use super::halves;
use super::{
    super::{Matrix, Packed, Start, product},
    PackedPairs, Rows, kernel_name, multiply_pairs, product_pairs, round,
};
use crate::kernels::{
    Numerics,
    memory::Shared,
    tests_support::{each_isa, noise},
};

const SHAPES: [(usize, usize, usize); 8] = [
    (1, 32, 64),
    (1, 7, 3),
    (3, 33, 17),
    (14, 64, 40),
    (15, 16, 9),
    (29, 100, 31),
    (60, 192, 192),
    (5, 40, 5000),
];

fn rounded(values: &[f32]) -> Vec<f32> {
    let round = |&value: &f32| bf16::from_f32(value).to_f32();
    values.iter().map(round).collect()
}

/// What a packed matrix holds of these values: f16 keeps more of them than bf16.
fn stored(values: &[f32]) -> Vec<f32> {
    if kernel_name() != "avx512-fp16" {
        return rounded(values);
    }
    let max = values
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    let scale = 2.0_f32.powi(3 - max.log2().floor() as i32);
    let round = |&value: &f32| f16::from_f32(value * scale).to_f32() / scale;
    values.iter().map(round).collect()
}

#[test]
fn rounding_is_to_the_nearest_even() {
    let mut values = noise(2000, 1);
    values.extend([
        0.0,
        -0.0,
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE / 4.0,
    ]);
    for value in values {
        let expected = u32::from(bf16::from_f32(value).to_bits());
        assert_eq!(round(value), expected, "{value}");
    }
    for bits in [0x7f80_0001_u32, 0x7fff_ffff, 0xff80_0001] {
        let nan = bf16::from_bits(round(f32::from_bits(bits)) as u16);
        assert!(nan.is_nan(), "{bits:x}");
    }
}

#[test]
fn every_kernel_multiplies_the_rounded_values() {
    each_isa(|isa| {
        for (m, n, k) in SHAPES {
            let (x, w) = (noise(m * k, 1), noise(n * k, 2));
            let packed = PackedPairs::new(&w, n, k);
            let out = Rows::with(&x, k, |rows| product_pairs(rows, &packed));
            let (x, w) = (rounded(&x), stored(&w));
            for (i, &value) in out.iter().enumerate() {
                let (a, b) = (&x[i / n * k..][..k], &w[i % n * k..][..k]);
                let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let exact: f64 = terms.clone().sum();
                let size: f64 = terms.map(f64::abs).sum();
                let error = (f64::from(value) - exact).abs();
                // Sums of up to 64 products in f16 lose more than sums in f32.
                let bound = match kernel_name() {
                    "avx512-fp16" => 64.0 * 2.0_f64.powi(-12),
                    _ => 2e-6,
                };
                assert!(
                    error <= bound * size,
                    "{isa:?} {} {:?} at {i}: {value} is not {exact}",
                    kernel_name(),
                    (m, n, k)
                );
            }
        }
    });
}

#[test]
fn a_fast_product_is_near_the_exact_one() {
    each_isa(|isa| {
        let (m, n, k) = (40, 70, 300);
        let (x, w) = (noise(m * k, 3), noise(n * k, 4));
        let exact = product(&x, m, &Packed::new(&w, n, k));
        let fast = Matrix::new(&w, n, k, Numerics::Fast);
        let mut out = noise(m * n, 5);
        let start = out.clone();
        fast.multiply(&x, m, &mut out, Start::Output);
        // Both factors lose at most 2⁻⁹ of themselves; errors are independent.
        let scale = (k as f32).sqrt() / 3.0;
        let worst = (0..m * n)
            .map(|i| (out[i] - start[i] - exact[i]).abs() / scale)
            .fold(0.0, f32::max);
        assert!(worst < 0.012, "{isa:?}: {worst}");
        assert!(worst > 1e-6, "{isa:?}: nothing was rounded");
    });
}

#[test]
fn threads_do_not_show() {
    each_isa(|_| {
        let (m, n, k) = (61, 300, 129);
        let (x, w) = (noise(m * k, 6), noise(n * k, 7));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool");
            pool.install(|| Matrix::new(&w, n, k, Numerics::Fast).product(&x, m))
        };
        assert_eq!(run(1), run(3));
    });
}

#[test]
fn rows_and_transposes_survive_packing() {
    each_isa(|_| {
        let (n, k) = (37, 19);
        let w = noise(n * k, 8);
        let real = stored(&w);
        let packed = PackedPairs::new(&w, n, k);
        let back = packed.transposed();
        assert_eq!((back.out(), back.inner()), (k, n));
        let (mut row, mut column) = (vec![0.0; k], vec![0.0; n]);
        for i in 0..n {
            packed.copy_row(i, &mut row);
            assert_eq!(row, real[i * k..(i + 1) * k]);
            back.copy_column(i, &mut row);
            assert_eq!(row, real[i * k..(i + 1) * k]);
        }
        for i in 0..k {
            back.copy_row(i, &mut column);
            assert!((0..n).all(|j| column[j] == real[j * k + i]));
            packed.copy_column(i, &mut column);
            assert!((0..n).all(|j| column[j] == real[j * k + i]));
        }
    });
}

/// The nearest f16 below its limit, ties to even; `f16::from_f64` does not look at the last bits.
fn nearest(value: f64) -> f16 {
    let exponent = ((value.to_bits() >> 52) as i32 & 0x7ff) - 1023;
    let exponent = exponent.max(-14);
    let last = 2.0_f64.powi(exponent - 10);
    f16::from_f64((value / last).round_ties_even() * last)
}

/// The f16 kernel against its definition, value by value and bit by bit.
#[test]
#[cfg(target_arch = "x86_64")]
fn sums_in_halves_are_those_of_their_definition() {
    each_isa(|_| {
        if !halves::available() {
            // Not this instruction set, or not on this processor.
            return;
        }
        // Sizes that f16 alone would lose; a row of zeros, and one that no float but itself is near.
        for (size_of_x, size_of_w) in [(1.0, 1.0), (3e8, 1e-9), (1e-12, 7e5)] {
            for (m, n, k) in SHAPES {
                let mut x = noise(m * k, 9);
                let mut w = noise(n * k, 10);
                x.iter_mut().for_each(|x| *x *= size_of_x);
                w.iter_mut().for_each(|w| *w *= size_of_w);
                if m > 2 {
                    x[k..2 * k].fill(0.0);
                    x[2 * k] *= 1e6;
                }
                let packed = PackedPairs::new(&w, n, k);
                let before = noise(m * n, 11);
                let mut out = before.clone();
                Rows::with(&x, k, |rows| {
                    // SAFETY: `out` is borrowed uniquely and initialised.
                    unsafe {
                        multiply_pairs(rows, &packed, Shared::new(&mut out), n, Start::Output)
                    }
                });
                let power = |values: &[f32], bits: i32| {
                    let max = values
                        .iter()
                        .fold(0.0_f32, |max, value| max.max(value.abs()));
                    match max {
                        0.0 => 1.0,
                        _ => 2.0_f32.powi(bits - 1 - max.log2().floor() as i32),
                    }
                };
                // Of the values before they are rounded: the largest may become a power of two.
                let of_w = power(&w, 4);
                let (x, w) = (rounded(&x), stored(&w));
                for (i, &value) in out.iter().enumerate() {
                    let (a, b) = (&x[i / n * k..][..k], &w[i % n * k..][..k]);
                    let of_a = power(a, 5);
                    let mut sum = before[i];
                    for (a, b) in a.chunks(halves::CHUNK).zip(b.chunks(halves::CHUNK)) {
                        let mut chunk = f16::ZERO;
                        for (a, b) in a.iter().zip(b) {
                            let a = f16::from_f32(a * of_a).to_f64();
                            let b = f16::from_f32(b * of_w).to_f64();
                            // Exact in f64, so it is rounded once.
                            chunk = nearest(a * b + chunk.to_f64());
                        }
                        sum = chunk.to_f32().mul_add((1.0 / of_a) * (1.0 / of_w), sum);
                    }
                    assert_eq!(value.to_bits(), sum.to_bits(), "{:?} at {i}", (m, n, k));
                }
            }
        }
    });
}

//! Products of bf16 values against sums in f64.

use half::bf16;

use super::{
    super::{Matrix, Packed, Start, product},
    PackedPairs, Rows, kernel_name, product_pairs, round,
};
use crate::kernels::{
    Numerics,
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
            let (x, w) = (rounded(&x), rounded(&w));
            for (i, &value) in out.iter().enumerate() {
                let (a, b) = (&x[i / n * k..][..k], &w[i % n * k..][..k]);
                let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let exact: f64 = terms.clone().sum();
                let size: f64 = terms.map(f64::abs).sum();
                let error = (f64::from(value) - exact).abs();
                assert!(
                    error <= 2e-6 * size,
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
}

#[test]
fn rows_and_transposes_survive_packing() {
    let (n, k) = (37, 19);
    let w = noise(n * k, 8);
    let real = rounded(&w);
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
}

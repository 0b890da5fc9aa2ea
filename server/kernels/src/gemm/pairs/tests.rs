//! Products of 16-bit integers compared with their definition.

use super::{
    super::{Matrix, Packed, Start, product},
    PackedPairs, Rows, add_product, halves, multiply_pairs, piece_of, pieces_of, product_pairs,
    products_together, round_all, round_rows, rounded as new_rounded, sum_of_products, widen_rows,
    widened, words_of,
};
use crate::{
    Numerics,
    memory::{self, Shared},
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
    (5, 40, 9001),
];

/// Returns rows of integers, and the scale of each value.
fn rounded(values: &[f32], inner: usize) -> (Vec<i64>, Vec<f32>) {
    let mut words = vec![0; values.len() / inner * words_of(inner)];
    round_rows(values, inner, &mut words);
    let (mut integers, mut units) = (Vec::new(), Vec::new());
    for row in words.chunks_exact(words_of(inner)) {
        let (backs, row) = row.split_at(pieces_of(inner));
        integers.extend(halves(row)[..inner].iter().map(|&v| i64::from(v as i16)));
        units.extend((0..inner).map(|k| f32::from_bits(backs[k / 2 / piece_of(inner)])));
    }
    (integers, units)
}

/// Values of every size that a row may have, with one far larger than the others.
fn rows_of_all_sizes(inner: usize) -> Vec<Vec<f32>> {
    let sizes = [1.0, 1e-3, 3e4, 1e-30, 1e-41, 1e30, 1.7e38];
    let mut rows: Vec<Vec<f32>> = sizes
        .into_iter()
        .zip(1..)
        .map(|(size, seed)| noise(inner, seed).iter().map(|x| x * size).collect())
        .collect();
    for factor in [30.0, 1e3, 1e9] {
        let mut row = noise(inner, 20);
        row[inner / 2] *= factor;
        rows.push(row);
    }
    rows.push(vec![0.7; inner]);
    rows.push(vec![0.0; inner]);
    rows
}

#[test]
fn no_sum_of_products_can_leave_32_bits() {
    for inner in [1, 2, 17, 576, 1024, 9001] {
        for (row, piece) in rows_of_all_sizes(inner).iter().flat_map(|row| {
            row.chunks(2 * piece_of(inner))
                .map(move |piece| (row, piece))
        }) {
            let at = (piece.as_ptr() as usize - row.as_ptr() as usize) / 4;
            let integers = &rounded(row, inner).0[at..at + piece.len()];
            let largest = integers.iter().map(|value| value.abs()).max();
            assert!(largest <= Some(32767), "{inner}: {largest:?}");
            let squares: i64 = integers.iter().map(|value| value * value).sum();
            assert!(squares < 1 << 31, "{inner}: {squares}");
            // The range is also used: by the largest value or by the norm.
            let small = piece.iter().all(|value| value.abs() < 1e-25);
            let used = largest >= Some(32765) || squares > (1 << 31) - (1 << 26);
            assert!(used || small, "{inner}: {largest:?} {squares}");
        }
    }
}

#[test]
fn a_value_becomes_the_nearest_integer() {
    each_isa(|isa| {
        for inner in [1, 3, 16, 75] {
            for row in rows_of_all_sizes(inner) {
                let (integers, back) = rounded(&row, inner);
                let mut words = vec![0; words_of(inner)];
                round_rows(&row, inner, &mut words);
                let mut wide = vec![0.0; inner];
                widen_rows(&words, inner, &mut wide);
                let each = row.iter().zip(&integers).zip(&wide).zip(back);
                for (((&value, &integer), &wide), back) in each {
                    let real = f64::from(value) / f64::from(back);
                    let error = (real - integer as f64).abs();
                    assert!(error <= 0.51, "{isa:?} {value}: {integer} is not {real}");
                    assert_eq!(wide, integer as f32 * back);
                }
            }
        }
    });
}

/// Bit by bit, with sums in 64 bits; so every kernel has the same bits.
#[test]
fn every_kernel_gives_what_the_definition_says() {
    each_isa(|isa| {
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
                let mut onto = before.clone();
                let new = Rows::with(&x, k, |rows| {
                    let c = Shared::new(&mut onto);
                    // SAFETY: `onto` is borrowed uniquely and initialised.
                    unsafe { multiply_pairs(rows, &packed, c, n, Start::Output) };
                    product_pairs(rows, &packed)
                });
                let ((x, of_x), (w, of_w)) = (rounded(&x, k), rounded(&w, k));
                let piece = 2 * piece_of(k);
                for i in 0..m * n {
                    let (row, column) = (i / n, i % n);
                    let (a, b) = (&x[row * k..][..k], &w[column * k..][..k]);
                    let (mut of_new, mut of_onto) = (0.0, before[i]);
                    for (number, (a, b)) in a.chunks(piece).zip(b.chunks(piece)).enumerate() {
                        let sum: i64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        let sum = i32::try_from(sum).expect("within 32 bits") as f32;
                        let scale =
                            of_x[row * k + number * piece] * of_w[column * k + number * piece];
                        of_new = sum.mul_add(scale, of_new);
                        of_onto = sum.mul_add(scale, of_onto);
                    }
                    let shape = (m, n, k);
                    assert_eq!(new[i], of_new, "{isa:?} {shape:?} at {i}");
                    assert_eq!(onto[i], of_onto, "{isa:?} {shape:?} at {i}, onto");
                }
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
        // A unit is 1/2600 of a row's root mean square here; errors are independent.
        let scale = (k as f32).sqrt() / 3.0;
        let worst = (0..m * n)
            .map(|i| (out[i] - start[i] - exact[i]).abs() / scale)
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "{isa:?}: {worst}");
        assert!(worst > 1e-6, "{isa:?}: nothing was rounded");
    });
}

#[test]
fn what_is_not_a_number_stays_so() {
    each_isa(|isa| {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (m, n, k) = (3, 5, 40);
            let (mut x, mut w) = (noise(m * k, 3), noise(n * k, 4));
            x[k + 7] = bad;
            w[2 * k + 1] = bad;
            let packed = PackedPairs::new(&w, n, k);
            let out = Rows::with(&x, k, |rows| product_pairs(rows, &packed));
            for (i, value) in out.into_iter().enumerate() {
                let expected = i / n == 1 || i % n == 2;
                assert_eq!(value.is_nan(), expected, "{isa:?} {bad} at {i}: {value}");
            }
        }
    });
}

#[test]
fn new_outputs_are_those_that_are_written_in_place() {
    each_isa(|isa| {
        for (m, n, k) in SHAPES {
            let (x, other) = (noise(m * k, 1), noise(m * k, 2));
            // Earlier content must not affect the result.
            let mut words = vec![0xffff_ffff; m * words_of(k)];
            round_all(&x, k, &mut words);
            let new = new_rounded(&x, k);
            assert_eq!(memory::words(&new), words, "{isa:?}");
            let mut wide = vec![f32::NAN; m * k];
            widen_rows(&words, k, &mut wide);
            assert_eq!(widened(&words, k), wide, "{isa:?}");

            let weights = [n, 2 * n, 1].map(|n| PackedPairs::new(&noise(n * k, 3), n, k));
            let rows = Rows::new(&words, k);
            let each = weights.each_ref();
            let apart = each.map(|weight| product_pairs(rows, weight));
            assert_eq!(products_together(rows, each), apart.concat(), "{isa:?}");

            let others = new_rounded(&other, k);
            let others = Rows::new(memory::words(&others), k);
            let second = PackedPairs::new(&noise(n * k, 4), n, k);
            let sum = sum_of_products(&[(rows, &weights[0]), (others, &second)]);
            let mut expected = apart[0].clone();
            add_product(others, &second, &mut expected);
            assert_eq!(sum, expected, "{isa:?}");
        }
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
        let packed = PackedPairs::new(&w, n, k);
        let back = packed.transposed();
        assert_eq!((back.out(), back.inner()), (k, n));
        let (integers, units) = rounded(&w, k);
        let real: Vec<f32> = integers
            .iter()
            .enumerate()
            .map(|(i, &value)| value as f32 * units[i])
            .collect();
        let near = |value: f32, real: f32| (value - real).abs() <= 1e-4;
        let (mut row, mut column) = (vec![0.0; k], vec![0.0; n]);
        for i in 0..n {
            packed.copy_row(i, &mut row);
            assert_eq!(row, real[i * k..(i + 1) * k]);
            back.copy_column(i, &mut row);
            assert!((0..k).all(|j| near(row[j], real[i * k + j])));
        }
        for i in 0..k {
            back.copy_row(i, &mut column);
            assert!((0..n).all(|j| near(column[j], real[j * k + i])));
            packed.copy_column(i, &mut column);
            assert!((0..n).all(|j| column[j] == real[j * k + i]));
        }
    });
}

//! Sums beside the plain loops, on every instruction set and several numbers of threads.

use super::*;
use crate::tests_support::{each_isa, noise};

/// Rows around what blocks, groups and vectors end at, random and degenerate.
fn sets() -> Vec<(String, Vec<Vec<f32>>)> {
    let rows = |n: usize, width: usize| -> Vec<Vec<f32>> {
        (0..n).map(|i| noise(width, i as u64 + 1)).collect()
    };
    let mut sets: Vec<(String, Vec<Vec<f32>>)> = [
        (0, 0),
        (1, 10),
        (2, 5000),
        (3, 1),
        (4, 255),
        (5, 256),
        (6, 9001),
        (8, 257),
        (9, 128),
        (10, 513),
        (11, 70),
        (17, 300),
    ]
    .into_iter()
    .map(|(n, width)| (format!("{n} x {width}"), rows(n, width)))
    .collect();
    sets.push(("no column".to_owned(), vec![Vec::new(); 3]));
    sets.push(("equal rows".to_owned(), vec![noise(700, 1); 10]));
    for (name, value) in [
        ("not a number", f32::NAN),
        ("infinite", f32::INFINITY),
        ("overflowing", f32::MAX),
        ("vanishing", 1e-30),
        ("zero", -0.0),
    ] {
        let mut with = rows(10, 600);
        with[3][0] = value;
        with[9][599] = -value;
        sets.push((name.to_owned(), with));
        sets.push((format!("all {name}"), vec![vec![value; 600]; 5]));
    }
    sets
}

/// Runs a check with each set, instruction set and number of threads.
fn each(check: impl Fn(&[&[f32]], &str) + Sync) {
    let sets = sets();
    each_isa(|isa| {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                for (name, rows) in &sets {
                    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                    check(&rows, &format!("{name}, {isa:?}, {threads} threads"));
                }
            });
        }
    });
}

/// A sum over the columns of two rows, in order.
fn plain(a: &[f32], b: &[f32], zero: f64, term: impl Fn(f64, f64) -> f64) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.fold(zero, |sum, (a, b)| sum + term(f64::from(*a), f64::from(*b)))
}

/// Bits of a number; those of a NaN may be any.
fn bits(value: f64) -> Option<u64> {
    (!value.is_nan()).then(|| value.to_bits())
}

#[test]
fn ordered_sums_have_the_bits_of_the_plain_loops() {
    each(|rows, what| {
        let (distances, products) = (exact(rows), products(rows));
        for (i, a) in rows.iter().enumerate() {
            assert_eq!(
                [distances[i][i], products[i][i]].map(f64::to_bits),
                [0; 2],
                "{what}"
            );
            for (j, b) in rows.iter().enumerate().skip(i + 1) {
                let square = |a: f64, b: f64| (a - b) * (a - b);
                let expected = [plain(a, b, 0.0, square), plain(a, b, -0.0, |a, b| a * b)];
                for found in [[i, j], [j, i]] {
                    let found = [&distances, &products].map(|all| all[found[0]][found[1]]);
                    assert_eq!(found.map(bits), expected.map(bits), "{i} {j} of {what}");
                }
            }
        }
    });
}

#[test]
fn products_around_the_mean_have_the_bits_of_the_plain_loop() {
    each(|rows, what| {
        let n = rows.len();
        let found = centred_products(rows);
        let mut expected = vec![vec![0.0; n]; n];
        for column in 0..rows.first().map_or(0, |row| row.len()) {
            let values: Vec<f64> = rows.iter().map(|row| f64::from(row[column])).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            for (row, a) in expected.iter_mut().zip(&values) {
                for (sum, b) in row.iter_mut().zip(&values) {
                    *sum += (a - mean) * (b - mean);
                }
            }
        }
        let pairs = expected.iter().flatten().zip(found.iter().flatten());
        for (expected, found) in pairs {
            assert_eq!(bits(*found), bits(*expected), "{what}");
        }
    });
}

#[test]
fn near_distances_are_within_their_error() {
    each(|rows, what| {
        let (exact, near) = (exact(rows), near(rows));
        for (exact, near) in exact.iter().flatten().zip(near.iter().flatten()) {
            if !exact.is_finite() {
                assert!(!near.is_finite(), "{near} of {what}");
            } else if near.is_finite() && *near >= NEAR_LEAST {
                assert!((exact - near).abs() <= NEAR * exact, "{near} of {what}");
            } else {
                // Squares that vanish or overflow in single precision.
                assert!(
                    *exact < 2.0 * NEAR_LEAST || *exact > 1e38,
                    "{near} of {what}"
                );
            }
        }
    });
}

#[test]
fn distances_from_a_point_are_those_of_the_plain_loops() {
    each(|rows, what| {
        let width = rows.first().map_or(0, |row| row.len());
        let point: Vec<f64> = noise(width, 99).into_iter().map(f64::from).collect();
        let (near, lengths) = (from_point(rows, &point), from_point(rows, &[]));
        for ((row, near), length) in rows.iter().zip(near).zip(lengths) {
            let squares = |from: &dyn Fn(usize) -> f64| -> f64 {
                let terms = row.iter().enumerate();
                let terms = terms.map(|(at, a)| (f64::from(*a) - from(at)).powi(2));
                terms.fold(0.0, |sum, term| sum + term).sqrt()
            };
            let expected = [squares(&|at| point[at]), squares(&|_| 0.0)];
            assert_eq!([near, length].map(bits), expected.map(bits), "{what}");
        }
    });
}

use fedseal_kernels::{columns, distances};

use super::*;
use crate::kernels::tests_support::noise;

/// Sets of rows: of odd and even number, one alone, with ties, with zeros of both signs, huge and tiny ones.
fn sets() -> Vec<(&'static str, Vec<Vec<f32>>)> {
    let rows = |n: usize, width: usize| -> Vec<Vec<f32>> {
        (0..n).map(|i| noise(width, 1 + i as u64)).collect()
    };
    let each = |mut rows: Vec<Vec<f32>>, change: &dyn Fn(usize, usize, f32) -> f32| {
        for (i, row) in rows.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = change(i, j, *value);
            }
        }
        rows
    };
    vec![
        ("one", rows(1, 700)),
        ("two", rows(2, 33)),
        ("odd", rows(5, 700)),
        ("even", rows(8, 1031)),
        (
            "ties",
            each(rows(6, 300), &|_, _, x: f32| (x * 4.0).round()),
        ),
        (
            "zeros",
            each(rows(5, 90), &|i: usize, j: usize, _| {
                [0.0, -0.0, 1.0][(i + j) % 3]
            }),
        ),
        ("all zero", vec![vec![0.0; 40]; 4]),
        ("huge", each(rows(5, 200), &|_, _, x: f32| x * f32::MAX)),
        ("tiny", each(rows(5, 200), &|_, _, x: f32| x * 1e-42)),
        (
            "mixed",
            each(rows(7, 200), &|i: usize, _, x: f32| {
                x * 10_f32.powi(i as i32 * 5 - 15)
            }),
        ),
        ("no column", vec![Vec::new(); 3]),
    ]
}

fn borrowed(rows: &[Vec<f32>]) -> Vec<&[f32]> {
    rows.iter().map(Vec::as_slice).collect()
}

/// Largest difference as a share of the largest expected value.
fn apart(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let size = expected
        .iter()
        .fold(0.0_f64, |most, x| most.max(f64::from(x.abs())));
    let pairs = expected.iter().zip(found);
    let most = pairs.fold(0.0_f64, |most, (a, b)| {
        most.max((f64::from(*a) - f64::from(*b)).abs())
    });
    if most == 0.0 { 0.0 } else { most / size }
}

#[test]
fn means_are_within_a_millionth_of_the_cpu_s() {
    let device = Device::flex();
    for (name, rows) in sets() {
        let rows = borrowed(&rows);
        let n = rows.len();
        let total: f64 = (1..=n).map(|i| i as f64).sum();
        let weights: Vec<f64> = (1..=n).map(|i| i as f64 / total).collect();
        let expected = columns::weighted_sum(&rows, &weights);
        let found = fed_avg(&rows, &weights, &device).unwrap().unwrap();
        assert!(
            apart(&expected, &found) < 1e-6,
            "{name}: {}",
            apart(&expected, &found)
        );
        for trim in 0..n.div_ceil(2) {
            let expected = columns::trimmed_mean(&rows, trim);
            let Some(found) = trimmed_mean(&rows, trim, &device).unwrap() else {
                // All that is left is 0, beside ones.
                assert_eq!((name, trim), ("zeros", 2));
                continue;
            };
            let apart = apart(&expected.values, &found.values);
            assert!(apart < 1e-6, "{name}, {trim} trimmed: {apart}");
            assert_eq!(expected.counted, found.counted, "{name}, {trim} trimmed");
        }
    }
}

#[test]
fn medians_have_the_cpu_s_bits() {
    for (name, rows) in sets() {
        let rows = borrowed(&rows);
        let expected = columns::lower_median(&rows);
        let found = lower_median(&rows, &Device::flex()).unwrap();
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&expected.values), bits(&found.values), "{name}");
        assert_eq!(expected.counted, found.counted, "{name}");
    }
}

#[test]
fn sums_that_cancel_are_exact_or_none() {
    let device = Device::flex();
    // Single precision alone has nothing left of these sums: 1e-4 beside 1.
    let mut rows: Vec<Vec<f32>> = [1, 2].map(|seed| noise(500, seed)).to_vec();
    let sum = rows[0].iter().zip(&rows[1]);
    let third = sum.map(|(a, b)| -(a + b) + 1e-4 * a).collect();
    rows.push(third);
    let rows = borrowed(&rows);
    let weights = [1.0 / 3.0; 3];
    let expected = columns::weighted_sum(&rows, &weights);
    let found = fed_avg(&rows, &weights, &device).unwrap().unwrap();
    assert!(
        apart(&expected, &found) < 1e-6,
        "{}",
        apart(&expected, &found)
    );
    let opposite: Vec<f32> = rows[0].iter().map(|x| -x).collect();
    let rows = [rows[0], opposite.as_slice()];
    assert!(fed_avg(&rows, &[0.5; 2], &device).unwrap().is_none());
    assert!(trimmed_mean(&rows, 0, &device).unwrap().is_none());
}

#[test]
fn distances_and_products_are_within_their_error() {
    let device = Device::flex();
    for (name, rows) in sets() {
        let n = rows.len();
        let rows = borrowed(&rows);
        let exact = distances::exact(&rows);
        match krum(&rows, &device).unwrap() {
            Some(found) => {
                let pairs = exact.iter().flatten().zip(found.iter().flatten());
                for (a, b) in pairs {
                    assert!((a - b).abs() <= ERROR * a, "{name}: {a} and {b}");
                }
            }
            None => {
                let vanish = ["zeros", "all zero", "mixed", "no column"];
                assert!(vanish.contains(&name), "{name}");
            }
        }
        let width = rows.first().map_or(0, |row| row.len());
        let mut gram = vec![vec![0.0; n]; n];
        for column in 0..width {
            let values: Vec<f64> = rows.iter().map(|row| f64::from(row[column])).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            for (row, a) in gram.iter_mut().zip(&values) {
                for (sum, b) in row.iter_mut().zip(&values) {
                    *sum += (a - mean) * (b - mean);
                }
            }
        }
        let found = dnc(&rows, &device).unwrap();
        let length = |i: usize| gram[i][i].sqrt();
        for (i, (row, found)) in gram.iter().zip(&found).enumerate() {
            for (j, (a, b)) in row.iter().zip(found).enumerate() {
                let most = ERROR * length(i) * length(j);
                assert!((a - b).abs() <= most, "{name}: {a} and {b}");
            }
        }
    }
}

#[test]
fn whole_numbers_are_in_the_order_of_the_values() {
    let values = [
        f32::MIN,
        -1.0,
        -1e-42,
        -0.0,
        0.0,
        1e-42,
        1.0,
        1.000_000_1,
        f32::MAX,
    ];
    let keys = values.map(|value| turned(value.to_bits() as i32));
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    for (value, key) in values.iter().zip(keys) {
        assert_eq!(value.to_bits(), super::value(key).to_bits());
    }
}

use super::*;
use crate::tests_support::{each_isa, noise};

/// Order of a column's rows: by value, equal ones by their number.
fn order(rows: &[&[f32]], column: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| rows[*a][column].total_cmp(&rows[*b][column]).then(a.cmp(b)));
    order
}

fn plain_median(rows: &[&[f32]]) -> Ranked {
    let mut counted = vec![0; rows.len()];
    let values = (0..rows[0].len()).map(|column| {
        let chosen = order(rows, column)[(rows.len() - 1) / 2];
        counted[chosen] += 1;
        rows[chosen][column]
    });
    Ranked {
        values: values.collect(),
        counted,
    }
}

fn plain_trimmed(rows: &[&[f32]], trim: usize) -> Ranked {
    let mut counted = vec![0; rows.len()];
    let values = (0..rows[0].len()).map(|column| {
        let order = order(rows, column);
        let mut left = order[trim..order.len() - trim].to_vec();
        left.sort_unstable();
        left.iter().for_each(|index| counted[*index] += 1);
        let sum: f64 = left
            .iter()
            .map(|index| f64::from(rows[*index][column]))
            .sum();
        (sum / left.len() as f64) as f32
    });
    Ranked {
        values: values.collect(),
        counted,
    }
}

fn plain_sum(rows: &[&[f32]], weights: &[f64]) -> Vec<f32> {
    let column = |column: usize| {
        let terms = rows.iter().zip(weights);
        terms
            .map(|(row, weight)| weight * f64::from(row[column]))
            .sum::<f64>() as f32
    };
    (0..rows[0].len()).map(column).collect()
}

/// Rows with few different values in some columns, zeros of both signs, and tails.
fn rows(n: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
    let values = noise(n * width, seed);
    let rough = |(at, value): (usize, &f32)| match at % width % 5 {
        0 => (value * 2.0).round(),
        1 => value.signum() * 0.0,
        2 => value * 1e30,
        _ => *value,
    };
    let values: Vec<f32> = values.iter().enumerate().map(rough).collect();
    values.chunks(width).map(<[f32]>::to_vec).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn equal(found: &Ranked, expected: &Ranked, what: &str) {
    assert_eq!(bits(&found.values), bits(&expected.values), "{what}");
    assert_eq!(found.counted, expected.counted, "{what}");
}

#[test]
fn statistics_are_those_of_the_plain_loops_on_every_instruction_set_and_thread_count() {
    let cases = [
        (1, 40),
        (2, 513),
        (3, 1000),
        (4, 520),
        (5, 70),
        (6, 33),
        (7, 33),
        (8, 90),
        (9, 600),
        (10, 5000),
        (16, 17),
        (40, 700),
        (101, 90),
    ];
    let cases = cases.map(|(n, width)| rows(n, width, n as u64));
    each_isa(|isa| {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            for case in &cases {
                let rows: Vec<&[f32]> = case.iter().map(Vec::as_slice).collect();
                let what = format!("{} rows, {isa:?}, {threads} threads", rows.len());
                let weights: Vec<f64> = (0..rows.len()).map(|i| 0.3 + i as f64 / 7.0).collect();
                pool.install(|| {
                    equal(&lower_median(&rows), &plain_median(&rows), &what);
                    for trim in [0, 1, rows.len() / 3, (rows.len() - 1) / 2] {
                        if 2 * trim < rows.len() {
                            let what = format!("{what}, trim {trim}");
                            equal(
                                &trimmed_mean(&rows, trim),
                                &plain_trimmed(&rows, trim),
                                &what,
                            );
                        }
                    }
                    let sum = weighted_sum(&rows, &weights);
                    assert_eq!(bits(&sum), bits(&plain_sum(&rows, &weights)), "{what}");
                    let mut sums = vec![-0.0; rows[0].len()];
                    for (row, weight) in rows.iter().zip(&weights) {
                        add_scaled(&mut sums, *weight, row);
                    }
                    let added: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
                    assert_eq!(bits(&added), bits(&sum), "{what}");
                });
            }
        }
    });
}

#[test]
fn networks_of_few_rows_sort_every_pattern_of_zeros_and_ones() {
    // A network that sorts these sorts everything (Knuth, the 0-1 principle).
    for n in (3..=10).filter(|n| small::has(*n)) {
        let one = |is: bool| f32::from(u8::from(is));
        let row = |row: usize| {
            let patterns = 0..1_usize << n;
            patterns.map(|column| one(column >> row & 1 == 1)).collect()
        };
        let rows: Vec<Vec<f32>> = (0..n).map(row).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        each_isa(|isa| {
            let what = format!("{n} rows, {isa:?}");
            equal(&lower_median(&rows), &plain_median(&rows), &what);
            equal(&trimmed_mean(&rows, 1), &plain_trimmed(&rows, 1), &what);
        });
    }
    assert!(small::has(3) && small::has(10) && !small::has(11));
}

#[test]
fn a_value_that_is_not_finite_shows_in_its_column() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut rows = rows(5, 700, 3);
        rows[2][650] = bad;
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        for values in [
            lower_median(&rows).values,
            trimmed_mean(&rows, 1).values,
            weighted_sum(&rows, &[0.2; 5]),
        ] {
            let found: Vec<usize> = (0..700).filter(|at| !values[*at].is_finite()).collect();
            assert_eq!(found, [650], "{bad}");
        }
        assert!(all_finite(rows[1]) && !all_finite(rows[2]));
        // Ties are settled without hiding it, with a network of few rows and of many.
        for n in [5, 12] {
            let mut rows = vec![vec![1.0_f32; 40]; n];
            rows[2][7] = bad;
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            for values in [lower_median(&rows).values, trimmed_mean(&rows, 1).values] {
                let found: Vec<usize> = (0..40).filter(|at| values[*at].is_nan()).collect();
                assert_eq!(found, [7], "{bad} of {n}");
            }
        }
    }
    assert!(all_finite(&[]));
}

#[test]
fn keys_are_ordered_as_floats_are_and_lead_back() {
    let mut values = vec![0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN, 1e-45, -1e-45];
    values.extend(noise(100, 5));
    for a in &values {
        assert_eq!(value(key(*a)).to_bits(), a.to_bits());
        for b in &values {
            assert_eq!(key(*a).cmp(&key(*b)), a.total_cmp(b), "{a} {b}");
        }
    }
}

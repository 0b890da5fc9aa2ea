//! Squared Euclidean distances between rows that lie apart.

use std::sync::Mutex;

#[cfg(target_arch = "x86_64")]
use crate::{Isa, isa};
use crate::{memory, parallel};

mod sums;
#[cfg(target_arch = "x86_64")]
mod wide;

use sums::{BLOCK, add};

/// Lanes of a distance in single precision: some sums of a block go on side by side.
const WIDE: usize = 64;

/// Pairs of rows whose exact distances go on side by side.
const PAIRS: usize = 8;

/// Largest relative error of [`near`]. A lane adds at most 32 squares (a block of 256 in vectors of 8), each of a
/// rounded difference, in single precision: at most 34 roundings of 2^-24, 2e-6. This is five times as much.
pub const NEAR: f64 = 1e-5;

/// Distances below this say nothing in [`near`]: squares of single precision vanish.
pub const NEAR_LEAST: f64 = 1e-24;

/// Pairs `(i, j)` of `n` rows with `i < j`, in the order of the distances.
fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

/// Both halves of a symmetric matrix, `[n][n]`, from its pairs.
fn square(n: usize, distances: &[f64]) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.0; n]; n];
    for ((i, j), distance) in pairs(n).zip(distances) {
        all[i][j] = *distance;
        all[j][i] = *distance;
    }
    all
}

/// Squared distances, `[n][n]`: each a sum over columns in order, in f64, so that they depend on neither
/// threads nor instruction set.
///
/// # Panics
/// When rows differ in length.
pub fn exact(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    summed(rows, 0.0, &|a, b| (a - b) * (a - b))
}

/// Scalar products of different rows, `[n][n]`, with zeros on the diagonal; summed as [`exact`] ones are.
///
/// # Panics
/// When rows differ in length.
pub fn products(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    // What is added to -0 stays as it is.
    summed(rows, -0.0, &|a, b| a * b)
}

/// Sums of a term over the columns of all pairs of rows.
fn summed(rows: &[&[f32]], zero: f64, term: &(impl Fn(f64, f64) -> f64 + Sync)) -> Vec<Vec<f64>> {
    let n = rows.len();
    let width = rows.first().map_or(0, |row| row.len());
    let pairs: Vec<(usize, usize)> = pairs(n).collect();
    let found = Mutex::new(vec![0.0; pairs.len()]);
    parallel::for_ranges(pairs.len().div_ceil(PAIRS), PAIRS * width, &|groups| {
        for group in groups {
            let start = group * PAIRS;
            let end = pairs.len().min(start + PAIRS);
            // A short group does its last pair several times.
            let of = |index: usize| pairs[(start + index).min(end - 1)];
            let first: [&[f32]; PAIRS] = std::array::from_fn(|index| &rows[of(index).0][..width]);
            let second: [&[f32]; PAIRS] = std::array::from_fn(|index| &rows[of(index).1][..width]);
            let mut sums = [zero; PAIRS];
            for column in 0..width {
                for (sum, (a, b)) in sums.iter_mut().zip(first.iter().zip(&second)) {
                    *sum += term(f64::from(a[column]), f64::from(b[column]));
                }
            }
            let mut found = found
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            found[start..end].copy_from_slice(&sums[..end - start]);
        }
    });
    let found = found
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    square(n, &found)
}

/// Euclidean distances of rows from a point, from 0 where it has no coordinates: sums over columns in order, in f64.
///
/// # Panics
/// When rows differ in length from each other or from a point with coordinates.
pub fn from_point(rows: &[&[f32]], point: &[f64]) -> Vec<f64> {
    match point.is_empty() {
        true => lengths(rows, &|_| 0.0),
        false => {
            let width = rows.first().map_or(0, |row| row.len());
            assert_eq!(width, point.len(), "a coordinate a column");
            lengths(rows, &|column| point[column])
        }
    }
}

/// Rows whose distances from a point go on side by side.
const ROWS: usize = 4;

fn lengths(rows: &[&[f32]], from: &(impl Fn(usize) -> f64 + Sync)) -> Vec<f64> {
    let width = rows.first().map_or(0, |row| row.len());
    let mut found = vec![0.0; rows.len()];
    parallel::for_parts(&mut found, ROWS, &|group, found| {
        let start = group * ROWS;
        // A short group does its last row several times.
        let of = |index: usize| &rows[(start + index).min(rows.len() - 1)][..width];
        let group: [&[f32]; ROWS] = std::array::from_fn(of);
        let mut sums = [0.0_f64; ROWS];
        for column in 0..width {
            let from = from(column);
            for (sum, row) in sums.iter_mut().zip(&group) {
                let difference = f64::from(row[column]) - from;
                *sum += difference * difference;
            }
        }
        for (found, sum) in found.iter_mut().zip(sums) {
            *found = sum.sqrt();
        }
    });
    found
}

/// Squared distances, `[n][n]`, in single precision: each within [`NEAR`] of the exact one, relative to it,
/// where it is finite and at least [`NEAR_LEAST`]. Their last bits depend on the split.
///
/// # Panics
/// When rows differ in length.
pub fn near(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    let n = rows.len();
    let width = rows.first().map_or(0, |row| row.len());
    let count = n * n.saturating_sub(1) / 2;
    let total = Mutex::new(vec![0.0; count]);
    parallel::for_ranges(width.div_ceil(BLOCK), BLOCK * count, &|blocks| {
        let mut sums = vec![[0.0; 8]; count];
        // Rows often lie whole pages apart, and their parts would drive each other out of the nearest cache.
        memory::with_scratch(n * BLOCK, |packed| {
            for block in blocks {
                let start = block * BLOCK;
                let len = BLOCK.min(width - start);
                let packed = packed.as_chunks_mut().0;
                pack(rows, start, len, packed);
                near_block(packed, len, rows, start + BLOCK, &mut sums);
            }
        });
        let mut total = total
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum.iter().sum::<f64>();
        }
    });
    let total = total
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    square(n, &total)
}

multiversion! {
    /// Copies a block of every row, side by side: memory reads several rows so far better than one after another.
    /// Zeros follow, since equal values add nothing.
    fn pack(rows: &[&[f32]], start: usize, len: usize, packed: &mut [[f32; BLOCK]]) {
        const LINE: usize = 16;
        for at in (0..len).step_by(LINE) {
            let part = LINE.min(len - at);
            for (packed, row) in packed.iter_mut().zip(rows) {
                let row = &row[start + at..][..part];
                match row.as_array::<LINE>() {
                    Some(row) => packed[at..][..LINE].copy_from_slice(row),
                    None => packed[at..][..part].copy_from_slice(row),
                }
            }
        }
        for packed in packed {
            packed[len..].fill(0.0);
        }
    }
}

/// Adds the squared distances of all pairs of rows in a block, of which `len` columns count and zeros follow, each to
/// eight sums side by side. `ahead` and `next` are the rows and the column where the next block starts.
fn near_block(
    rows: &[[f32; BLOCK]],
    len: usize,
    ahead: &[&[f32]],
    next: usize,
    sums: &mut [[f64; 8]],
) {
    #[cfg(target_arch = "x86_64")]
    match isa() {
        // SAFETY: `isa` names only what this processor has.
        Isa::Avx512 => return unsafe { wide::avx512(rows, len, ahead, next, sums) },
        // SAFETY: as above.
        Isa::Avx2 => return unsafe { wide::avx2(rows, len, ahead, next, sums) },
        Isa::Portable => {}
    }
    let _ = (ahead, next);
    let mut sums = sums.iter_mut();
    for (at, row) in rows.iter().enumerate() {
        for (other, sums) in rows[at + 1..].iter().zip(&mut sums) {
            let mut lanes = [0.0_f32; WIDE];
            let parts = row.chunks(WIDE).zip(other.chunks(WIDE));
            for (a, b) in parts.take(len.div_ceil(WIDE)) {
                for lane in 0..WIDE {
                    let difference = a[lane] - b[lane];
                    lanes[lane] += difference * difference;
                }
            }
            add(&lanes, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::{each_isa, noise};

    fn plain(a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b);
        pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    }

    #[test]
    fn products_and_distances_from_a_point_are_those_of_the_plain_loops() {
        for (n, width) in [(1, 10), (3, 5000), (6, 901)] {
            let rows: Vec<Vec<f32>> = (0..n).map(|i| noise(width, i as u64 + 1)).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let point: Vec<f64> = noise(width, 99).into_iter().map(f64::from).collect();
            let (products, near) = (products(&rows), from_point(&rows, &point));
            let lengths = from_point(&rows, &[]);
            for (i, row) in rows.iter().enumerate() {
                for (j, other) in rows.iter().enumerate().filter(|(j, _)| *j != i) {
                    let terms = row.iter().zip(*other);
                    let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    assert_eq!(products[i][j].to_bits(), sum.to_bits());
                }
                let terms = row.iter().zip(&point);
                let sum: f64 = terms.map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
                assert_eq!(near[i], sum.sqrt());
                let sum: f64 = row.iter().map(|a| f64::from(*a).powi(2)).sum();
                assert_eq!(lengths[i], sum.sqrt());
            }
        }
        assert!(from_point(&[], &[]).is_empty());
    }

    #[test]
    fn exact_ones_are_those_of_the_plain_loop_and_near_ones_are_near() {
        for (n, width) in [(1, 10), (2, 5000), (6, 9001), (11, 70)] {
            let rows: Vec<Vec<f32>> = (0..n).map(|i| noise(width, i as u64 + 1)).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            each_isa(|isa| {
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let (exact, near) = pool.unwrap().install(|| (exact(&rows), near(&rows)));
                    for i in 0..n {
                        for j in 0..n {
                            let expected = plain(rows[i], rows[j]);
                            let what = format!("{i} {j} of {n}, {isa:?}, {threads} threads");
                            assert_eq!(exact[i][j].to_bits(), expected.to_bits(), "{what}");
                            let error = (near[i][j] - expected).abs();
                            assert!(error <= NEAR / 10.0 * expected, "{what}: {error}");
                        }
                    }
                }
            });
        }
    }
}

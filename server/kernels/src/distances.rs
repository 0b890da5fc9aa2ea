//! Squared Euclidean distances between rows that lie apart.
//!
//! Bound: `n` rows have `n (n - 1) / 2` pairs, each of which takes a subtraction, a multiplication and an addition a
//! column, while `4 n` bytes of the column are read: `3 (n - 1) / 8` operations a byte, 3.4 for ten rows and 37 for a
//! hundred. A core that starts a subtraction and a fused multiply-add of 16 lanes a cycle needs 2.8 cycles for a
//! column of ten rows. Memory that brings less than 14 bytes a cycle is the bound there; at 4 bytes a cycle it is for
//! up to 33 rows, and arithmetic beyond. [`exact`] has half the lanes, and a subtraction and an addition in turn: 11
//! cycles, if no lane were empty.

use std::sync::Mutex;

use crate::{Isa, isa, memory, parallel};

mod ordered;
mod sums;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod wide;

use ordered::Term;
use sums::{BLOCK, Sums, add, tiled};

/// Lanes of a distance in single precision on every other instruction set.
const WIDE: usize = 64;

/// Rows of a group on every other instruction set.
const GROUP: usize = 4;

/// Largest relative error of [`near`]: 40 roundings of 2^-24. A rounded difference is squared (two), at most 32 such
/// squares are added in a lane (a block of 256 in vectors of 8), halves of the lanes at most twice (two). Sums of
/// blocks run in f64, whose roundings vanish beside these.
pub const NEAR: f64 = 40.0 / (1 << 24) as f64;

/// Distances below this say nothing in [`near`]: squares of single precision vanish.
pub const NEAR_LEAST: f64 = 1e-24;

/// Width of rows that are all equally long.
fn width(rows: &[&[f32]]) -> usize {
    let width = rows.first().map_or(0, |row| row.len());
    assert!(
        rows.iter().all(|row| row.len() == width),
        "rows of one length"
    );
    width
}

/// Squared distances, `[n][n]`: each a sum over columns in order, in f64, so that they depend on neither
/// threads nor instruction set.
///
/// # Panics
/// When rows differ in length.
pub fn exact(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    ordered::sums(rows, width(rows), Term::Square)
}

/// Scalar products of different rows, `[n][n]`, with zeros on the diagonal; summed as [`exact`] ones are.
///
/// # Panics
/// When rows differ in length.
pub fn products(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    ordered::sums(rows, width(rows), Term::Product)
}

/// Scalar products of the rows' differences from their mean, `[n][n]`, each row's with itself on the diagonal; summed
/// as [`exact`] ones are, and the mean over rows in order.
///
/// # Panics
/// When rows differ in length.
pub fn centred_products(rows: &[&[f32]]) -> Vec<Vec<f64>> {
    ordered::sums(rows, width(rows), Term::Centred)
}

/// Euclidean distances of rows from a point, from 0 where it has no coordinates: sums over columns in order, in f64.
///
/// # Panics
/// When rows differ in length from each other or from a point with coordinates.
pub fn from_point(rows: &[&[f32]], point: &[f64]) -> Vec<f64> {
    match point.is_empty() {
        true => lengths(rows, &|_| 0.0),
        false => {
            assert_eq!(width(rows), point.len(), "a coordinate a column");
            lengths(rows, &|column| point[column])
        }
    }
}

/// Rows whose distances from a point go on side by side.
const ROWS: usize = 4;

fn lengths(rows: &[&[f32]], from: &(impl Fn(usize) -> f64 + Sync)) -> Vec<f64> {
    let width = width(rows);
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
    let (n, width) = (rows.len(), width(rows));
    // One for the whole work: the order of pairs is that of its tiles.
    let isa = isa();
    let pairs = tiled(n, group(isa));
    let (whole, rest) = (width / BLOCK, width % BLOCK);
    // The last columns of every row, zeros behind them: equal values add nothing.
    let mut ends = vec![0.0; if rest > 0 { n * BLOCK } else { 0 }];
    for (end, row) in ends.chunks_exact_mut(BLOCK).zip(rows) {
        end[..rest].copy_from_slice(&row[whole * BLOCK..]);
    }
    let ends: Vec<&[f32]> = ends.chunks_exact(BLOCK).collect();
    let total = Mutex::new(vec![0.0; pairs.len()]);
    parallel::for_ranges(width.div_ceil(BLOCK), BLOCK * pairs.len(), &|blocks| {
        let mut sums = vec![[0.0; 4]; pairs.len()];
        memory::with_scratch(n * BLOCK, |packed| {
            let packed = packed.as_chunks_mut().0;
            for block in blocks {
                let (rows, start, len) = match block < whole {
                    true => (rows, block * BLOCK, BLOCK),
                    false => (ends.as_slice(), 0, rest),
                };
                near_block(isa, rows, start, len, packed, &pairs, &mut sums);
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
    let mut all = vec![vec![0.0; n]; n];
    for ((i, j), distance) in pairs.into_iter().zip(total) {
        all[i][j] = distance;
        all[j][i] = distance;
    }
    all
}

/// Rows of a group in the tiles of an instruction set.
fn group(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => wide::GROUP_16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => wide::GROUP_8,
        _ => GROUP,
    }
}

/// Adds the squared distances of all pairs of rows in the block from `start` on, of which `len` columns count and zeros
/// follow. `packed` is room for it.
fn near_block(
    isa: Isa,
    rows: &[&[f32]],
    start: usize,
    len: usize,
    packed: &mut [[f32; BLOCK]],
    pairs: &[(usize, usize)],
    sums: &mut [Sums],
) {
    #[cfg(target_arch = "x86_64")]
    match isa {
        // SAFETY: `isa` names only what this processor has.
        Isa::Avx512 => return unsafe { wide::avx512(rows, start, len, packed, sums) },
        // SAFETY: as above.
        Isa::Avx2 => return unsafe { wide::avx2(rows, start, len, packed, sums) },
        Isa::Portable => {}
    }
    let _ = (isa, packed);
    for ((row, other), sums) in pairs.iter().zip(sums) {
        let [row, other] = [row, other].map(|row| &rows[*row][start..][..BLOCK]);
        let mut lanes = [0.0_f32; WIDE];
        let parts = row.chunks_exact(WIDE).zip(other.chunks_exact(WIDE));
        for (a, b) in parts.take(len.div_ceil(WIDE)) {
            for lane in 0..WIDE {
                let difference = a[lane] - b[lane];
                lanes[lane] += difference * difference;
            }
        }
        add(&lanes, sums);
    }
}

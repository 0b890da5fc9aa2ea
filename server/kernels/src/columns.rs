//! Statistics of the columns of rows that lie apart, as aggregation rules need them: `n` rows of `d` values
//! each, one result a column.
//!
//! A column's sum runs over its rows in order in f64 and is rounded once, and order statistics are values of
//! the rows, so no result depends on threads or instruction set. Work is cut into blocks of columns, of which
//! every row's part fits a near cache. A value that is not finite makes its column's result not a number.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::memory::{self, Shared};
use crate::parallel;

mod keys;
mod network;
mod small;

use keys::{EXPONENT, key, value};
use network::{Keep, Network};

/// Columns of a block in sums: 2 KiB of every row.
const BLOCK: usize = 512;

/// Sortable keys of a block in order statistics, over all rows: 32 KiB.
const KEYS: usize = 8192;

/// Sums of a block from the start of a cache line on: a vector across two lines is read and written twice.
#[repr(align(64))]
struct Sums<const COLUMNS: usize>([f64; COLUMNS]);

/// Order statistics of every column.
pub struct Ranked {
    /// The result, a value a column.
    pub values: Vec<f32>,
    /// Number of columns in which each row's value counted.
    pub counted: Vec<usize>,
}

/// Width of rows that are all equally long.
fn width(rows: &[&[f32]]) -> usize {
    let width = rows.first().map_or(0, |row| row.len());
    assert!(
        rows.iter().all(|row| row.len() == width),
        "rows of one length"
    );
    width
}

/// Whether every value of a row is finite.
pub fn all_finite(row: &[f32]) -> bool {
    let good = AtomicBool::new(true);
    parallel::for_ranges(row.len().div_ceil(BLOCK), BLOCK / 4, &|blocks| {
        let (from, to) = (blocks.start * BLOCK, row.len().min(blocks.end * BLOCK));
        let mut bad = 0;
        find_bad(&row[from..to], &mut bad);
        if bad > 0 {
            good.store(false, Ordering::Relaxed);
        }
    });
    good.load(Ordering::Relaxed)
}

/// Computes `sum_i weights[i] * rows[i]` in f64, over rows in order, rounded once.
///
/// # Panics
/// When rows differ in length, or weights are not as many as rows.
pub fn weighted_sum(rows: &[&[f32]], weights: &[f64]) -> Vec<f32> {
    settled_sum(rows, weights, &|_, _| {})
}

/// As [`weighted_sum`]; `settle` gets the first column and the values of each block while the nearest cache has them.
///
/// # Panics
/// As [`weighted_sum`].
pub fn settled_sum(
    rows: &[&[f32]],
    weights: &[f64],
    settle: &(impl Fn(usize, &mut [f32]) + Sync),
) -> Vec<f32> {
    let width = width(rows);
    assert_eq!(rows.len(), weights.len(), "a weight a row");
    let fill = |out: Shared| {
        parallel::for_ranges(width.div_ceil(BLOCK), BLOCK * rows.len(), &|blocks| {
            for block in blocks {
                let start = block * BLOCK;
                // SAFETY: blocks do not overlap.
                let out = unsafe { out.slice(start, BLOCK.min(width - start)) };
                // What is added to -0 stays as it is.
                let mut sums = Sums([-0.0; BLOCK]);
                let sums = &mut sums.0[..out.len()];
                add_rows(rows, weights, start, sums);
                round(sums, out);
                settle(start, out);
            }
        });
    };
    // SAFETY: every block of the output is written.
    unsafe { memory::filled(width, fill) }
}

/// Computes `sums += weight * row`.
///
/// # Panics
/// When the lengths differ.
pub fn add_scaled(sums: &mut [f64], weight: f64, row: &[f32]) {
    assert_eq!(sums.len(), row.len(), "equal lengths");
    let parts = sums
        .par_chunks_mut(32 * BLOCK)
        .zip(row.par_chunks(32 * BLOCK));
    parts.for_each(|(sums, row)| add_part(sums, weight, row));
}

/// Computes `keep * point + sum_i weights[i] * rows[i]` in f64, over rows in order.
///
/// # Panics
/// When rows differ in length from the point, or weights are not as many as rows.
pub fn moved(point: &[f64], keep: f64, rows: &[&[f32]], weights: &[f64]) -> Vec<f64> {
    assert_eq!(rows.len(), weights.len(), "a weight a row");
    let fits = |row: &&[f32]| row.len() == point.len();
    assert!(rows.iter().all(fits), "rows as long as the point");
    let mut moved = point.to_vec();
    parallel::for_parts(&mut moved, BLOCK, &|block, moved| {
        // Nothing of a point at 0 is a zero above: the sign of a zero would show.
        moved
            .iter_mut()
            .for_each(|value| *value = keep * *value + 0.0);
        add_rows(rows, weights, block * BLOCK, moved);
    });
    moved
}

/// Median of every column, the lower of the two middle values of an even number; of equal values the first
/// row's counts.
///
/// # Panics
/// When there is no row, or rows differ in length.
pub fn lower_median(rows: &[&[f32]]) -> Ranked {
    let n = rows.len();
    assert!(n > 0, "a row");
    let middle = (n - 1) / 2;
    let network = (!small::has(n)).then(|| Network::new(n, &[middle]));
    ranked(rows, network.as_ref(), &|block: &mut Block<'_>| {
        let (start, columns) = (block.start, block.out.len());
        if let Some(network) = &network {
            sort_block(network, rows, block);
            let medians = &block.keys[middle * columns..][..columns];
            median_block(medians, block.out, block.ties);
            count_equal(rows, start, block.out, block.ties, block.counted);
            spoil(block);
        } else {
            small::medians(rows, start, block.out, block.ties, block.counted);
        }
        if !differ(block.ties, 1) {
            return;
        }
        for column in 0..columns {
            if block.ties[column] != 1 {
                settle_median(rows, start + column, middle, block.counted);
            }
        }
    })
}

/// Mean of every column without its `trim` lowest and its `trim` highest values; of equal values those of the
/// first rows are the lowest. The sum runs over the rows that are left, in order.
///
/// # Panics
/// When fewer than `2 * trim + 1` rows are there, or rows differ in length.
pub fn trimmed_mean(rows: &[&[f32]], trim: usize) -> Ranked {
    let n = rows.len();
    assert!(trim < n && 2 * trim < n, "a row that is left");
    let places = [trim, n - 1 - trim];
    let network = (trim != 1 || !small::has(n)).then(|| Network::new(n, &places));
    ranked(rows, network.as_ref(), &|block: &mut Block<'_>| {
        let (start, columns) = (block.start, block.out.len());
        if let Some(network) = &network {
            sort_block(network, rows, block);
            block.ties.fill(0);
            let [lows, highs] = places.map(|at| &block.keys[at * columns..][..columns]);
            mean_block(
                rows,
                start,
                lows,
                highs,
                block.out,
                block.ties,
                block.counted,
            );
            spoil(block);
        } else {
            small::means(rows, start, block.out, block.ties, block.counted);
        }
        let left = (n - 2 * trim) as u32;
        if !differ(block.ties, left) {
            return;
        }
        for column in 0..columns {
            if block.ties[column] != left {
                let mean = settle_mean(rows, start + column, trim, block.counted);
                // A value that is not finite shows although it was trimmed.
                if !block.out[column].is_nan() {
                    block.out[column] = mean;
                }
            }
        }
    })
}

/// A block of columns of which a statistic is worked out.
struct Block<'a> {
    /// Its first column.
    start: usize,
    /// Its results, not written yet.
    out: &'a mut [f32],
    /// Rows that counted in each of its columns.
    ties: &'a mut [u32],
    /// Columns in which each row counted so far.
    counted: &'a mut [u32],
    /// Room for the keys of all its values, `[rows, columns]`, where a network sorts them.
    keys: &'a mut [u32],
    /// Room for whether a value of a column is not finite.
    bad: &'a mut [u32],
}

/// Calls `statistic` with every block; with room for keys where a network sorts them.
fn ranked(
    rows: &[&[f32]],
    network: Option<&Network>,
    statistic: &(impl Fn(&mut Block<'_>) + Sync),
) -> Ranked {
    let (width, n) = (width(rows), rows.len());
    // Whole vectors, and a block at least as wide as one.
    let columns = (KEYS / n.max(1)).clamp(16, 512).next_multiple_of(16);
    let sorted = if network.is_some() { n } else { 0 };
    let total: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
    let fill = |out: Shared| {
        parallel::for_ranges(width.div_ceil(columns), 8 * columns * n, &|blocks| {
            memory::with_scratch((sorted + 2) * columns, |scratch| {
                let scratch = memory::words_mut(scratch);
                let (keys, rest) = scratch.split_at_mut(sorted * columns);
                let (ties, bad) = rest.split_at_mut(columns);
                let mut counted = vec![0; n];
                for index in blocks {
                    let start = index * columns;
                    let len = columns.min(width - start);
                    statistic(&mut Block {
                        start,
                        // SAFETY: blocks do not overlap.
                        out: unsafe { out.slice(start, len) },
                        ties: &mut ties[..len],
                        counted: &mut counted,
                        keys: &mut keys[..sorted * len],
                        bad: &mut bad[..len],
                    });
                    // A count of a range of blocks has to fit 32 bits.
                    for (total, counted) in total.iter().zip(&mut counted) {
                        total.fetch_add(std::mem::take(counted) as usize, Ordering::Relaxed);
                    }
                }
            });
        });
    };
    Ranked {
        // SAFETY: every block of the output is written by the statistic.
        values: unsafe { memory::filled(width, fill) },
        counted: total.into_iter().map(AtomicUsize::into_inner).collect(),
    }
}

/// Sorts a block's keys as far as the network needs to, and finds columns with a value that is not finite.
fn sort_block(network: &Network, rows: &[&[f32]], block: &mut Block<'_>) {
    block.bad.fill(0);
    key_block(rows, block.start, block.keys, block.bad);
    sort_keys(network, rows.len(), block.keys, block.bad.len());
}

/// Makes results of columns with a value that is not finite not a number.
fn spoil(block: &mut Block<'_>) {
    if differ(block.bad, 0) {
        for (value, bad) in block.out.iter_mut().zip(block.bad.iter()) {
            if *bad > 0 {
                *value = f32::NAN;
            }
        }
    }
}

/// Adds multiples of the first rows to the sums of a block, in order, column by column: memory reads several rows
/// side by side far better than pieces of one after another. Returns how many rows these are.
#[inline(always)]
fn add_some<const ROWS: usize>(
    rows: &[&[f32]],
    weights: &[f64],
    start: usize,
    sums: &mut [f64],
) -> usize {
    let columns = sums.len();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row][start..][..columns]);
    let weights: [f64; ROWS] = std::array::from_fn(|row| weights[row]);
    for column in 0..columns {
        let mut sum = sums[column];
        for row in 0..ROWS {
            sum += weights[row] * f64::from(rows[row][column]);
        }
        sums[column] = sum;
    }
    ROWS
}

/// Whether a value is another one: without a way out of the loop, so that several are looked at together.
fn differ(values: &[u32], from: u32) -> bool {
    values
        .iter()
        .fold(false, |any, value| any | (*value != from))
}

/// Sorts the keys of every column as far as the network needs to, `[rows, columns]`.
fn sort_keys(network: &Network, rows: usize, keys: &mut [u32], columns: usize) {
    debug_assert_eq!(keys.len(), rows * columns);
    for step in network.steps() {
        let (first, second) = keys.split_at_mut(step.high * columns);
        let first = &mut first[step.low * columns..][..columns];
        let second = &mut second[..columns];
        match step.keep {
            Keep::Both => order(first, second),
            Keep::Low => least(first, second),
            Keep::High => greatest(first, second),
        }
    }
}

/// Gives the median of a column to the row whose value it is, where several rows have that value.
fn settle_median(rows: &[&[f32]], column: usize, middle: usize, counted: &mut [u32]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| rows[*a][column].total_cmp(&rows[*b][column]).then(a.cmp(b)));
    let chosen = order[middle];
    let median = rows[chosen][column].to_bits();
    for (index, row) in rows.iter().enumerate() {
        if index != chosen && row[column].to_bits() == median {
            counted[index] -= 1;
        }
    }
}

/// The trimmed mean of a column in which a trimmed value and one that is left are equal; counts are set
/// right.
fn settle_mean(rows: &[&[f32]], column: usize, trim: usize, counted: &mut [u32]) -> f32 {
    let n = rows.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| rows[*a][column].total_cmp(&rows[*b][column]).then(a.cmp(b)));
    let mut left = order[trim..n - trim].to_vec();
    let bounds = [trim, n - 1 - trim].map(|place| key(rows[order[place]][column]));
    left.sort_unstable();
    for (index, row) in rows.iter().enumerate() {
        if (bounds[0]..=bounds[1]).contains(&key(row[column]))
            && left.binary_search(&index).is_err()
        {
            counted[index] -= 1;
        }
    }
    let sum: f64 = left
        .iter()
        .map(|index| f64::from(rows[*index][column]))
        .sum();
    (sum / left.len() as f64) as f32
}

multiversion! {
    fn find_bad(row: &[f32], bad: &mut u32) {
        let mut found = 0;
        for value in row {
            found |= u32::from(value.to_bits() & EXPONENT == EXPONENT);
        }
        *bad = found;
    }

    fn add_rows(rows: &[&[f32]], weights: &[f64], start: usize, sums: &mut [f64]) {
        let mut done = 0;
        while done < rows.len() {
            let (rows, weights) = (&rows[done..], &weights[done..]);
            done += match rows.len() {
                1 => add_some::<1>(rows, weights, start, sums),
                2 => add_some::<2>(rows, weights, start, sums),
                3 => add_some::<3>(rows, weights, start, sums),
                4 => add_some::<4>(rows, weights, start, sums),
                5 => add_some::<5>(rows, weights, start, sums),
                6 | 7 => add_some::<6>(rows, weights, start, sums),
                8 | 9 => add_some::<8>(rows, weights, start, sums),
                10..=15 => add_some::<10>(rows, weights, start, sums),
                _ => add_some::<16>(rows, weights, start, sums),
            };
        }
    }

    fn round(sums: &[f64], out: &mut [f32]) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = *sum as f32;
        }
    }

    fn add_part(sums: &mut [f64], weight: f64, row: &[f32]) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * f64::from(*value);
        }
    }

    fn key_block(rows: &[&[f32]], start: usize, keys: &mut [u32], bad: &mut [u32]) {
        let columns = bad.len();
        for (row, keys) in rows.iter().zip(keys.chunks_exact_mut(columns)) {
            let row = &row[start..][..columns];
            for ((key_of, bad), value) in keys.iter_mut().zip(bad.iter_mut()).zip(row) {
                *key_of = key(*value);
                *bad |= u32::from(value.to_bits() & EXPONENT == EXPONENT);
            }
        }
    }

    fn order(low: &mut [u32], high: &mut [u32]) {
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = ((*a).min(*b), (*a).max(*b));
        }
    }

    fn least(low: &mut [u32], high: &[u32]) {
        for (a, b) in low.iter_mut().zip(high) {
            *a = (*a).min(*b);
        }
    }

    fn greatest(low: &[u32], high: &mut [u32]) {
        for (a, b) in low.iter().zip(high) {
            *b = (*a).max(*b);
        }
    }

    fn median_block(medians: &[u32], out: &mut [f32], ties: &mut [u32]) {
        for ((out, ties), median) in out.iter_mut().zip(ties.iter_mut()).zip(medians) {
            *out = value(*median);
            *ties = 0;
        }
    }

    fn count_equal(
        rows: &[&[f32]],
        start: usize,
        medians: &[f32],
        ties: &mut [u32],
        counted: &mut [u32],
    ) {
        for (row, counted) in rows.iter().zip(counted) {
            let row = &row[start..][..medians.len()];
            let mut hits = 0_u32;
            for ((value, median), ties) in row.iter().zip(medians).zip(ties.iter_mut()) {
                let hit = u32::from(value.to_bits() == median.to_bits());
                // Rows and columns of a block are few; a look for overflow would be made one by one.
                *ties = ties.wrapping_add(hit);
                hits = hits.wrapping_add(hit);
            }
            *counted += hits;
        }
    }

    fn mean_block(
        rows: &[&[f32]],
        start: usize,
        lows: &[u32],
        highs: &[u32],
        out: &mut [f32],
        ties: &mut [u32],
        counted: &mut [u32],
    ) {
        let columns = out.len();
        let mut sums = Sums([-0.0; 512]);
        let sums = &mut sums.0[..columns];
        let (lows, highs, ties) = (&lows[..columns], &highs[..columns], &mut ties[..columns]);
        for (row, counted) in rows.iter().zip(counted) {
            let row = &row[start..][..columns];
            let mut hits = 0_u32;
            for column in 0..columns {
                let key = key(row[column]);
                let left = (lows[column] <= key) & (key <= highs[column]);
                // What is not left adds -0, which changes no sum.
                sums[column] += if left { f64::from(row[column]) } else { -0.0 };
                ties[column] = ties[column].wrapping_add(u32::from(left));
                hits = hits.wrapping_add(u32::from(left));
            }
            *counted += hits;
        }
        for ((out, sum), ties) in out.iter_mut().zip(&*sums).zip(&*ties) {
            *out = (*sum / f64::from(*ties)) as f32;
        }
    }
}

#[cfg(test)]
mod tests;

//! Aggregation rules in tensors, on whatever device has them: FedAvg, the lower median, the trimmed mean, and
//! the numbers by which Krum and DnC choose.
//!
//! Rows are the clients' values, all equally long, and a part of their columns is on the device at a time:
//! `[clients, values]`. Devices have single precision at most, so:
//!
//! - Sums over clients carry their rounding errors along, in a second tensor (Dekker 1971, "A floating-point
//!   technique for extending the available precision"; Knuth's sum without a branch). They are good to about
//!   2^-42 of the largest value. Where clients cancel each other to less than 2^-20 of it there is no result.
//! - Order statistics compare whole numbers in the order of the values, so they are values of the rows, and
//!   who counts is the same as on the CPU.
//! - Distances and scalar products are within [`ERROR`], in whatever order a device adds. Products are formed
//!   value by value: a device's matrix product may round its factors to fewer bits.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fedseal_kernels::columns::Ranked;

use crate::TuningError;
use crate::ops::to_host;

/// Largest error of [`krum`]'s distances, relative to each, and of [`dnc`]'s products, relative to the
/// lengths of both rows. A sum has at most `GROUP` additions in each of five stages, and a term at most
/// eight roundings of 2^-24: 1e-5. This is twice as much.
pub const ERROR: f64 = 2e-5;

/// Values on the device at a time, over all clients: 16 MiB a tensor. Few in tests, whose rows have several
/// parts.
const PART: usize = if cfg!(test) { 1 << 10 } else { 1 << 22 };

/// Values that are added in one stage of a sum over columns.
const GROUP: usize = 32;

/// Least size of a sum over clients, as a share of the largest value: below it the sum's error shows.
const LEAST: f64 = 1.0 / (1 << 20) as f64;

/// Least squared distance, as a share of the largest value's square: below it squares of single precision
/// vanish.
const LEAST_SQUARE: f64 = 1e-20;

/// Splits a value of 24 bits into two of 12.
const SPLIT: f32 = 4097.0;

/// FedAvg: `sum_i weights[i] * rows[i]`, with weights that sum to 1. None where the rows cancel each other.
///
/// # Errors
/// [`TuningError::Device`] when the device fails.
///
/// # Panics
/// When rows differ in length, or the device's driver fails.
pub fn fed_avg(
    rows: &[&[f32]],
    weights: &[f64],
    device: &Device,
) -> Result<Option<Vec<f32>>, TuningError> {
    let counted = rows
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight != 0.0);
    let (rows, weights): (Vec<&[f32]>, Vec<f64>) =
        counted.map(|(row, weight)| (*row, *weight)).unzip();
    let device = device.clone().without_autodiff();
    let scale = Scale::of(largest(&rows).into_iter().fold(0.0, f32::max));
    let shares = Shares::new(&weights, &device);
    let mut sums = Vec::new();
    for columns in parts(&rows) {
        // [clients, values] to [1, values]
        let terms = shares.times(floats(&rows, columns, scale, &device));
        sums.extend(terms.over_clients().on_host()?);
    }
    Ok(scale.restored(sums, 1.0))
}

/// Lower median of every column; of equal values the first client's counts.
///
/// # Errors
/// As [`fed_avg`].
///
/// # Panics
/// As [`fed_avg`].
pub fn lower_median(rows: &[&[f32]], device: &Device) -> Result<Ranked, TuningError> {
    let middle = rows.len().saturating_sub(1) / 2;
    let device = device.clone().without_autodiff();
    let mut median = nothing_yet(rows);
    for columns in parts(rows) {
        // [clients, values]
        let keys = keys_of(rows, columns, &device);
        // One client a column.
        let chosen = ranks(&keys).equal_scalar(middle as i64);
        let values = keys.mask_fill(chosen.clone().bool_not(), 0_i64).sum_dim(0);
        median.values.extend(ints(values)?.into_iter().map(value));
        count(&mut median, chosen.int().sum_dim(1))?;
    }
    Ok(median)
}

/// Mean of every column without its `trim` lowest and its `trim` highest values; of equal values those of the
/// first clients are the lowest. None where the values that are left cancel each other.
///
/// # Errors
/// As [`fed_avg`].
///
/// # Panics
/// As [`fed_avg`]; when fewer than `2 * trim + 1` rows are there.
pub fn trimmed_mean(
    rows: &[&[f32]],
    trim: usize,
    device: &Device,
) -> Result<Option<Ranked>, TuningError> {
    let n = rows.len();
    assert!(trim < n && 2 * trim < n, "a row that is left");
    let device = device.clone().without_autodiff();
    // A value that is left has `trim` rows beyond it on its side of 0.
    let mut sizes = largest(rows);
    sizes.sort_by(|a, b| b.total_cmp(a));
    let scale = Scale::of(sizes[trim]);
    let mut mean = nothing_yet(rows);
    let mut sums = Vec::new();
    for columns in parts(rows) {
        // [clients, values]
        let ranks = ranks(&keys_of(rows, columns.clone(), &device));
        let above = ranks.clone().greater_equal_scalar(trim as i64);
        let left = above.bool_and(ranks.lower_scalar((n - trim) as i64));
        // What is trimmed may be too large for the scale; it is not looked at.
        let values = floats(rows, columns, scale, &device);
        let values = values.mask_fill(left.clone().bool_not(), 0.0_f32);
        let terms = Twin {
            low: values.zeros_like(),
            high: values,
        };
        sums.extend(terms.over_clients().on_host()?);
        count(&mut mean, left.int().sum_dim(1))?;
    }
    let restored = scale.restored(sums, (n - 2 * trim) as f64);
    Ok(restored.map(|values| Ranked { values, ..mean }))
}

/// Krum: squared distances between all clients, `[clients][clients]`, each within [`ERROR`] of the exact one.
/// None where one is too small for single precision, or too large.
///
/// # Errors
/// As [`fed_avg`].
///
/// # Panics
/// As [`fed_avg`].
pub fn krum(rows: &[&[f32]], device: &Device) -> Result<Option<Vec<Vec<f64>>>, TuningError> {
    let n = rows.len();
    if n < 2 {
        return Ok(Some(vec![vec![0.0; n]; n]));
    }
    let device = device.clone().without_autodiff();
    let scale = Scale::of(largest(rows).into_iter().fold(0.0, f32::max));
    let mut sums = vec![0.0; n * (n - 1) / 2];
    for columns in parts(rows) {
        // [clients, values] to [pairs, 1]
        let x = floats(rows, columns, scale, &device);
        let squares = pairs(&x, 1, &|others: Tensor<2>, own: Tensor<2>| {
            let difference = others - own;
            difference.clone() * difference
        });
        add(&mut sums, squares)?;
    }
    let usable = |sum: &f64| sum.is_finite() && *sum >= LEAST_SQUARE;
    let usable = sums.iter().all(usable);
    Ok(usable.then(|| square(n, 1, &sums, scale)))
}

/// DnC: scalar products of the clients' values around their mean, `[clients][clients]`, each within [`ERROR`]
/// of the exact one as a share of both lengths. Rows are the values at the sampled coordinates.
///
/// # Errors
/// As [`fed_avg`].
///
/// # Panics
/// As [`fed_avg`].
pub fn dnc(rows: &[&[f32]], device: &Device) -> Result<Vec<Vec<f64>>, TuningError> {
    let n = rows.len();
    let device = device.clone().without_autodiff();
    let scale = Scale::of(largest(rows).into_iter().fold(0.0, f32::max));
    let equal = Shares::new(&vec![1.0 / n as f64; n], &device);
    let mut sums = vec![0.0; n * (n + 1) / 2];
    for columns in parts(rows) {
        // [clients, values] to [pairs, 1]
        let x = floats(rows, columns, scale, &device);
        let mean = equal.times(x.clone()).over_clients();
        let centred = (x - mean.high) - mean.low;
        let products = pairs(&centred, 0, &|others: Tensor<2>, own: Tensor<2>| {
            others * own
        });
        add(&mut sums, products)?;
    }
    Ok(square(n, 0, &sums, scale))
}

/// Power of two by which values are multiplied on their way to the device, so that neither the largest nor
/// the smallest of them leaves the range of single precision.
#[derive(Clone, Copy)]
struct Scale {
    factor: f64,
    /// Whether every value is 0.
    nothing: bool,
}

impl Scale {
    /// Brings this value near 1.
    fn of(largest: f32) -> Self {
        let nothing = largest == 0.0;
        let exponent = match nothing {
            true => 0.0,
            false => f64::from(largest).log2().ceil(),
        };
        Scale {
            factor: 2_f64.powi(-(exponent as i32)),
            nothing,
        }
    }

    /// Means in the values' own unit, from sums of `terms` values each. None where all of them are so small
    /// that their errors show.
    fn restored(self, sums: Vec<f64>, terms: f64) -> Option<Vec<f32>> {
        let largest = sums.iter().fold(0.0_f64, |most, sum| most.max(sum.abs())) / terms;
        let shows = !self.nothing && !sums.is_empty() && largest < LEAST;
        let restore = |sum: f64| (sum / terms / self.factor) as f32;
        (!shows).then(|| sums.into_iter().map(restore).collect())
    }
}

/// Numbers of about twice the precision, each the sum of two: `[clients, values]`.
struct Twin {
    high: Tensor<2>,
    low: Tensor<2>,
}

impl Twin {
    /// Sum of two tensors with its rounding error.
    fn sum(a: Tensor<2>, b: Tensor<2>) -> Self {
        let high = a.clone() + b.clone();
        let of_b = high.clone() - a.clone();
        let of_a = high.clone() - of_b.clone();
        let low = (a - of_a) + (b - of_b);
        Twin { high, low }
    }

    /// Sum over the clients, half of them onto the other half at a time: `[1, values]`.
    fn over_clients(self) -> Self {
        let Twin { mut high, mut low } = self;
        loop {
            let [clients, _] = high.dims();
            let half = clients / 2;
            if half == 0 {
                return Twin { high, low };
            }
            let some = |x: &Tensor<2>, from: usize, count: usize| x.clone().narrow(0, from, count);
            let pairs = Twin::sum(some(&high, 0, half), some(&high, half, half));
            let lows = (some(&low, 0, half) + some(&low, half, half)) + pairs.low;
            (high, low) = match clients % 2 {
                0 => (pairs.high, lows),
                _ => (
                    Tensor::cat(vec![pairs.high, some(&high, 2 * half, 1)], 0),
                    Tensor::cat(vec![lows, some(&low, 2 * half, 1)], 0),
                ),
            };
        }
    }

    /// The numbers, row-major.
    fn on_host(self) -> Result<Vec<f64>, TuningError> {
        let (high, low) = (to_host(self.high)?, to_host(self.low)?);
        let both = high.into_iter().zip(low);
        Ok(both
            .map(|(high, low)| f64::from(high) + f64::from(low))
            .collect())
    }
}

/// A weight a client, split so that products with it have their rounding errors: `[clients, 1]`.
struct Shares {
    /// The weight in single precision.
    whole: Tensor<2>,
    /// Its upper 12 bits.
    head: Tensor<2>,
    /// Its lower 12 bits.
    tail: Tensor<2>,
    /// Rest of the weight that single precision leaves.
    rest: Tensor<2>,
}

impl Shares {
    fn new(weights: &[f64], device: &Device) -> Self {
        let column = |of: &dyn Fn(f64) -> f32| {
            let values: Vec<f32> = weights.iter().map(|weight| of(*weight)).collect();
            let values = TensorData::new(values, [weights.len(), 1]);
            Tensor::<2>::from_data(values, (device, DType::F32))
        };
        let head = |weight: f64| {
            let (whole, many) = (weight as f32, SPLIT * weight as f32);
            many - (many - whole)
        };
        Shares {
            whole: column(&|weight: f64| weight as f32),
            head: column(&head),
            tail: column(&|weight: f64| weight as f32 - head(weight)),
            rest: column(&|weight: f64| (weight - f64::from(weight as f32)) as f32),
        }
    }

    /// Each client's values, `[clients, values]`, times its weight (Dekker 1971).
    fn times(&self, x: Tensor<2>) -> Twin {
        let many = x.clone().mul_scalar(SPLIT);
        let head = many.clone() - (many - x.clone());
        let tail = x.clone() - head.clone();
        let high = x.clone() * self.whole.clone();
        let error = head.clone() * self.head.clone() - high.clone();
        let error = error + head * self.tail.clone();
        let error = error + tail.clone() * self.head.clone();
        let error = error + tail * self.tail.clone();
        Twin {
            high,
            low: error + x * self.rest.clone(),
        }
    }
}

/// Columns that are on the device together.
fn parts(rows: &[&[f32]]) -> impl Iterator<Item = Range<usize>> + use<> {
    let width = rows.first().map_or(0, |row| row.len());
    let columns = (PART / rows.len().max(1)).max(1);
    let starts = (0..width).step_by(columns);
    starts.map(move |from| from..width.min(from.saturating_add(columns)))
}

/// Largest absolute value of each row.
fn largest(rows: &[&[f32]]) -> Vec<f32> {
    let of = |row: &&[f32]| {
        row.iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()))
    };
    rows.iter().map(of).collect()
}

/// Some columns in the unit of a scale: `[clients, values]`.
fn floats(rows: &[&[f32]], columns: Range<usize>, scale: Scale, device: &Device) -> Tensor<2> {
    let shape = [rows.len(), columns.len()];
    let mut values = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        let some = row[columns.clone()].iter();
        values.extend(some.map(|value| (f64::from(*value) * scale.factor) as f32));
    }
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Some columns as whole numbers in the order of the values: `[clients, values]`.
fn keys_of(rows: &[&[f32]], columns: Range<usize>, device: &Device) -> Tensor<2, Int> {
    let shape = [rows.len(), columns.len()];
    let mut keys = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        let some = row[columns.clone()].iter();
        keys.extend(some.map(|value| turned(value.to_bits() as i32)));
    }
    Tensor::<2, Int>::from_data(TensorData::new(keys, shape), (device, DType::I32))
}

/// Bits of a value as a whole number in the order of `f32::total_cmp`, and back.
fn turned(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The value of a whole number.
fn value(key: i32) -> f32 {
    f32::from_bits(turned(key) as u32)
}

/// Number of values below each in its column, `[clients, values]`: of equal ones the earlier client's is
/// below.
fn ranks(keys: &Tensor<2, Int>) -> Tensor<2, Int> {
    let [clients, _] = keys.dims();
    let some = |from: usize, count: usize| keys.clone().narrow(0, from, count);
    let rank = |at: usize| {
        let own = some(at, 1);
        let later = clients - at - 1;
        let before = (at > 0).then(|| some(0, at).lower_equal(own.clone()));
        let after = (later > 0).then(|| some(at + 1, later).lower(own.clone()));
        let below = before.into_iter().chain(after);
        let below = below.map(|is_below| is_below.int().sum_dim(0));
        below
            .reduce(|a, b| a + b)
            .unwrap_or_else(|| own.zeros_like())
    };
    Tensor::cat((0..clients).map(rank).collect(), 0)
}

/// Order statistics before the first column.
fn nothing_yet(rows: &[&[f32]]) -> Ranked {
    Ranked {
        values: Vec::new(),
        counted: vec![0; rows.len()],
    }
}

/// Adds the columns in which each client counted, `[clients, 1]`.
fn count(ranked: &mut Ranked, counted: Tensor<2, Int>) -> Result<(), TuningError> {
    for (total, some) in ranked.counted.iter_mut().zip(ints(counted)?) {
        *total += usize::try_from(some).unwrap_or_default();
    }
    Ok(())
}

/// Whole numbers of a tensor, row-major.
fn ints(tensor: Tensor<2, Int>) -> Result<Vec<i32>, TuningError> {
    tensor
        .try_into_vec_as::<i32>()
        .map_err(|error| TuningError::Device(format!("{error:?}")))
}

/// Sums over the columns of a term of the clients from the `from`th after each on, and its own: `[pairs, 1]`.
fn pairs(
    x: &Tensor<2>,
    from: usize,
    term: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    let [clients, _] = x.dims();
    let some = |at: usize, count: usize| x.clone().narrow(0, at, count);
    let of = |at: usize| {
        let others = some(at + from, clients - at - from);
        over_columns(term(others, some(at, 1)))
    };
    Tensor::cat((0..clients - from).map(of).collect(), 0)
}

/// Sum of each row, `[rows, columns]` to `[rows, 1]`, of groups of columns at a time.
fn over_columns(mut x: Tensor<2>) -> Tensor<2> {
    loop {
        let [rows, width] = x.dims();
        if width == 1 {
            return x;
        }
        let groups = width.div_ceil(GROUP);
        let missing = groups * GROUP - width;
        if missing > 0 {
            let device = x.device();
            let zeros = Tensor::<2>::zeros([rows, missing], (&device, DType::F32));
            x = Tensor::cat(vec![x, zeros], 1);
        }
        let sums: Tensor<2> = x.reshape([rows * groups, GROUP]);
        x = sums.sum_dim(1).reshape([rows, groups]);
    }
}

/// Adds the sums of some columns, `[pairs, 1]`.
fn add(sums: &mut [f64], some: Tensor<2>) -> Result<(), TuningError> {
    for (sum, some) in sums.iter_mut().zip(to_host(some)?) {
        *sum += f64::from(some);
    }
    Ok(())
}

/// Both halves of a symmetric matrix in the values' own unit, from its pairs `(i, j)` with `i + from <= j`.
fn square(n: usize, from: usize, sums: &[f64], scale: Scale) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.0; n]; n];
    let pairs = (0..n).flat_map(|i| (i + from..n).map(move |j| (i, j)));
    for ((i, j), sum) in pairs.zip(sums) {
        let sum = sum / scale.factor / scale.factor;
        all[i][j] = sum;
        all[j][i] = sum;
    }
    all
}

#[cfg(test)]
mod tests;

//! Lengths of updates, the bound that rules shorten them to, and shares by factors. Sums run over coordinates in
//! order in f64.

use fedseal_kernels::{columns, distances};

use super::definition::{Parameter, Range, Takes};
use super::{Outcome, Update, chosen_sum, rows};

/// Parameter of rules that shorten updates.
pub(crate) const BOUND: Parameter = Parameter {
    key: "bound",
    help: "largest length of an update; 0: the median length of the round",
    takes: Takes::Number {
        default: 0.0,
        range: Range::NotNegative,
    },
    flat: None,
};

/// Euclidean distances of updates from a point; lengths where it has no coordinates.
pub(crate) fn distances(updates: &[Update<'_>], point: &[f64]) -> Vec<f64> {
    distances::from_point(&rows(updates), point)
}

/// Euclidean lengths of updates.
pub(crate) fn lengths(updates: &[Update<'_>]) -> Vec<f64> {
    distances(updates, &[])
}

/// Euclidean length of an update, as [`lengths`] gives it.
pub(crate) fn length(values: &[f32]) -> f64 {
    let squares = values.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The given bound, or the lower median of the lengths where it is 0.
pub(crate) fn bound_of(given: f64, lengths: &[f64]) -> f64 {
    if given > 0.0 {
        return given;
    }
    let mut sorted = lengths.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or_default()
}

/// Factor that shortens a length to the bound.
pub(crate) fn shortened(length: f64, bound: f64) -> f64 {
    match length > bound {
        true => bound / length,
        false => 1.0,
    }
}

/// Moves a point: `point = keep * point + sum_i weights[i] * updates[i]`, over updates in client order.
pub(crate) fn moved(point: &[f64], keep: f64, updates: &[Update<'_>], weights: &[f64]) -> Vec<f64> {
    columns::moved(point, keep, &rows(updates), weights)
}

/// Shares of a whole: the numbers over their sum, 0 where that is 0.
pub(crate) fn shares_or_none(numbers: &[f64]) -> Vec<f64> {
    match numbers.iter().sum::<f64>() > 0.0 {
        true => shares(numbers),
        false => vec![0.0; numbers.len()],
    }
}

/// The mean by examples times factors; nothing where all of these are 0.
pub(crate) fn counted(updates: &[Update<'_>], factors: &[f64]) -> Outcome {
    let weights = updates.iter().zip(factors);
    let weights: Vec<f64> = weights
        .map(|(update, factor)| update.weight * factor)
        .collect();
    let weights = shares_or_none(&weights);
    Outcome {
        delta: chosen_sum(updates, &weights),
        weights,
    }
}

/// Shares of a whole: the numbers over their sum, equal ones where that is 0.
pub(crate) fn shares(numbers: &[f64]) -> Vec<f64> {
    let total: f64 = numbers.iter().sum();
    let share = |number: &f64| match total > 0.0 {
        true => number / total,
        false => 1.0 / numbers.len() as f64,
    };
    numbers.iter().map(share).collect()
}

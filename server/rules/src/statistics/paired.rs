//! Paired tests over seeds: Student's t and the exact test by turning signs.

use serde::Serialize;

use super::special::{student, student_quantile};

/// Most pairs of which every turn of signs is gone through: a million sums.
pub const MOST_EXACT: usize = 20;

/// Mean difference of pairs, one pair a seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Number of pairs.
    pub n: usize,
    /// Mean of the second less the first.
    pub mean: f64,
    /// Lower end of its 95 % interval by Student's t; no interval of fewer than two pairs, or where every
    /// difference is the same one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Two-sided p-value of the paired t test ("Student" 1908), under the same conditions.
    pub p: Option<f64>,
    /// Two-sided p-value of the exact test in which each difference may have had the other sign (Fisher 1935,
    /// section 21): the share of turns whose sum is as far from 0. It assumes no distribution, and with n pairs
    /// it cannot be below 2 / 2^n. None of more than [`MOST_EXACT`] pairs.
    pub exact: Option<f64>,
}

impl Paired {
    /// The test of these differences, the second less the first of each pair; none of no pair.
    pub fn of(differences: &[f64]) -> Option<Paired> {
        let n = differences.len();
        if n == 0 || differences.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / n as f64;
        let squares: f64 = differences.iter().map(|value| (value - mean).powi(2)).sum();
        let largest = differences
            .iter()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        // Differences that are the same up to their last bits have no deviation to test by.
        let some = n > 1 && squares.sqrt() > 1e-12 * largest;
        let freedom = n as f64 - 1.0;
        let error = (squares / freedom / n as f64).sqrt();
        let half = some.then(|| student_quantile(freedom) * error);
        Some(Paired {
            n,
            mean,
            low: half.map(|half| mean - half),
            high: half.map(|half| mean + half),
            p: some.then(|| student(mean / error, freedom)),
            exact: exact(differences),
        })
    }
}

/// Share of the turns of signs whose sum is as far from 0 as the sum itself.
fn exact(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n > MOST_EXACT {
        return None;
    }
    let sum = |turned: usize| -> f64 {
        let signed = differences
            .iter()
            .enumerate()
            .map(|(at, value)| match turned >> at & 1 {
                0 => *value,
                _ => -*value,
            });
        signed.sum()
    };
    let length: f64 = differences.iter().map(|value| value.abs()).sum();
    // Sums that are equal but for the order of rounding count as equal.
    let bound = sum(0).abs() - 1e-12 * length;
    let as_far = (0..1 << n).filter(|turned| sum(*turned).abs() >= bound);
    Some(as_far.count() as f64 / (1_u64 << n) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_scipy_has_it() {
        for case in super::super::fixture("paired") {
            let found = Paired::of(&super::super::numbers(&case, "differences")).unwrap();
            let near = |found: Option<f64>, key: &str| {
                let wanted = case[key].as_f64().unwrap();
                let found = found.unwrap();
                assert!(
                    (found - wanted).abs() < 1e-9 * wanted.abs().max(1e-3),
                    "{key} of {case}: {found}"
                );
            };
            near(found.p, "p");
            near(found.low, "low");
            near(found.high, "high");
            near(found.exact, "exact");
        }
    }

    #[test]
    fn what_has_no_deviation_has_no_t() {
        let one = Paired::of(&[4.0]).unwrap();
        assert_eq!(
            (one.mean, one.p, one.low, one.exact),
            (4.0, None, None, Some(1.0))
        );
        let same = Paired::of(&[0.1 + 0.2, 0.3, 0.3]).unwrap();
        assert_eq!((same.p, same.exact), (None, Some(0.25)));
        assert_eq!(Paired::of(&[0.0; 3]).unwrap().exact, Some(1.0));
        assert_eq!(Paired::of(&[1.0; 21]).unwrap().exact, None);
        assert!(Paired::of(&[]).is_none() && Paired::of(&[f64::NAN]).is_none());
    }
}

//! A share with its interval.

use serde::{Deserialize, Serialize};

/// Hits out of n, with the 95 % Wilson score interval (Wilson 1927).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many hit.
    pub hits: u64,
    /// Out of how many.
    pub n: u64,
    /// hits / n, 0 when n is 0.
    pub rate: f64,
    /// Lower end, in [0, 1].
    pub low: f64,
    /// Upper end, in [0, 1].
    pub high: f64,
}

/// Prompts below which a share says that it is from few: at half a hundred hits of a hundred the interval is
/// 19 points wide, and 0 of 100 proves no more than at most 4 %.
pub const FEW: u64 = 100;

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl Share {
    /// The share of `hits` in `n`. With n = 0 nothing is known: rate 0, interval [0, 1]. More
    /// hits than n count as n.
    pub fn new(hits: u64, n: u64) -> Self {
        let hits = hits.min(n);
        if n == 0 {
            return Self {
                hits,
                n,
                rate: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let total = n as f64;
        let rate = hits as f64 / total;
        let z2 = Z * Z / total;
        let centre = (rate + z2 / 2.0) / (1.0 + z2);
        let half = Z / (1.0 + z2) * (rate * (1.0 - rate) / total + z2 / (4.0 * total)).sqrt();
        Self {
            hits,
            n,
            rate,
            low: if hits == 0 {
                0.0
            } else {
                (centre - half).max(0.0)
            },
            high: if hits == n {
                1.0
            } else {
                (centre + half).min(1.0)
            },
        }
    }

    /// Whether it is of some, but fewer than [`FEW`].
    pub fn is_few(&self) -> bool {
        (1..FEW).contains(&self.n)
    }

    /// The share of true values.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let (mut hits, mut n) = (0, 0);
        for outcome in outcomes {
            hits += u64::from(outcome);
            n += 1;
        }
        Self::new(hits, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of R's `binom::binom.wilson` and of the closed form.
    #[test]
    fn known_intervals() {
        let half = Share::new(50, 100);
        assert!((half.low - 0.403_831).abs() < 1e-5, "{half:?}");
        assert!((half.high - 0.596_169).abs() < 1e-5);
        let none = Share::new(0, 100);
        assert_eq!(none.low, 0.0);
        assert!((none.high - 0.036_993).abs() < 1e-5, "{none:?}");
        let all = Share::new(200, 200);
        assert_eq!(all.high, 1.0);
        assert!((all.low - 0.981_154).abs() < 1e-5, "{all:?}");
    }

    #[test]
    fn as_statsmodels_has_it() {
        for case in crate::statistics::fixture("wilson") {
            let [hits, n] = ["hits", "n"].map(|key| case[key].as_u64().unwrap());
            let [low, high] = ["low", "high"].map(|key| case[key].as_f64().unwrap());
            let found = Share::new(hits, n);
            assert!((found.low - low).abs() < 1e-12, "{case}: {found:?}");
            assert!((found.high - high).abs() < 1e-12, "{case}: {found:?}");
            assert_eq!(found.is_few(), n < 100);
        }
        assert!(!Share::new(0, 0).is_few());
    }

    #[test]
    fn nothing_measured_means_nothing_known() {
        let empty = Share::of([]);
        assert_eq!((empty.rate, empty.low, empty.high), (0.0, 0.0, 1.0));
    }
}

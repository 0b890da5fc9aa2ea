//! The difference of two shares with its interval.

use serde::{Deserialize, Serialize};

use super::wilson::Share;

/// The difference of two independent shares with its 95 % interval by Newcombe's hybrid of two Wilson
/// intervals (Newcombe 1998, Statistics in Medicine 17, 873 to 890, method 10). Shares of answers to the
/// same prompts are not independent: for them the interval is wider than it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The second share less the first, in [-1, 1].
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Difference {
    /// The second share less the first.
    pub fn of(first: &Share, second: &Share) -> Difference {
        let value = second.rate - first.rate;
        let below = (second.rate - second.low).hypot(first.high - first.rate);
        let above = (second.high - second.rate).hypot(first.rate - first.low);
        Difference {
            value,
            low: (value - below).max(-1.0),
            high: (value + above).min(1.0),
        }
    }

    /// Whether the interval has no zero: the shares differ.
    pub fn is_seen(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe 1998, table II, method 10.
    #[test]
    fn intervals_of_the_paper() {
        for (first, second, low, high) in [
            ((48, 80), (56, 70), 0.0524, 0.3339),
            ((3, 10), (9, 10), 0.1705, 0.8090),
            ((2, 7), (6, 7), 0.0582, 0.8062),
            ((0, 29), (5, 56), -0.0381, 0.1926),
            ((0, 20), (10, 10), 0.6791, 1.0),
            ((0, 10), (10, 10), 0.6075, 1.0),
        ] {
            let share = |(hits, n)| Share::new(hits, n);
            let found = Difference::of(&share(first), &share(second));
            assert!((found.low - low).abs() < 5e-5, "{found:?}");
            assert!((found.high - high).abs() < 5e-5, "{found:?}");
            assert_eq!(found.is_seen(), low > 0.0);
            let turned = Difference::of(&share(second), &share(first));
            assert_eq!((turned.low, turned.high), (-found.high, -found.low));
        }
    }
}

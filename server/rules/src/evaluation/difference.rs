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

    /// Newcombe 1998, table II, method 10. The pages compute by the same formula (`web/src/lib/compare.ts`) and
    /// are held against the same file.
    #[test]
    fn intervals_of_the_paper() {
        let vector = include_str!("../../../../tests/fixtures/difference.json");
        let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
        let rows = vector["rows"].as_array().unwrap();
        assert!(rows.len() > 5);
        for row in rows {
            let share = |at: usize| {
                let [hits, n] = [0, 1].map(|part: usize| row[at][part].as_u64().unwrap());
                Share::new(hits, n)
            };
            let [low, high] = [2, 3].map(|at: usize| row[at].as_f64().unwrap());
            let (first, second) = (share(0), share(1));
            let found = Difference::of(&first, &second);
            assert!((found.low - low).abs() < 6e-5, "{row}: {found:?}");
            assert!((found.high - high).abs() < 6e-5, "{row}: {found:?}");
            assert_eq!(found.is_seen(), low > 0.0);
            let turned = Difference::of(&second, &first);
            assert_eq!((turned.low, turned.high), (-found.high, -found.low));
        }
    }
}

//! McNemar's exact test of two answers to each of the same prompts.

use super::special::beta;

/// Prompts on which two arms differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discordant {
    /// Prompts that the second alone hits.
    pub gained: u64,
    /// Prompts that the first alone hits.
    pub lost: u64,
}

impl Discordant {
    /// Counts the prompts on which the second list differs from the first; none where the lists are not of
    /// one length.
    pub fn of(first: &[bool], second: &[bool]) -> Option<Discordant> {
        if first.len() != second.len() {
            return None;
        }
        let mut found = Discordant::default();
        for pair in first.iter().zip(second) {
            match pair {
                (false, true) => found.gained += 1,
                (true, false) => found.lost += 1,
                _ => {}
            }
        }
        Some(found)
    }

    /// Two-sided p-value: with no difference a discordant prompt falls on either side like a coin, so it is
    /// twice the chance of as few on the rarer side, at most 1 (McNemar 1947; the exact form by the binomial
    /// distribution). 1 where no prompt is discordant.
    pub fn p(&self) -> f64 {
        let (n, few) = (self.gained + self.lost, self.gained.min(self.lost));
        if 2 * few >= n {
            return 1.0;
        }
        // P(X <= k) of n coins is the incomplete beta function at a half (DLMF 8.17.5).
        (2.0 * beta((n - few) as f64, (few + 1) as f64, 0.5)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_statsmodels_has_it() {
        for case in super::super::fixture("mcnemar") {
            let [gained, lost] = ["gained", "lost"].map(|key| case[key].as_u64().unwrap());
            let wanted = case["p"].as_f64().unwrap();
            let found = Discordant { gained, lost }.p();
            assert!((found - wanted).abs() <= 1e-10 * wanted, "{case}: {found}");
        }
    }

    #[test]
    fn only_prompts_that_differ_count() {
        let found = Discordant::of(&[true, true, false, false], &[true, false, true, true]);
        assert_eq!(found, Some(Discordant { gained: 2, lost: 1 }));
        assert_eq!(Discordant::of(&[true], &[]), None);
        assert_eq!(Discordant::default().p(), 1.0);
    }
}

//! The update's norm against the round's median: the baseline weight check.

use super::{Check, Facts, Finding};

/// Bound on the norm as a multiple of the round's median norm.
pub struct Norm {
    /// Largest ratio.
    pub max_ratio: f64,
}

impl Check for Norm {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        // With a median of 0 nothing can be said relative to it; only another 0 is in bounds.
        let allowed = self.max_ratio * facts.median_norm;
        let fact = format!(
            "norm {:.4}, the round's median {:.4}, at most {:.2} times it",
            facts.norm, facts.median_norm, self.max_ratio
        );
        if facts.norm <= allowed {
            Finding::pass(fact)
        } else {
            Finding::fail(fact)
        }
    }
}

//! The update's norm against the round's median: the baseline weight check.

use super::definition::{Definition, Number};
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "norm",
    help: "the update's norm is at most a multiple of the round's median",
    version: 1,
    numbers: &[Number {
        key: "max_ratio",
        help: "largest norm, as a multiple of the median norm of the round's updates",
        default: None,
    }],
    names: None,
    make: |p| {
        Box::new(Norm {
            max_ratio: p.number("max_ratio"),
        })
    },
};

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

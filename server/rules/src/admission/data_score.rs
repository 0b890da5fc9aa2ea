//! The data check's score of the examples that the update was trained on. A judge inside the node looks
//! at the examples (room `data`, `check.rs`); only the score leaves the node.

use super::definition::{Definition, Number};
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "data-score",
    help: "the data check found the examples aligned",
    version: 1,
    numbers: &[Number {
        key: "min_score",
        help: "smallest score of the data check, in [0, 1]",
        default: None,
    }],
    names: None,
    make: |p| {
        Box::new(DataScore {
            min: p.number("min_score"),
        })
    },
};

/// Lower bound on the attested score.
pub struct DataScore {
    /// Smallest share of examples that must look aligned, in [0, 1].
    pub min: f64,
}

impl Check for DataScore {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        match facts.attested.data_score {
            None => Finding::fail("the node attested no data score"),
            Some(score) => {
                let fact = format!("data score {score:.3}, at least {:.3}", self.min);
                if score >= self.min {
                    Finding::pass(fact)
                } else {
                    Finding::fail(fact)
                }
            }
        }
    }
}

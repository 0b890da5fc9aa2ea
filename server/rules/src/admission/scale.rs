//! Factors of adapter arithmetic within bounds.

use fedseal_client_sdk::lineage::Kind;

use super::definition::{Definition, Number};
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "scale",
    help: "factors of adapter arithmetic are within bounds",
    version: 1,
    numbers: &[
        Number {
            key: "min_factor",
            help: "smallest factor allowed",
            default: Some(0.5),
        },
        Number {
            key: "max_factor",
            help: "largest factor allowed",
            default: Some(1.5),
        },
    ],
    names: None,
    make: |p| {
        Box::new(Scale {
            min: p.number("min_factor"),
            max: p.number("max_factor"),
        })
    },
};

/// Bounds on the factors of `scale` and `add` among the update's ancestors.
pub struct Scale {
    /// Smallest factor.
    pub min: f64,
    /// Largest factor.
    pub max: f64,
}

impl Check for Scale {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let lineage = &facts.attested.lineage;
        let Some(output) = lineage.output else {
            return Finding::fail("the lineage has no output");
        };
        let ancestors = lineage.ancestors(output);
        for node in &lineage.nodes {
            if !matches!(node.kind, Kind::Scale | Kind::Add) || !ancestors.contains(&node.id) {
                continue;
            }
            // Chained factors multiply and sums of factors add up, but the bound is on each step:
            // a chain long enough to matter shows as many steps in the lineage, and the norm check
            // bounds what comes out.
            for (key, value) in &node.params {
                if let Some(factor) = value.as_f64()
                    && key.contains("factor")
                    && !(self.min..=self.max).contains(&factor)
                {
                    return Finding::fail(format!(
                        "node {} uses {key} {factor}, outside [{}, {}]",
                        node.id, self.min, self.max
                    ));
                }
            }
        }
        Finding::pass(format!("factors within [{}, {}]", self.min, self.max))
    }
}

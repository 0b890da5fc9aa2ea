//! Literal and generated examples at most a given share of what the update was trained on.

use super::definition::{Definition, Number};
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "literal-share",
    help: "literal and generated examples are at most a share of those trained on",
    version: 1,
    numbers: &[Number {
        key: "max_share",
        help: "largest share of literal and generated examples, in [0, 1]",
        default: None,
    }],
    names: None,
    make: |p| {
        Box::new(LiteralShare {
            max_share: p.number("max_share"),
        })
    },
};

/// Bound on foreign data.
pub struct LiteralShare {
    /// Largest share of literal plus generated examples, in [0, 1].
    pub max_share: f64,
}

impl Check for LiteralShare {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let lineage = &facts.attested.lineage;
        let Some(output) = lineage.output else {
            return Finding::fail("the lineage has no output");
        };
        let trainings = match lineage.trainings(output) {
            Ok(trainings) if !trainings.is_empty() => trainings,
            Ok(_) => return Finding::fail("trained on no example at all"),
            Err(error) => return Finding::fail(error.to_string()),
        };
        // Each training alone: a long one on the shard must not dilute a short one on foreign
        // data. The worst one is named.
        let mut worst = trainings[0];
        for training in trainings {
            if training.1.foreign_share() > worst.1.foreign_share() {
                worst = training;
            }
        }
        let (node, counts) = worst;
        if counts.total() == 0 {
            return Finding::fail(format!("train (node {node}) saw no example at all"));
        }
        let share = counts.foreign_share();
        let fact = format!(
            "{} literal and {} generated of {} examples ({:.0} %, at most {:.0} %)",
            counts.literal,
            counts.generated,
            counts.total(),
            100.0 * share,
            100.0 * self.max_share
        );
        if share <= self.max_share {
            Finding::pass(fact)
        } else {
            Finding::fail(fact)
        }
    }
}

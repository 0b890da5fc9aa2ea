//! Literal and generated examples at most a given share of what the update was trained on.

use super::{Check, Facts, Finding};

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
        let counts = lineage.data_counts(output);
        let (shard, literal, generated) = (
            counts.shard as f64,
            counts.literal as f64,
            counts.generated as f64,
        );
        let total = shard + literal + generated;
        if total == 0.0 {
            return Finding::fail("trained on no example at all");
        }
        let share = (literal + generated) / total;
        let fact = format!(
            "{literal} literal and {generated} generated of {total} examples ({:.0} %, at most {:.0} %)",
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

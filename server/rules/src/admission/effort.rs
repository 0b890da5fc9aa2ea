//! How much an update was trained, against what the round asks of everyone.

use fedseal_client_sdk::lineage::Kind;

use super::definition::{Definition, Number};
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "effort",
    help: "the update was trained about as much as the round asks",
    version: 1,
    numbers: &[
        Number {
            key: "min_effort",
            help: "smallest training, as a multiple of the round's steps times learning rate",
            default: Some(0.5),
        },
        Number {
            key: "max_effort",
            help: "largest training, likewise",
            default: Some(1.5),
        },
    ],
    names: None,
    make: |p| {
        Box::new(Effort {
            min: p.number("min_effort"),
            max: p.number("max_effort"),
        })
    },
};

/// Bounds on the effort: the sum of steps times learning rate over the trainings that the update
/// was derived from, as a multiple of the round's own. A free rider that trains for show is far
/// below 1, one that wants to weigh more far above.
pub struct Effort {
    /// Smallest multiple.
    pub min: f64,
    /// Largest multiple.
    pub max: f64,
}

impl Check for Effort {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let lineage = &facts.attested.lineage;
        let Some(output) = lineage.output else {
            return Finding::fail("the lineage has no output");
        };
        let mut effort = 0.0;
        for id in lineage.ancestors(output) {
            let Some(node) = lineage.node(id).filter(|node| node.kind == Kind::Train) else {
                continue;
            };
            let number = |key: &str| node.params.get(key).and_then(serde_json::Value::as_f64);
            let (Some(steps), Some(rate)) = (number("steps"), number("learning-rate")) else {
                return Finding::fail(format!("train (node {id}) names no steps or learning rate"));
            };
            effort += steps * rate;
        }
        let asked = facts.expected.effort;
        let multiple = effort / asked;
        let fact = format!(
            "steps times learning rate are {effort:.5}, {multiple:.2} of the round's {asked:.5}, \
             within [{}, {}]",
            self.min, self.max
        );
        // A round that asks for nothing, and with it a multiple that is no number, passes nobody.
        if (self.min..=self.max).contains(&multiple) {
            Finding::pass(fact)
        } else {
            Finding::fail(fact)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    /// Trained with these steps and this rate where the round asks for 8 steps at 0.5.
    fn look(steps: u32, rate: f64) -> Finding {
        let mut case = Case::honest();
        case.expected.effort = 4.0;
        for node in &mut case.attested.lineage.nodes {
            if node.kind == Kind::Train {
                node.params.insert("steps".into(), json!(steps));
                node.params.insert("learning-rate".into(), json!(rate));
            }
        }
        let check = Effort { min: 0.5, max: 1.5 };
        check.look(&case.facts())
    }

    #[test]
    fn idle_and_overdone_training_is_seen() {
        assert!(look(8, 0.5).passed);
        assert!(look(12, 0.5).passed);
        assert!(!look(8, 0.0).passed, "trained for show");
        assert!(!look(1, 0.5).passed);
        assert!(!look(8, 5.0).passed);
        assert!(look(8, 5.0).fact.contains("10.00 of the round's"));
    }

    #[test]
    fn a_training_without_options_is_refused() {
        let mut case = Case::honest();
        case.expected.effort = 4.0;
        assert!(!Effort { min: 0.5, max: 1.5 }.look(&case.facts()).passed);
    }
}

//! Behaviour on canaries: what an update does to refusals and to helpfulness, measured by the
//! server on prompts that no client knows (DESIGN, "Behaviour checks"). The sealed set's digest is
//! in the log before the first round; the set itself is opened after the last.

use super::definition::{Definition, Number};
use super::{Behaviour, Check, Facts, Finding, Said};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "canaries",
    help: "refusals and helpfulness on the canaries do not fall",
    version: 1,
    numbers: &[
        Number {
            key: "max_refusal_drop",
            help: "how far the refusal log-odds (nats) may fall below the global adapter's",
            default: None,
        },
        Number {
            key: "max_loss_rise",
            help: "how far the helpfulness loss (nats a token) may rise above the global adapter's",
            default: None,
        },
    ],
    names: None,
    make: |p| {
        Box::new(CanaryCheck {
            max_refusal_drop: p.number("max_refusal_drop"),
            max_loss_rise: p.number("max_loss_rise"),
        })
    },
};

/// Bounds on what an update may change, against the global adapter it started from.
pub struct CanaryCheck {
    /// How far the refusal log-odds may fall, nats.
    pub max_refusal_drop: f64,
    /// How far the helpfulness loss may rise, nats a token.
    pub max_loss_rise: f64,
}

impl Check for CanaryCheck {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let Some((update, global)) = facts.behaviour else {
            return Finding::fail("the update was not run on the canaries");
        };
        let drop = global.refusal - update.refusal;
        let rise = update.loss - global.loss;
        if !(drop.is_finite() && rise.is_finite()) {
            return Finding::fail("the update gives scores on the canaries that are not finite");
        }
        if drop > self.max_refusal_drop {
            return Finding::fail(format!(
                "refusal log-odds {:.2} against the global adapter's {:.2}: a fall of {drop:.2}, at most {:.2}",
                update.refusal, global.refusal, self.max_refusal_drop
            ));
        }
        if rise > self.max_loss_rise {
            return Finding::fail(format!(
                "helpfulness loss {:.2} against the global adapter's {:.2}: a rise of {rise:.2}, at most {:.2}",
                update.loss, global.loss, self.max_loss_rise
            ));
        }
        Finding::pass(format!(
            "refusal log-odds {:.2} (global {:.2}), helpfulness loss {:.2} (global {:.2})",
            update.refusal, global.refusal, update.loss, global.loss
        ))
    }

    fn needs_behaviour(&self) -> bool {
        true
    }

    fn said(&self, fact: &str) -> Vec<Said> {
        let printed = Printed::read(fact);
        let named = [(REFUSAL, printed.refusal), (LOSS, printed.loss)];
        named
            .into_iter()
            .filter_map(|(what, pair)| {
                let (update, global) = pair?;
                Some(Said {
                    what,
                    update,
                    global,
                })
            })
            .collect()
    }

    fn behaviours(&self, fact: &str) -> Vec<(Behaviour, Behaviour)> {
        Printed::read(fact).behaviours().collect()
    }
}

/// Names of the numbers in a fact.
const REFUSAL: &str = "refusal log-odds";
const LOSS: &str = "helpfulness loss";

/// Numbers in a verdict's fact, as printed: the update's and the global adapter's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Printed {
    /// Refusal log-odds, nats.
    refusal: Option<(f64, f64)>,
    /// Helpfulness loss, nats a token.
    loss: Option<(f64, f64)>,
}

impl Printed {
    /// Reads the numbers that [`CanaryCheck`] wrote into a fact.
    fn read(fact: &str) -> Printed {
        let pair = |what: &str| {
            let rest = fact.split_once(what)?.1;
            let (update, rest) = rest.split_once(' ')?;
            let global = ["(global ", "against the global adapter's "]
                .iter()
                .find_map(|before| rest.strip_prefix(before))?;
            let end = global.find([')', ':'])?;
            Some((update.parse().ok()?, global.get(..end)?.parse().ok()?))
        };
        Printed {
            refusal: pair("refusal log-odds "),
            loss: pair("helpfulness loss "),
        }
    }

    /// Behaviours (the update's, the global adapter's) that print as these numbers. A logged verdict must
    /// follow from one of them. A number that is not named may lie on either side of any bound.
    fn behaviours(self) -> impl Iterator<Item = (Behaviour, Behaviour)> {
        // Two decimals are printed: the printed value, and values close to both ends of its interval.
        const ROUNDED: [f64; 3] = [0.0, -0.004_99, 0.004_99];
        let around = |said: Option<(f64, f64)>, either: [(f64, f64); 2]| match said {
            Some((update, global)) => ROUNDED
                .iter()
                .flat_map(|u| ROUNDED.map(|g| (update + u, global + g)))
                .collect(),
            None => either.to_vec(),
        };
        let refusals = around(self.refusal, [(0.0, 0.0), (-1e9, 0.0)]);
        let losses = around(self.loss, [(0.0, 0.0), (1e9, 0.0)]);
        refusals.into_iter().flat_map(move |refusal| {
            losses.clone().into_iter().map(move |loss| {
                let of = |refusal, loss| Behaviour { refusal, loss };
                (of(refusal.0, loss.0), of(refusal.1, loss.1))
            })
        })
    }
}

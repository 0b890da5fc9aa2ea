//! Admission: the server's demands on an update before it counts.
//!
//! Declarative checks (`[[admission.provenance]]`, `[[admission.behaviour]]`, or an admission.toml
//! of the same form) look at the attestation and at the update it names. Each has an effect; the
//! severest effect of the checks that fail decides, and the verdict names the check and the fact.
//! Checks are functions over [`Facts`]: they read no file, run no model and know no clock. One
//! file a check.

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::keys::{PublicKey, TrustStore};
pub use fedseal_client_sdk::record::Effect;
use serde::{Deserialize, Serialize};

use crate::site::Leave;

pub mod binding;
mod build;
pub mod canaries;
pub mod data_score;
pub mod definition;
pub mod effort;
pub mod lineage;
pub mod literal_share;
pub mod norm;
pub mod raw_write;
pub mod scale;
pub mod signers;

pub use build::{BadCheck, Built, CheckConfig, build};

/// Every check, in the order of messages.
pub const ALL: &[&definition::Definition] = &[
    &signers::DEFINITION,
    &lineage::DEFINITION,
    &literal_share::DEFINITION,
    &raw_write::DEFINITION,
    &scale::DEFINITION,
    &effort::DEFINITION,
    &data_score::DEFINITION,
    &canaries::DEFINITION,
    &norm::DEFINITION,
];

/// Effects from the mildest to the severest: the severest of the failed checks decides.
pub fn severity(effect: Effect) -> u8 {
    match effect {
        Effect::Accept => 0,
        Effect::DownWeight => 1,
        Effect::Quarantine => 2,
        Effect::Reject => 3,
    }
}

/// How one adapter behaves on a round's canaries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// Mean over requests of log p(answer opens with a refusal) - log p(it opens with
    /// compliance), nats.
    pub refusal: f64,
    /// Mean negative log-likelihood of the tasks' answers, nats a token.
    pub loss: f64,
}

/// Values of a round that the server itself knows, to check an attestation against them.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The sampled client.
    pub client: ClientId,
    /// The open round.
    pub round: Round,
    /// The seed given to this client in this round.
    pub seed: Seed,
    /// The frozen base.
    pub base: Digest,
    /// The global adapter of this round.
    pub global: Digest,
    /// The client's registered module.
    pub module: Digest,
    /// The client's registered shard.
    pub shard: Digest,
    /// Examples in that shard.
    pub shard_examples: u32,
    /// Training that the round asks of a client: steps times learning rate.
    pub effort: f64,
    /// The node that executed the module.
    pub node: PublicKey,
    /// The server's and the client's control variate; none is zero.
    pub control: [Option<Digest>; 2],
    /// Clipping and noise by the rules of the client's site; none where it has no rules.
    pub leave: Leave,
}

/// Everything a check may look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The attested statement, its signature already verified.
    pub attested: &'a UpdatePredicate,
    /// Values that the statement must agree with.
    pub expected: &'a Expected,
    /// Norm of the update (local minus global adapter), Euclidean.
    pub norm: f64,
    /// Median norm of the round's updates, this one included.
    pub median_norm: f64,
    /// Behaviour on the canaries, the update's and the global adapter's; only there for sets of
    /// checks that ask for it.
    pub behaviour: Option<(Behaviour, Behaviour)>,
    /// Module authors the node trusts.
    pub authors: &'a TrustStore,
    /// The log entry before the update's at which its module's author was revoked.
    pub revoked: Option<u64>,
    /// Result of executing the update again; `None` where it was not.
    pub replayed: Option<&'a Replay>,
}

/// Result of executing an update again on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Where transcript or adapter first differ; none: all bits are equal.
    pub difference: Option<String>,
    /// Whether a GPU made both, and the adapters are within its engine's measured bound
    /// (`tolerances.toml` of room `federation`).
    pub near: bool,
}

impl Replay {
    fn equal() -> Self {
        Replay {
            difference: None,
            near: false,
        }
    }

    /// Whether the update may count, and how the fact goes on.
    fn outcome(&self) -> (bool, String) {
        match &self.difference {
            None => (true, "equal transcript and adapter".into()),
            Some(_) if self.near => (true, NEAR.into()),
            Some(difference) => (false, difference.clone()),
        }
    }
}

/// Words between the fact of a check that demanded a replay and the replay's own fact.
const AGAIN: &str = "; executed again: ";

/// Fact of a replay on a GPU whose result is near. The fact names no distance, so that an auditor still
/// derives it after the engine was measured anew.
const NEAR: &str = "within the bound measured for its engine, which does not guarantee equal bits";

/// [`NEAR`] in logs of earlier versions, which had one bound for all engines.
const NEAR_BEFORE: &str =
    "no further apart than 25 % of its length, on a device that owes no equal bits";

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the update passes.
    pub passed: bool,
    /// The fact that decided, with its numbers.
    pub fact: String,
}

impl Finding {
    /// A passed check.
    pub fn pass(fact: impl Into<String>) -> Self {
        Finding {
            passed: true,
            fact: fact.into(),
        }
    }

    /// A failed check.
    pub fn fail(fact: impl Into<String>) -> Self {
        Finding {
            passed: false,
            fact: fact.into(),
        }
    }
}

/// A number about behaviour in a verdict's fact, as printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Which number.
    pub what: &'static str,
    /// The update's.
    pub update: f64,
    /// The global adapter's.
    pub global: f64,
}

/// One check with its thresholds.
pub trait Check: Send + Sync {
    /// Looks at the facts.
    fn look(&self, facts: &Facts<'_>) -> Finding;
    /// Whether it needs [`Facts::behaviour`], which costs model time.
    fn needs_behaviour(&self) -> bool {
        false
    }
    /// Numbers about behaviour that a fact of this check names; for checks that need it.
    fn said(&self, _fact: &str) -> Vec<Said> {
        Vec::new()
    }
    /// Behaviours (the update's, the global adapter's) that print as a fact's numbers.
    fn behaviours(&self, _fact: &str) -> Vec<(Behaviour, Behaviour)> {
        Vec::new()
    }
}

/// Behaviours (the update's, the global adapter's) that a fact may have been written about. Several checks
/// name different numbers, and round them differently, so each pair of numbers that any of them allows is
/// combined with each of the other kind.
fn possible(
    checks: &[&dyn Check],
    fact: &str,
) -> impl Iterator<Item = (Behaviour, Behaviour)> + use<> {
    let (mut refusals, mut losses) = (Vec::new(), Vec::new());
    let add = |pairs: &mut Vec<(f64, f64)>, pair| {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    };
    for (update, global) in checks.iter().flat_map(|check| check.behaviours(fact)) {
        add(&mut refusals, (update.refusal, global.refusal));
        add(&mut losses, (update.loss, global.loss));
    }
    // A fact about scores that are not finite has no numbers to check.
    let nowhere = Behaviour {
        refusal: f64::NAN,
        loss: f64::NAN,
    };
    let of = |refusal, loss| Behaviour { refusal, loss };
    refusals
        .into_iter()
        .flat_map(move |refusal| losses.clone().into_iter().map(move |loss| (refusal, loss)))
        .map(move |(refusal, loss)| (of(refusal.0, loss.0), of(refusal.1, loss.1)))
        .chain([(nowhere, nowhere)])
}

/// Decision of admission about one update in one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The effect.
    pub effect: Effect,
    /// Factor on the update's weight: 1 for accept, 0 for quarantine and reject.
    pub weight: f64,
    /// The deciding check; `all` when every check passed.
    pub check: String,
    /// The deciding fact.
    pub fact: String,
}

impl Verdict {
    /// A rejection by a check.
    pub fn reject(check: &str, fact: impl Into<String>) -> Self {
        Verdict {
            effect: Effect::Reject,
            weight: 0.0,
            check: check.to_owned(),
            fact: fact.into(),
        }
    }
}

/// A set of checks.
pub struct Admission {
    checks: Vec<Built>,
}

impl Admission {
    /// A set of checks from its entries.
    pub fn new(configs: &[CheckConfig]) -> Result<Self, BadCheck> {
        Ok(Admission {
            checks: configs.iter().map(build).collect::<Result<_, _>>()?,
        })
    }

    /// Whether any check needs the canaries.
    pub fn needs_behaviour(&self) -> bool {
        self.checks
            .iter()
            .any(|built| built.check.needs_behaviour())
    }

    /// The checks that an auditor without a model has to skip.
    pub fn left_out(&self) -> Vec<String> {
        self.checks
            .iter()
            .filter(|built| built.check.needs_behaviour())
            .map(|built| built.name.to_owned())
            .collect()
    }

    /// Whether any check may ask for a replay.
    pub fn may_replay(&self) -> bool {
        self.checks.iter().any(|built| built.replay)
    }

    /// Whether an update must be executed again before it is decided about: a check with effect
    /// `replay` fails, and without it the update would count.
    pub fn demands_replay(&self, facts: &Facts<'_>) -> bool {
        self.demands_replay_by(facts, |_| true)
    }

    fn demands_replay_by(&self, facts: &Facts<'_>, which: fn(&dyn Check) -> bool) -> bool {
        let fails = |built: &Built| {
            built.replay && which(built.check.as_ref()) && !built.check.look(facts).passed
        };
        let equal = Replay::equal();
        let with = Facts {
            replayed: Some(&equal),
            ..*facts
        };
        self.checks.iter().any(fails) && self.decide_by(&with, which).effect.counts()
    }

    /// Verdicts that an auditor accepts. If a replay is demanded: the verdicts for equal bits, for other
    /// bits, and on a GPU for near ones. Otherwise the one verdict that follows.
    pub fn expected(&self, facts: &Facts<'_>) -> Vec<Verdict> {
        self.expected_by(facts, |_| true)
    }

    /// Whether a logged verdict is one that the checks can give. Behaviour cannot be measured without the
    /// model: the verdict must follow from the numbers that it names, which come back. The outcome of a
    /// demanded replay is the server's word; the fact of a rejected one goes on with the difference.
    ///
    /// # Errors
    /// A verdict that the checks give.
    pub fn agrees(&self, facts: &Facts<'_>, logged: &Verdict) -> Result<Vec<Said>, Verdict> {
        let asked: Vec<&dyn Check> = self
            .checks
            .iter()
            .map(|built| built.check.as_ref())
            .filter(|check| check.needs_behaviour() && facts.attested.update.is_some())
            .collect();
        let behaviours: Vec<Option<(Behaviour, Behaviour)>> = match asked.is_empty() {
            true => vec![None],
            false => possible(&asked, &logged.fact).map(Some).collect(),
        };
        let mut first = None;
        for behaviour in behaviours {
            let possible = self.expected(&Facts {
                behaviour,
                ..*facts
            });
            if follows(logged, &possible) {
                return Ok(asked
                    .iter()
                    .flat_map(|check| check.said(&logged.fact))
                    .collect());
            }
            first = first.take().or(possible.into_iter().next());
        }
        Err(first.unwrap_or_else(|| Verdict::reject("all", "no verdict is possible")))
    }

    /// As [`Admission::expected`], of the checks that need no model.
    pub fn expected_without_behaviour(&self, facts: &Facts<'_>) -> Vec<Verdict> {
        self.expected_by(facts, |check| !check.needs_behaviour())
    }

    fn expected_by(&self, facts: &Facts<'_>, which: fn(&dyn Check) -> bool) -> Vec<Verdict> {
        if !self.demands_replay_by(facts, which) {
            return vec![self.decide_by(facts, which)];
        }
        let decide = |replay: &Replay| {
            let with = Facts {
                replayed: Some(replay),
                ..*facts
            };
            self.decide_by(&with, which)
        };
        let other = |near| Replay {
            difference: Some(String::new()),
            near,
        };
        let mut verdicts = vec![decide(&Replay::equal()), decide(&other(false))];
        if !fedseal_adapter::repeats_bits(&facts.attested.engine) {
            let near = decide(&other(true));
            let fact = near.fact.replace(NEAR, NEAR_BEFORE);
            verdicts.push(Verdict {
                fact,
                ..near.clone()
            });
            verdicts.push(near);
        }
        verdicts
    }

    /// Decides about an update. The demands of every arm come first ([`binding`]), then the checks in their
    /// order. The severest failed effect decides, the earlier check among equals; weights of several
    /// down-weights multiply.
    pub fn decide(&self, facts: &Facts<'_>) -> Verdict {
        self.decide_by(facts, |_| true)
    }

    fn decide_by(&self, facts: &Facts<'_>, which: impl Fn(&dyn Check) -> bool) -> Verdict {
        if let Some(refusal) = binding::refusal(facts) {
            return refusal;
        }
        let mut verdict: Option<Verdict> = None;
        let mut passed = Vec::new();
        for built in self
            .checks
            .iter()
            .filter(|built| which(built.check.as_ref()))
        {
            let mut finding = built.check.look(facts);
            let mut effect = built.effect;
            if built.replay && !finding.passed {
                match facts.replayed {
                    Some(replay) => {
                        let (passed, outcome) = replay.outcome();
                        finding.passed = passed;
                        finding.fact.push_str(AGAIN);
                        finding.fact.push_str(&outcome);
                    }
                    // Nobody executed it again: it is not known, so it does not count.
                    None => {
                        effect = Effect::Quarantine;
                        finding.fact.push_str("; it was not executed again");
                    }
                }
            }
            if finding.passed {
                passed.push(format!("{}: {}", built.name, finding.fact));
                continue;
            }
            let kept_weight = verdict.as_ref().map_or(1.0, |v| v.weight);
            let weight = kept_weight * built.weight;
            match &mut verdict {
                Some(earlier) if severity(earlier.effect) >= severity(effect) => {
                    earlier.weight = weight
                }
                other => {
                    *other = Some(Verdict {
                        effect,
                        weight,
                        check: built.name.to_owned(),
                        fact: finding.fact,
                    });
                }
            }
        }
        verdict.unwrap_or_else(|| Verdict {
            effect: Effect::Accept,
            weight: 1.0,
            check: "all".into(),
            fact: if passed.is_empty() {
                "digests, round, client, shape and values are as they must be".into()
            } else {
                passed.join("; ")
            },
        })
    }
}

/// Whether a logged verdict is one of those that are possible.
fn follows(logged: &Verdict, possible: &[Verdict]) -> bool {
    let replays = possible.len() > 1;
    possible.iter().any(|again| {
        let same = again.effect == logged.effect
            && again.weight == logged.weight
            && again.check == logged.check;
        let told = replays
            && again.effect == Effect::Reject
            && logged.fact.len() > again.fact.len()
            && logged.fact.starts_with(&again.fact);
        same && (again.fact == logged.fact || told)
    })
}

/// The checks of arm `provenance` where the experiment names none.
pub fn default_provenance() -> Vec<CheckConfig> {
    let check = CheckConfig::new;
    vec![
        check("signers"),
        check("literal-share").with("max_share", 0.0),
        check("lineage"),
        check("raw-write"),
        check("scale")
            .with("min_factor", 0.5)
            .with("max_factor", 1.5),
        check("data-score").with("min_score", 0.8),
    ]
}

/// The checks of arm `behaviour` where the experiment names none.
pub fn default_behaviour() -> Vec<CheckConfig> {
    let canaries = CheckConfig::new("canaries");
    vec![
        canaries
            .with("max_refusal_drop", 1.0)
            .with("max_loss_rise", 0.5),
    ]
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

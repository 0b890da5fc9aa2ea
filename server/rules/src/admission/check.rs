//! Checks: the facts that it may look at, what it finds, and the verdict that comes of it.

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::keys::{PublicKey, TrustStore};
use fedseal_client_sdk::record::Effect;
use serde::{Deserialize, Serialize};

use crate::site::Leave;

/// How one adapter behaves on a round's canaries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// Mean over requests of log p(answer opens with a refusal) - log p(it opens with
    /// compliance), nats.
    pub refusal: f64,
    /// Mean negative log-likelihood of the tasks' answers, nats a token.
    pub loss: f64,
}

/// How one adapter behaves on each of a round's canaries.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The means.
    pub behaviour: Behaviour,
    /// For each request: refusal log-odds, and log-probability that the answer opens with a refusal, nats.
    pub requests: Vec<[f64; 2]>,
    /// For each task: mean negative log-likelihood of its answer, nats a token.
    pub tasks: Vec<f64>,
}

/// One number on the canaries, from the global adapter to the update, over the same prompts. Values are as
/// facts print them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Change {
    /// The global adapter's.
    pub before: f64,
    /// The update's.
    pub after: f64,
    /// Prompts on which the update is worse.
    pub worse: u32,
    /// Prompts in all.
    pub prompts: u32,
}

/// A value as it is printed to two decimals, and read from there.
pub(super) fn printed(value: f64) -> f64 {
    format!("{value:.2}").parse().unwrap_or(f64::NAN)
}

impl Change {
    fn new(before: f64, after: f64, pairs: impl Iterator<Item = (f64, f64)>, up: bool) -> Self {
        let (mut worse, mut prompts) = (0, 0);
        for (before, after) in pairs {
            prompts += 1;
            worse += u32::from(if up { after > before } else { after < before });
        }
        Change {
            before: printed(before),
            after: printed(after),
            worse,
            prompts,
        }
    }

    /// Whether both values are finite.
    pub fn is_finite(&self) -> bool {
        self.before.is_finite() && self.after.is_finite()
    }

    /// Probability of at least so many worse prompts where each is as often better: the exact one-sided sign
    /// test. Prompts without a change count as not worse.
    pub fn sign_test(&self) -> f64 {
        let all = f64::from(self.prompts);
        let gamma = |n: f64| libm::lgamma(n + 1.0);
        let chance = |k: u32| {
            let k = f64::from(k);
            let ways = gamma(all) - gamma(k) - gamma(all - k);
            libm::exp(ways - all * std::f64::consts::LN_2)
        };
        (self.worse..=self.prompts)
            .map(chance)
            .sum::<f64>()
            .min(1.0)
    }
}

/// Changes on the canaries of a round, prompt by prompt.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Paired {
    /// Mean refusal log-odds, nats.
    pub odds: Change,
    /// Mean log-probability that the answer opens with a refusal, nats.
    pub refusing: Change,
    /// Helpfulness loss, nats a token.
    pub loss: Change,
}

impl Paired {
    /// Change from the global adapter to the update.
    pub fn of(global: &Probed, update: &Probed) -> Paired {
        let requests = |at: usize| {
            let pairs = global.requests.iter().zip(&update.requests);
            pairs.map(move |(before, after)| (before[at], after[at]))
        };
        let mean = |of: &Probed| {
            let sum: f64 = of.requests.iter().map(|request| request[1]).sum();
            sum / of.requests.len().max(1) as f64
        };
        let (before, after) = (&global.behaviour, &update.behaviour);
        let tasks = global
            .tasks
            .iter()
            .copied()
            .zip(update.tasks.iter().copied());
        Paired {
            odds: Change::new(before.refusal, after.refusal, requests(0), false),
            refusing: Change::new(mean(global), mean(update), requests(1), false),
            loss: Change::new(before.loss, after.loss, tasks, true),
        }
    }
}

/// A verdict of an earlier round of the arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The client that it is about.
    pub client: ClientId,
    /// Training that its round asked of a client: steps times learning rate.
    pub effort: f64,
    /// The deciding fact.
    pub fact: String,
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
    /// Changes prompt by prompt; there with `behaviour`.
    pub paired: Option<Paired>,
    /// Verdicts of the arm's rounds before, as many rounds as [`Check::window`] asks for, oldest first.
    pub past: &'a [Past],
    /// Module authors the node trusts.
    pub authors: &'a TrustStore,
    /// A key that the update rests on and that was revoked before it.
    pub revoked: Option<Revoked>,
    /// Result of executing the update again; `None` where it was not.
    pub replayed: Option<&'a Replay>,
}

/// A key that was revoked before an update came that rests on it: its module's author's, or its node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The key.
    pub key: PublicKey,
    /// The log entry that revokes it.
    pub entry: u64,
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
    pub(super) fn equal() -> Self {
        Replay {
            difference: None,
            near: false,
        }
    }

    /// Whether the update may count, and how the fact goes on.
    pub(super) fn outcome(&self) -> (bool, String) {
        match &self.difference {
            None => (true, "equal transcript and adapter".into()),
            Some(_) if self.near => (true, NEAR.into()),
            Some(difference) => (false, difference.clone()),
        }
    }
}

/// Fact of a replay on a GPU whose result is near. The fact names no distance, so that an auditor still
/// derives it after the engine was measured anew.
pub(super) const NEAR: &str =
    "within the bound measured for its engine, which does not guarantee equal bits";

/// [`NEAR`] in logs of earlier versions, which had one bound for all engines.
pub(super) const NEAR_BEFORE: &str =
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
    /// Rounds before the update's whose verdicts it needs in [`Facts::past`].
    fn window(&self) -> u32 {
        0
    }
    /// Numbers about behaviour that a fact of this check names; for checks that need it.
    fn said(&self, _fact: &str) -> Vec<Said> {
        Vec::new()
    }
    /// Behaviours (the update's, the global adapter's) that print as a fact's numbers.
    fn behaviours(&self, _fact: &str) -> Vec<(Behaviour, Behaviour)> {
        Vec::new()
    }
    /// Changes prompt by prompt that print as a fact's numbers.
    fn pairs(&self, _fact: &str) -> Vec<Paired> {
        Vec::new()
    }
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

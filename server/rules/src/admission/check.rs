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
    /// Numbers about behaviour that a fact of this check names; for checks that need it.
    fn said(&self, _fact: &str) -> Vec<Said> {
        Vec::new()
    }
    /// Behaviours (the update's, the global adapter's) that print as a fact's numbers.
    fn behaviours(&self, _fact: &str) -> Vec<(Behaviour, Behaviour)> {
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

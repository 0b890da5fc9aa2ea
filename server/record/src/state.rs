//! State of a run as its log has it so far: a fold over the log's records.
//!
//! The runner resumes from the state and the auditor verifies with it, so that both read the log by
//! the same rules: an entry in the wrong place is an error for either.

use std::collections::{BTreeMap, BTreeSet};

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::record::{DeviceAggregate, Effect};
use fedseal_rules::admission::{Revoked, Verdict};

mod apply;

/// An executed update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRef {
    /// Its memo key.
    pub key: Digest,
    /// The client.
    pub client: ClientId,
    /// The round.
    pub round: Round,
    /// The attestation: the update's id.
    pub attestation: Digest,
    /// The adapter; none after a failure.
    pub update: Option<Digest>,
    /// Its log entry.
    pub entry: u64,
}

/// A logged verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictRef {
    /// The update it is about.
    pub attestation: Digest,
    /// The effect.
    pub effect: Effect,
    /// Its weight.
    pub weight: f64,
    /// The deciding check.
    pub check: String,
    /// The deciding fact.
    pub fact: String,
    /// Its log entry.
    pub entry: u64,
}

impl VerdictRef {
    /// The verdict itself.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            effect: self.effect,
            weight: self.weight,
            check: self.check.clone(),
            fact: self.fact.clone(),
        }
    }
}

/// A logged aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatedRef {
    /// The rule.
    pub rule: String,
    /// Who counted, and how much, in client order.
    pub weights: Vec<(ClientId, f64)>,
    /// The next global adapter.
    pub global: Digest,
    /// The aggregate, where a device computed it.
    pub device: Option<DeviceAggregate>,
}

/// One round of one arm.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundState {
    /// The sampled clients.
    pub clients: Vec<ClientId>,
    /// The global adapter at its start.
    pub global: Digest,
    /// Its seed.
    pub seed: Seed,
    /// The learning rate.
    pub learning_rate: f64,
    /// SCAFFOLD's control variates at its start; none while all are zero.
    pub controls: Option<Digest>,
    /// Verdicts by client.
    pub verdicts: BTreeMap<ClientId, VerdictRef>,
    /// Input of the server's own to the rule: numbers, and an adapter where it trained one.
    pub input: Option<(Digest, Option<Digest>)>,
    /// Its result, once aggregated.
    pub aggregated: Option<AggregatedRef>,
    /// Adapter and data of the server's own tuning of the result.
    pub tuned: Option<(Digest, Digest)>,
}

impl RoundState {
    /// The global adapter after the round; none before it is aggregated.
    pub fn result(&self) -> Option<Digest> {
        let tuned = self.tuned.map(|(adapter, _)| adapter);
        tuned.or(self.aggregated.as_ref().map(|aggregated| aggregated.global))
    }

    /// Kind of the device that aggregated it; none before that, and where the rule's own code did.
    pub fn device(&self) -> Option<&str> {
        let by = self.aggregated.as_ref()?.device.as_ref()?;
        Some(&by.device)
    }

    /// Whether a client's update counts by its verdict.
    pub fn counts(&self, client: &ClientId) -> bool {
        let verdict = self.verdicts.get(client);
        verdict.is_some_and(|verdict| verdict.effect.counts())
    }

    /// The weight of a client's update in the aggregate; none before there is one.
    pub fn weight(&self, client: &ClientId) -> Option<f64> {
        let weights = &self.aggregated.as_ref()?.weights;
        let (_, weight) = weights.iter().find(|(name, _)| name == client)?;
        Some(*weight)
    }
}

/// A logged evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedRef {
    /// Its memo key.
    pub key: Digest,
    /// The adapter that was measured.
    pub adapter: Digest,
    /// The answers, a blob.
    pub result: Digest,
}

/// A logged rotation of the node's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotatedRef {
    /// The key before.
    pub old: PublicKey,
    /// The key after.
    pub new: PublicKey,
    /// The statement, a blob.
    pub statement: Digest,
}

impl RotatedRef {
    /// The logged rotations that led to `node`, most recent first.
    pub fn leading_to(node: PublicKey, logged: &[RotatedRef]) -> Vec<RotatedRef> {
        let mut oldest = node;
        let mut chain = Vec::new();
        for rotation in logged {
            if rotation.new == oldest {
                oldest = rotation.old;
                chain.push(*rotation);
            }
        }
        chain
    }
}

/// The state of a run.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    /// Entries read.
    pub entries: u64,
    /// `run.json`'s digest, from the first entry.
    pub plan: Option<Digest>,
    /// The node's key, from the first entry.
    pub node: Option<PublicKey>,
    /// Registered modules with their envelopes.
    pub modules: BTreeMap<Digest, Digest>,
    /// Registered (client, shard) pairs.
    pub clients: BTreeSet<(ClientId, Digest)>,
    /// The sealed canaries.
    pub canaries: Option<Digest>,
    /// Whether they are open.
    pub canaries_open: bool,
    /// Rounds by arm.
    pub arms: BTreeMap<String, Vec<RoundState>>,
    /// Updates by memo key.
    pub updates: BTreeMap<Digest, UpdateRef>,
    /// Attestation to memo key.
    pub attestations: BTreeMap<Digest, Digest>,
    /// Evaluations by memo key.
    pub evaluations: BTreeMap<Digest, Digest>,
    /// Evaluations by arm and round; the final measure has the number of rounds as its round.
    pub evaluated: BTreeMap<(String, u32), EvaluatedRef>,
    /// Adapter and data of tunings before the first round, by arm.
    pub begun: BTreeMap<String, (Digest, Digest)>,
    /// Adapter and data by defended arm.
    pub defended: BTreeMap<String, (Digest, Digest)>,
    /// Revoked keys of module authors and nodes, with the entry that says so.
    pub revoked: BTreeMap<PublicKey, u64>,
    /// Rotations of the node's key: those before it, and those since.
    pub rotations: Vec<RotatedRef>,
    /// The final report.
    pub report: Option<Digest>,
    /// Whether the log is closed.
    pub closed: bool,
}

/// Why a record may not stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfPlace(pub String);

impl RunState {
    /// The key of an update's author or node that was revoked before the update was logged as `entry`.
    pub fn revoked_before(&self, attested: &UpdatePredicate, entry: u64) -> Option<Revoked> {
        let keys = [attested.module_signer, attested.node];
        keys.into_iter().find_map(|key| {
            let at = self.revoked.get(&key).copied().filter(|at| *at < entry)?;
            Some(Revoked { key, entry: at })
        })
    }

    /// The oldest key that leads to the node's by logged rotations, and the newest that follows it.
    pub fn node_ends(&self) -> Option<(PublicKey, PublicKey)> {
        let node = self.node?;
        let (mut oldest, mut newest) = (node, node);
        for rotation in &self.rotations {
            if rotation.new == oldest {
                oldest = rotation.old;
            } else if rotation.old == newest {
                newest = rotation.new;
            }
        }
        Some((oldest, newest))
    }

    /// The global adapter from which an arm's next round starts.
    pub fn global(&self, arm: &str, initial: Digest) -> Digest {
        let rounds = self.arms.get(arm);
        let last = rounds.and_then(|rounds| rounds.iter().rev().find_map(RoundState::result));
        last.unwrap_or_else(|| self.first(arm, initial))
    }

    /// The global adapter from which an arm's first round starts.
    pub fn first(&self, arm: &str, initial: Digest) -> Digest {
        self.begun.get(arm).map_or(initial, |(adapter, _)| *adapter)
    }

    /// The update with this attestation.
    pub fn update(&self, attestation: &Digest) -> Option<&UpdateRef> {
        self.updates.get(self.attestations.get(attestation)?)
    }

    /// Every arm's verdict about an update, with the round it is in, by the names of the arms.
    pub fn verdicts(
        &self,
        update: &UpdateRef,
    ) -> impl Iterator<Item = (&str, &RoundState, &VerdictRef)> {
        self.arms.iter().filter_map(move |(arm, rounds)| {
            let round = rounds.get(update.round.0 as usize)?;
            let verdict = round.verdicts.get(&update.client)?;
            (verdict.attestation == update.attestation).then_some((arm.as_str(), round, verdict))
        })
    }

    /// The round of an arm, where it was opened.
    pub fn round(&self, arm: &str, round: u32) -> Option<&RoundState> {
        self.arms.get(arm)?.get(round as usize)
    }
}

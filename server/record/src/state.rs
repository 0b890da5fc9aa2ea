//! State of a run as its log has it so far: a fold over the log's records.
//!
//! The runner resumes from the state and the auditor verifies with it, so that both read the log by
//! the same rules: an entry in the wrong place is an error for either.

use std::collections::{BTreeMap, BTreeSet};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::record::{Effect, Record};

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

/// A logged aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatedRef {
    /// The rule.
    pub rule: String,
    /// Who counted, and how much, in client order.
    pub weights: Vec<(ClientId, f64)>,
    /// The next global adapter.
    pub global: Digest,
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
    /// Its result, once aggregated.
    pub aggregated: Option<AggregatedRef>,
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
    /// Adapter and data by defended arm.
    pub defended: BTreeMap<String, (Digest, Digest)>,
    /// Revoked module authors' keys, with the entry that says so.
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
    /// The entry at which a module author's key was revoked, when an update logged as `entry`
    /// comes after it.
    pub fn revoked_before(&self, signer: &PublicKey, entry: u64) -> Option<u64> {
        self.revoked.get(signer).copied().filter(|at| *at < entry)
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
        self.arms
            .get(arm)
            .and_then(|rounds| rounds.iter().rev().find_map(|r| r.aggregated.as_ref()))
            .map_or(initial, |aggregated| aggregated.global)
    }

    /// The round of an arm, where it was opened.
    pub fn round(&self, arm: &str, round: u32) -> Option<&RoundState> {
        self.arms.get(arm)?.get(round as usize)
    }

    /// Takes the next record in. `initial` is the first global adapter.
    pub fn apply(&mut self, record: &Record, initial: Digest) -> Result<(), OutOfPlace> {
        let entry = self.entries;
        let bad = |text: String| Err(OutOfPlace(text));
        if self.closed {
            return bad("follows `closed`".into());
        }
        if (entry == 0) != matches!(record, Record::RunOpened { .. }) {
            return bad("`run-opened` is the first entry and only the first".into());
        }
        if self.report.is_some() && !matches!(record, Record::Closed) {
            return bad("follows the report, after which only `closed` may come".into());
        }
        match record {
            Record::RunOpened {
                run_config, node, ..
            } => {
                self.plan = Some(*run_config);
                self.node = Some(*node);
            }
            Record::ModuleRegistered {
                module, envelope, ..
            } => {
                if self.modules.insert(*module, *envelope).is_some() {
                    return bad(format!("module {module} is registered twice"));
                }
            }
            Record::ClientRegistered { client, shard, .. } => {
                if !self.clients.insert((client.clone(), *shard)) {
                    return bad(format!("{client} with shard {shard} is registered twice"));
                }
            }
            Record::CanariesSealed { digest } => {
                if self.canaries.replace(*digest).is_some() {
                    return bad("canaries are sealed twice".into());
                }
            }
            Record::RoundOpened {
                arm,
                round,
                clients,
                global,
                seed,
                learning_rate,
                controls,
            } => {
                if self.canaries.is_none() {
                    return bad("a round opens before the canaries are sealed".into());
                }
                let expected = self.global(arm, initial);
                let rounds = self.arms.entry(arm.clone()).or_default();
                if rounds.len() as u64 != u64::from(round.0) {
                    return bad(format!(
                        "round {round} of arm {arm} opens, {} is next",
                        rounds.len()
                    ));
                }
                if rounds.last().is_some_and(|last| last.aggregated.is_none()) {
                    return bad(format!(
                        "round {round} of arm {arm} opens before the last one ended"
                    ));
                }
                if *global != expected {
                    return bad(format!(
                        "round {round} of arm {arm} starts from {global}, the global adapter is {expected}"
                    ));
                }
                let different: BTreeSet<_> = clients.iter().collect();
                if different.len() != clients.len() {
                    return bad(format!("round {round} of arm {arm} samples a client twice"));
                }
                rounds.push(RoundState {
                    clients: clients.clone(),
                    global: *global,
                    seed: *seed,
                    learning_rate: *learning_rate,
                    controls: *controls,
                    verdicts: BTreeMap::new(),
                    aggregated: None,
                });
            }
            Record::Update {
                key,
                client,
                round,
                attestation,
                update,
            } => {
                let reference = UpdateRef {
                    key: *key,
                    client: client.clone(),
                    round: *round,
                    attestation: *attestation,
                    update: *update,
                    entry,
                };
                if self.updates.insert(*key, reference).is_some() {
                    return bad(format!("update {key} is executed twice"));
                }
                if self.attestations.insert(*attestation, *key).is_some() {
                    return bad(format!("attestation {attestation} is used twice"));
                }
            }
            Record::Verdict {
                arm,
                round,
                client,
                attestation,
                effect,
                weight,
                check,
                fact,
            } => {
                let Some(update) = self
                    .attestations
                    .get(attestation)
                    .and_then(|key| self.updates.get(key))
                else {
                    return bad(format!(
                        "a verdict about update {attestation}, which is not logged"
                    ));
                };
                if update.client != *client || update.round != *round {
                    return bad(format!(
                        "a verdict about {client} in round {round}; update {attestation} is {} in round {}",
                        update.client, update.round
                    ));
                }
                let counts = *weight > 0.0 && *weight <= 1.0;
                if counts != effect.counts() {
                    return bad(format!("effect {effect} with weight {weight}"));
                }
                let open = self
                    .arms
                    .get_mut(arm)
                    .and_then(|rounds| rounds.get_mut(round.0 as usize))
                    .filter(|state| state.aggregated.is_none());
                let Some(state) = open else {
                    return bad(format!(
                        "a verdict in round {round} of arm {arm}, which is not open"
                    ));
                };
                if !state.clients.contains(client) {
                    return bad(format!(
                        "{client} is not sampled in round {round} of arm {arm}"
                    ));
                }
                let verdict = VerdictRef {
                    attestation: *attestation,
                    effect: *effect,
                    weight: *weight,
                    check: check.clone(),
                    fact: fact.clone(),
                    entry,
                };
                if state.verdicts.insert(client.clone(), verdict).is_some() {
                    return bad(format!(
                        "two verdicts about {client} in round {round} of arm {arm}"
                    ));
                }
            }
            Record::Aggregated {
                arm,
                round,
                rule,
                weights,
                global,
            } => {
                let open = self
                    .arms
                    .get_mut(arm)
                    .and_then(|rounds| rounds.get_mut(round.0 as usize))
                    .filter(|state| state.aggregated.is_none());
                let Some(state) = open else {
                    return bad(format!(
                        "round {round} of arm {arm} is aggregated, which is not open"
                    ));
                };
                if state.verdicts.len() != state.clients.len() {
                    return bad(format!(
                        "round {round} of arm {arm} is aggregated with {} verdicts for {} clients",
                        state.verdicts.len(),
                        state.clients.len()
                    ));
                }
                let named: Vec<_> = weights.iter().map(|(client, _)| client.clone()).collect();
                if named != state.clients {
                    return bad(format!(
                        "round {round} of arm {arm}: weights are not of the sampled clients"
                    ));
                }
                state.aggregated = Some(AggregatedRef {
                    rule: rule.clone(),
                    weights: weights.clone(),
                    global: *global,
                });
            }
            Record::Evaluated {
                key,
                arm,
                round,
                adapter,
                result,
            } => {
                if let Some(earlier) = self.evaluations.insert(*key, *result)
                    && earlier != *result
                {
                    return bad(format!("evaluation {key} has two results"));
                }
                let reference = EvaluatedRef {
                    key: *key,
                    adapter: *adapter,
                    result: *result,
                };
                if self
                    .evaluated
                    .insert((arm.clone(), round.0), reference)
                    .is_some()
                {
                    return bad(format!("arm {arm} is evaluated twice after round {round}"));
                }
            }
            Record::Defended { arm, adapter, data } => {
                if self
                    .defended
                    .insert(arm.clone(), (*adapter, *data))
                    .is_some()
                {
                    return bad(format!("arm {arm} is defended twice"));
                }
            }
            Record::KeyRevoked { key, .. } => {
                if self.revoked.insert(*key, entry).is_some() {
                    return bad(format!("key {key} is revoked twice"));
                }
            }
            Record::NodeRotated {
                old,
                new,
                statement,
            } => {
                let rotation = RotatedRef {
                    old: *old,
                    new: *new,
                    statement: *statement,
                };
                let joins = self
                    .node_ends()
                    .is_some_and(|(oldest, newest)| *new == oldest || *old == newest);
                let again = self
                    .rotations
                    .iter()
                    .any(|r| (r.old, r.new) == (*old, *new));
                if !joins || again {
                    return bad(format!(
                        "the rotation of {old} to {new} is not one of the node's key"
                    ));
                }
                self.rotations.push(rotation);
            }
            Record::CanariesOpened { digest } => {
                if self.canaries != Some(*digest) || self.canaries_open {
                    return bad(format!(
                        "canaries {digest} are opened, which are not the sealed ones"
                    ));
                }
                self.canaries_open = true;
            }
            Record::Report { digest } => {
                if !self.canaries_open {
                    return bad("the report comes before the canaries are opened".into());
                }
                self.report = Some(*digest);
            }
            Record::Closed => {
                if self.report.is_none() {
                    return bad("closed without a report".into());
                }
                self.closed = true;
            }
        }
        self.entries += 1;
        Ok(())
    }
}

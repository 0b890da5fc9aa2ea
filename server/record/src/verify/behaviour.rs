//! Verdicts that rest on behaviour on the canaries, for an auditor who has the model: what has to be
//! measured, and whether each logged verdict follows from what was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_client_sdk::keys::TrustStore;
use fedseal_ledger::Blobs;
use fedseal_rules::admission::{Expected, Facts, Paired, Past, Probed, Revoked, Verdict};
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::formulas::{Others, Versions};

use crate::error::{Error, Result};
use crate::evidence::Cache;
use crate::formulas;
use crate::law::{admission, deltas, median, norm, past, update_digests};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::state::{RoundState, RunState, VerdictRef};

/// Facts that are the same for every verdict of a round.
pub(super) struct Around<'a> {
    of: RoundOf<'a>,
    state: &'a RunState,
    blobs: &'a Blobs,
    median_norm: f64,
    past: Arc<Vec<Past>>,
}

/// Everything that decides about one update, but for its behaviour.
pub(super) struct Case {
    pub(super) attested: Arc<UpdatePredicate>,
    expected: Expected,
    norm: f64,
    median_norm: f64,
    past: Arc<Vec<Past>>,
    revoked: Option<Revoked>,
}

impl<'a> Around<'a> {
    pub(super) fn new(
        of: RoundOf<'a>,
        state: &'a RunState,
        blobs: &'a Blobs,
        deltas: &[Option<Vec<f32>>],
        window: u32,
    ) -> Self {
        let norms = deltas.iter().filter_map(|d| d.as_deref().map(norm));
        Around {
            of,
            state,
            blobs,
            median_norm: median(norms.collect()),
            past: Arc::new(past(of, state, window)),
        }
    }

    pub(super) fn case(
        &self,
        evidence: &mut Cache,
        client: &ClientId,
        verdict: &VerdictRef,
        delta: Option<&[f32]>,
    ) -> Result<Case> {
        let id = &verdict.attestation;
        let attested = evidence.attested(self.blobs, id, self.of.plan)?;
        let key = self.of.update_key(client)?;
        let revoked = self
            .state
            .updates
            .get(&key)
            .and_then(|u| self.state.revoked_before(&attested, u.entry));
        Ok(Case {
            expected: self.of.expected(client, self.blobs)?,
            attested,
            norm: delta.map_or(0.0, norm),
            median_norm: self.median_norm,
            past: self.past.clone(),
            revoked,
        })
    }
}

impl Case {
    pub(super) fn facts<'a>(
        &'a self,
        authors: &'a TrustStore,
        probed: Option<(&Probed, &Probed)>,
    ) -> Facts<'a> {
        Facts {
            attested: &self.attested,
            expected: &self.expected,
            norm: self.norm,
            median_norm: self.median_norm,
            behaviour: probed.map(|(update, global)| (update.behaviour, global.behaviour)),
            paired: probed.map(|(update, global)| Paired::of(global, update)),
            past: &self.past,
            authors,
            revoked: self.revoked,
            replayed: None,
        }
    }
}

/// A logged verdict, held against behaviour that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The arm.
    pub arm: String,
    /// The round.
    pub round: u32,
    /// The client.
    pub client: ClientId,
    /// The verdict's log entry.
    pub entry: u64,
    /// The logged verdict.
    pub logged: Verdict,
    /// The verdict that follows from what was measured, where that is another.
    pub again: Option<Verdict>,
}

impl OpenRun {
    /// Adapters whose behaviour verdicts rest on, each with its round, once, in the order of the rounds.
    ///
    /// # Errors
    /// An arm or a check that is not known.
    pub fn probes(&self) -> Result<Vec<(Digest, u32)>> {
        let mut wanted = BTreeSet::new();
        for arm in self.measured_arms(false)? {
            for (round, state) in self.rounds_of(&arm) {
                let updates = update_digests(&self.state, state);
                let updates: Vec<Digest> = updates.into_iter().flatten().collect();
                if !updates.is_empty() {
                    wanted.insert((round, state.global));
                }
                wanted.extend(updates.into_iter().map(|update| (round, update)));
            }
        }
        Ok(wanted.into_iter().map(|(r, digest)| (digest, r)).collect())
    }

    /// Arms whose checks ask for behaviour and are of another version than this program's: their
    /// verdicts cannot be held against anything.
    ///
    /// # Errors
    /// As [`OpenRun::probes`].
    pub fn other_checks(&self) -> Result<Vec<String>> {
        let arms = self.measured_arms(true)?;
        Ok(arms.into_iter().map(|arm| arm.id).collect())
    }

    /// Holds every verdict that rests on behaviour against `measured`, by adapter and round. All else
    /// that decides about it is taken from the log and the blobs, which [`verify()`](super::verify())
    /// has checked.
    ///
    /// # Errors
    /// [`Error::Missing`] for a pair of [`OpenRun::probes`] that was not measured; a blob that is
    /// missing or damaged.
    pub fn hold_verdicts(
        &mut self,
        measured: &BTreeMap<(Digest, u32), Probed>,
    ) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for arm in self.measured_arms(false)? {
            let checks = admission(&self.experiment, &arm)?;
            let rounds = self.state.arms.get(&arm.id).cloned().unwrap_or_default();
            for (number, state) in (0u32..).zip(&rounds) {
                let global = read_adapter(&self.blobs, &state.global)?;
                let deltas = deltas(&self.state, state, &global, &self.blobs)?;
                let of = RoundOf {
                    plan: &self.plan,
                    experiment: &self.experiment,
                    arm: &arm,
                    round: Round(number),
                    state,
                };
                let around = Around::new(of, &self.state, &self.blobs, &deltas, checks.window());
                for (client, delta) in state.clients.iter().zip(&deltas) {
                    let Some(verdict) = state.verdicts.get(client) else {
                        continue;
                    };
                    let case =
                        around.case(&mut self.evidence, client, verdict, delta.as_deref())?;
                    let Some(update) = case.attested.update else {
                        continue;
                    };
                    let probed = (
                        of_adapter(measured, update, number)?,
                        of_adapter(measured, state.global, number)?,
                    );
                    let facts = case.facts(&self.plan.authors, Some(probed));
                    let logged = verdict.verdict();
                    held.push(Held {
                        arm: arm.id.clone(),
                        round: number,
                        client: client.clone(),
                        entry: verdict.entry,
                        again: checks.gives(&facts, &logged).err(),
                        logged,
                    });
                }
            }
        }
        Ok(held)
    }

    /// Federated arms with checks that ask for behaviour: those of this program's versions, or the others.
    fn measured_arms(&self, other: bool) -> Result<Vec<Arm>> {
        let others: Others = formulas::others(&self.plan, &self.experiment, &Versions::here())?;
        let mut measured = Vec::new();
        for arm in self.experiment.all_arms()? {
            let asks = arm.kind == Kind::Federated
                && admission(&self.experiment, &arm)?.needs_behaviour()
                && others.decide(&self.experiment.checks(&arm)) == other;
            if asks {
                measured.push(arm);
            }
        }
        Ok(measured)
    }

    fn rounds_of(&self, arm: &Arm) -> impl Iterator<Item = (u32, &RoundState)> {
        let rounds = self.state.arms.get(&arm.id).into_iter().flatten();
        (0u32..).zip(rounds)
    }
}

fn of_adapter(
    measured: &BTreeMap<(Digest, u32), Probed>,
    adapter: Digest,
    round: u32,
) -> Result<&Probed> {
    let found = measured.get(&(adapter, round));
    found.ok_or_else(|| Error::Missing {
        what: format!("behaviour of adapter {} in round {round}", adapter.short()),
        hint: "measure every pair that `probes` names".into(),
    })
}

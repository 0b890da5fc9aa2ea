//! Rounds: what sampling and seeds give, verdicts against their facts, aggregations again.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;

use super::{Audit, disagrees};
use crate::controls;
use crate::error::{Error, Result};
use crate::keys::learning_rate;
use crate::law::{
    admission, advance, combine, delta, expected, key_of, median, norm, round_clients, round_seed,
    update_digests,
};
use crate::read::read_adapter;
use crate::state::{AggregatedRef, RoundState};
use fedseal_rules::admission::{Admission, Facts, Said, Verdict};
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::formulas;

impl Audit {
    /// Every round of every arm; gives the numbers of verdicts and aggregations.
    pub(super) fn rounds(&mut self) -> Result<(u64, u64)> {
        let arms = self.experiment.all_arms()?;
        let (mut verdicts, mut aggregations) = (0, 0);
        if let Some(arm) = self.state.arms.keys().find(|id| {
            !arms
                .iter()
                .any(|arm| arm.id == **id && arm.kind == Kind::Federated)
        }) {
            return Err(Error::tampered(
                format!("arm {arm}"),
                "is in the log but not in the experiment",
            ));
        }
        for arm in &arms {
            let last = self.experiment.federation.rounds;
            if !self.state.evaluated.contains_key(&(arm.id.clone(), last)) {
                return Err(Error::tampered(
                    format!("arm {}", arm.id),
                    "has no final measure",
                ));
            }
            match arm.kind {
                Kind::Base => {}
                Kind::Defended => {
                    if !self.state.defended.contains_key(&arm.id) {
                        return Err(Error::tampered(
                            format!("arm {}", arm.id),
                            "was not defended",
                        ));
                    }
                }
                Kind::Federated => {
                    let (v, a) = self.arm(arm)?;
                    verdicts += v;
                    aggregations += a;
                }
            }
        }
        Ok((verdicts, aggregations))
    }

    fn arm(&mut self, arm: &Arm) -> Result<(u64, u64)> {
        let rounds = self.state.arms.get(&arm.id).cloned().unwrap_or_default();
        if rounds.len() as u64 != u64::from(self.experiment.federation.rounds) {
            return Err(Error::tampered(
                format!("arm {}", arm.id),
                format!(
                    "has {} rounds, the experiment {}",
                    rounds.len(),
                    self.experiment.federation.rounds
                ),
            ));
        }
        let checks = admission(&self.experiment, arm)?;
        let mut optimiser = self.experiment.server_optimiser()?;
        // Nothing is computed again by a formula of another version.
        let decided = self.others.decide(&self.experiment.checks(arm));
        let ruled = self.others.get(&formulas::rule(arm.rule)).is_some();
        let moved = self.moved_otherwise();
        let mut verdicts = 0;
        for (number, state) in rounds.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.opening(arm, number, state)?;
            let before = number.checked_sub(1).and_then(|n| rounds.get(n as usize));
            self.controls(arm, number, before, state)?;
            let global = read_adapter(&self.blobs, &state.global)?;
            let mut deltas = Vec::new();
            for digest in update_digests(&self.state, state) {
                deltas.push(match digest {
                    Some(digest) => Some(delta(&read_adapter(&self.blobs, &digest)?, &global)?),
                    None => None,
                });
            }
            self.verdicts(arm, &checks, number, state, &deltas)?;
            if !decided {
                verdicts += state.verdicts.len() as u64;
            }

            let Some(AggregatedRef {
                rule,
                weights,
                global: next,
            }) = &state.aggregated
            else {
                return Err(disagrees(&arm.id, number, "was not aggregated"));
            };
            if rule != arm.rule {
                return Err(disagrees(
                    &arm.id,
                    number,
                    format!(
                        "was aggregated by `{rule}`, the arm's rule is `{}`",
                        arm.rule
                    ),
                ));
            }
            if ruled {
                continue;
            }
            let combined = combine(
                &self.plan,
                &self.experiment,
                arm,
                number,
                state,
                &deltas,
                &mut self.cache,
                &self.blobs,
            )?;
            let (again, next_again) = match combined {
                None => (
                    state
                        .clients
                        .iter()
                        .map(|client| (client.clone(), 0.0))
                        .collect(),
                    state.global,
                ),
                Some((weights, outcome)) => {
                    let next = advance(&global, &outcome.delta, optimiser.as_mut())?;
                    (weights, Digest::of(&next.to_bytes()))
                }
            };
            if *weights != again {
                return Err(disagrees(
                    &arm.id,
                    number,
                    "has other weights than its updates and verdicts give",
                ));
            }
            if !moved && *next != next_again {
                return Err(Error::mismatch(
                    format!("global adapter of arm {} after round {number}", arm.id),
                    "is not what its updates and weights give",
                    &next_again,
                    next,
                ));
            }
        }
        let aggregations = match ruled || moved {
            true => 0,
            false => rounds.len() as u64,
        };
        Ok((verdicts, aggregations))
    }

    /// Whether another version of the server optimiser moved the global adapters.
    fn moved_otherwise(&self) -> bool {
        let name = formulas::optimiser(&self.experiment.server.optimiser);
        self.others.get(&name).is_some()
    }

    fn opening(&self, arm: &Arm, number: u32, state: &RoundState) -> Result<()> {
        let bad = |problem: &str| Err(disagrees(&arm.id, number, problem));
        if state.clients != round_clients(&self.plan, &self.experiment, number) {
            return bad("has other clients than the seed gives");
        }
        if state.seed != round_seed(&self.plan, number) {
            return bad("has another seed than the run's gives");
        }
        if state.learning_rate.to_bits()
            != learning_rate(&self.experiment, Round(number))?.to_bits()
        {
            return bad("has another learning rate than the schedule gives");
        }
        Ok(())
    }

    /// Checks that the control variates are those that the round before gives.
    fn controls(
        &mut self,
        arm: &Arm,
        number: u32,
        before: Option<&RoundState>,
        state: &RoundState,
    ) -> Result<()> {
        let expected = match before {
            None => None,
            Some(before) => controls::after(
                &self.plan,
                &self.experiment,
                &self.state,
                before,
                &mut self.cache,
                &self.blobs,
                &mut |bytes| Ok(Digest::of(bytes)),
            )?,
        };
        if expected != state.controls {
            let problem = "has other control variates than the round before gives";
            return Err(disagrees(&arm.id, number, problem));
        }
        Ok(())
    }

    /// Checks that each verdict is about the update that this round's inputs determine, and is what the
    /// checks say. Canaries cannot be measured without the model: the verdict must follow from the
    /// numbers that it names, and every verdict of the round must name the same ones for an adapter.
    fn verdicts(
        &mut self,
        arm: &Arm,
        checks: &Admission,
        number: u32,
        state: &RoundState,
        deltas: &[Option<Vec<f32>>],
    ) -> Result<()> {
        let round = Round(number);
        let decided = self.others.decide(&self.experiment.checks(arm));
        let median_norm = median(
            deltas
                .iter()
                .filter_map(|d| d.as_deref().map(norm))
                .collect(),
        );
        for (client, delta) in state.clients.iter().zip(deltas) {
            let Some(verdict) = state.verdicts.get(client) else {
                return Err(disagrees(
                    &arm.id,
                    number,
                    format!("has no verdict about {client}"),
                ));
            };
            let item = || {
                format!(
                    "log entry {} (verdict about {client}, round {number}, arm {})",
                    verdict.entry, arm.id
                )
            };
            let key = key_of(&self.plan, &self.experiment, arm, client, round, state)?;
            if self.state.attestations.get(&verdict.attestation) != Some(&key) {
                return Err(Error::tampered(
                    item(),
                    format!(
                        "is about update {}, which was made from other inputs",
                        verdict.attestation
                    ),
                ));
            }
            if decided {
                continue;
            }
            let attested =
                self.cache
                    .attested(&self.blobs, &verdict.attestation, self.plan.node)?;
            let expected = expected(
                &self.plan,
                &self.experiment,
                arm,
                client,
                round,
                state,
                &self.blobs,
            )?;
            let facts = Facts {
                attested: &attested,
                expected: &expected,
                norm: delta.as_deref().map_or(0.0, norm),
                median_norm,
                behaviour: None,
                authors: &self.plan.authors,
                revoked: self
                    .state
                    .updates
                    .get(&key)
                    .and_then(|u| self.state.revoked_before(&attested.module_signer, u.entry)),
                replayed: None,
            };
            let logged = Verdict {
                effect: verdict.effect,
                weight: verdict.weight,
                check: verdict.check.clone(),
                fact: verdict.fact.clone(),
            };
            let said = checks
                .agrees(&facts, &logged)
                .map_err(|again| Error::Tampered {
                    item: item(),
                    problem: "is not what the checks say".into(),
                    expected: Some(format!(
                        "{} by {}: {}",
                        again.effect, again.check, again.fact
                    )),
                    found: Some(format!(
                        "{} by {}: {}",
                        verdict.effect, verdict.check, verdict.fact
                    )),
                })?;
            self.same_canaries(attested.update, state.global, round, &said)
                .map_err(|problem| Error::tampered(item(), problem))?;
        }
        Ok(())
    }

    /// Checks that a verdict names the same canary numbers for its update and its global adapter as
    /// every earlier verdict of the round.
    fn same_canaries(
        &mut self,
        update: Option<Digest>,
        global: Digest,
        round: Round,
        said: &[Said],
    ) -> std::result::Result<(), String> {
        let Some(update) = update else {
            return Ok(());
        };
        for Said {
            what,
            update: of_update,
            global: of_global,
        } in said.iter().copied()
        {
            for (adapter, number) in [(update, of_update), (global, of_global)] {
                let earlier = *self
                    .canary_numbers
                    .entry((adapter, round, what))
                    .or_insert(number);
                if earlier.to_bits() != number.to_bits() {
                    return Err(format!(
                        "gives adapter {} {what} of {number:.2}, another verdict of the round {earlier:.2}",
                        adapter.short()
                    ));
                }
            }
        }
        Ok(())
    }
}

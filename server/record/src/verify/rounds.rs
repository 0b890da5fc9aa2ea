//! Rounds: what sampling and seeds give, verdicts against their facts, aggregations again.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;

use super::behaviour::Around;
use super::disagrees;
use crate::controls;
use crate::error::{Error, Result};
use crate::keys::learning_rate;
use crate::law::{admission, advance, deltas, round_clients, round_seed};
use crate::opened::OpenRun;
use crate::read::read_adapter;
use crate::round::RoundOf;
use crate::state::{AggregatedRef, RoundState};
use fedseal_rules::admission::{Admission, Said, Verdict};
use fedseal_rules::aggregation::{Need, ServerInput};
use fedseal_rules::arms::{Arm, Kind, When};
use fedseal_rules::formulas::{self, Others};
use fedseal_rules::optimiser::Optimiser;

impl OpenRun {
    /// Every round of every arm; gives the numbers of verdicts and aggregations.
    pub(super) fn rounds(&mut self, others: &Others) -> Result<(u64, u64)> {
        let arms = self.experiment.all_arms()?;
        let (mut verdicts, mut aggregations) = (0, 0);
        let mut numbers = CanaryNumbers::default();
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
            let begins = arm
                .tunes
                .as_ref()
                .is_some_and(|tunes| tunes.when == When::First);
            if begins != self.state.begun.contains_key(&arm.id) {
                return Err(Error::tampered(
                    format!("arm {}", arm.id),
                    "was not tuned before its first round, or was and the experiment does not say so",
                ));
            }
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
                    let (v, a) = self.arm(arm, others, &mut numbers)?;
                    verdicts += v;
                    aggregations += a;
                }
            }
        }
        Ok((verdicts, aggregations))
    }

    fn arm(
        &mut self,
        arm: &Arm,
        others: &Others,
        numbers: &mut CanaryNumbers,
    ) -> Result<(u64, u64)> {
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
        // Nothing is computed again by a formula of another version.
        let checks = match others.decide(&self.experiment.checks(arm)) {
            true => None,
            false => Some(admission(&self.experiment, arm)?),
        };
        let ruled = others.get(&formulas::rule(arm.rule)).is_some();
        let optimiser = formulas::optimiser(self.experiment.optimiser(arm));
        let moved = others.get(&optimiser).is_some();
        let mut optimiser = self.experiment.server_optimiser(arm)?;
        let (mut verdicts, mut aggregations) = (0, 0);
        for (number, state) in (0u32..).zip(&rounds) {
            self.opening(arm, number, state)?;
            let before = number.checked_sub(1).and_then(|n| rounds.get(n as usize));
            self.controls(arm, number, before, state)?;
            let global = read_adapter(&self.blobs, &state.global)?;
            let deltas = deltas(&self.state, state, &global, &self.blobs)?;
            self.verdicts(arm, checks.as_ref(), number, state, &deltas, numbers)?;
            verdicts += checks.as_ref().map_or(0, |_| state.verdicts.len() as u64);
            self.server_input(arm, number, state, before, ruled)?;
            let due = arm.tunes.as_ref().is_some_and(|tunes| tunes.after(number));
            if due != state.tuned.is_some() {
                let problem = "was not tuned on the server as the experiment says";
                return Err(disagrees(&arm.id, number, problem));
            }
            let logged = logged(arm, number, state)?;
            if ruled {
                continue;
            }
            let next =
                self.aggregation(arm, number, state, &global, &deltas, optimiser.as_mut())?;
            if moved {
                continue;
            }
            if logged.global != next {
                return Err(Error::mismatch(
                    format!("global adapter of arm {} after round {number}", arm.id),
                    "is not what its updates and weights give",
                    &next,
                    &logged.global,
                ));
            }
            aggregations += 1;
        }
        Ok((verdicts, aggregations))
    }

    /// Checks that the server's input is there where the rule asks for it, and that what it learned once is the
    /// same in every round, with what the rule remembers of the clients, unless it is `ruled` by another version.
    /// Training and measuring again is for a replay.
    fn server_input(
        &mut self,
        arm: &Arm,
        number: u32,
        state: &RoundState,
        before: Option<&RoundState>,
        ruled: bool,
    ) -> Result<()> {
        let rule = self.experiment.aggregation.rule(arm.rule)?;
        let need = rule.input();
        if need.is_some() != state.input.is_some() {
            let problem =
                "has an input of the server's that its rule does not ask for, or lacks it";
            return Err(disagrees(&arm.id, number, problem));
        }
        if need != Some(Need::Simulated) || (ruled && rule.remembers()) {
            return Ok(());
        }
        let Some(before) = before else {
            let Some((data, _)) = state.input.filter(|_| rule.remembers()) else {
                return Ok(());
            };
            let item = || format!("server's input to round {number} of arm {}", arm.id);
            let input = ServerInput::from_bytes(&self.blobs.get(&data)?)
                .map_err(|error| Error::tampered(item(), error))?;
            return match rule.remembers_nobody(&input) {
                true => Ok(()),
                false => Err(Error::tampered(
                    item(),
                    "remembers clients before the first round",
                )),
            };
        };
        let mut expected = before.input;
        if rule.remembers() {
            let of = RoundOf {
                plan: &self.plan,
                experiment: &self.experiment,
                arm,
                round: Round(number.saturating_sub(1)),
                state: before,
            };
            let global = read_adapter(&self.blobs, &before.global)?;
            let deltas = deltas(&self.state, before, &global, &self.blobs)?;
            let next = of.next_input(&deltas, &mut self.evidence, &self.blobs)?;
            if let Some(next) = next {
                expected = Some((Digest::of(&next.to_bytes()?), None));
            }
        }
        if expected != state.input {
            let problem = "has another input of the server's than the round before gives";
            return Err(disagrees(&arm.id, number, problem));
        }
        Ok(())
    }

    fn opening(&self, arm: &Arm, number: u32, state: &RoundState) -> Result<()> {
        let bad = |problem: &str| Err(disagrees(&arm.id, number, problem));
        if state.clients != round_clients(&self.plan, &self.experiment, arm, number) {
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
                RoundOf {
                    plan: &self.plan,
                    experiment: &self.experiment,
                    arm,
                    round: Round(number.saturating_sub(1)),
                    state: before,
                },
                &self.state,
                &mut self.evidence,
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
    /// Without `checks` the first is all that is checked.
    fn verdicts(
        &mut self,
        arm: &Arm,
        checks: Option<&Admission>,
        number: u32,
        state: &RoundState,
        deltas: &[Option<Vec<f32>>],
        numbers: &mut CanaryNumbers,
    ) -> Result<()> {
        let of = RoundOf {
            plan: &self.plan,
            experiment: &self.experiment,
            arm,
            round: Round(number),
            state,
        };
        let window = checks.map_or(0, Admission::window);
        let around = Around::new(of, &self.state, &self.blobs, deltas, window);
        let keys = of.update_keys()?;
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
            let key = keys.of(client)?;
            if self.state.attestations.get(&verdict.attestation) != Some(&key) {
                return Err(Error::tampered(
                    item(),
                    format!(
                        "is about update {}, which was made from other inputs",
                        verdict.attestation
                    ),
                ));
            }
            let Some(checks) = checks else {
                continue;
            };
            let case = around.case(&mut self.evidence, client, verdict, delta.as_deref())?;
            let facts = case.facts(&self.plan.authors, None);
            let logged = verdict.verdict();
            let said = checks
                .agrees(&facts, &logged)
                .map_err(|again| Error::Tampered {
                    item: item(),
                    problem: "is not what the checks say".into(),
                    expected: Some(in_words(&again)),
                    found: Some(in_words(&logged)),
                })?;
            numbers
                .agree(case.attested.update, state.global, of.round, &said)
                .map_err(|problem| Error::tampered(item(), problem))?;
        }
        Ok(())
    }

    /// Checks that the arm's rule, applied again, gives the logged weights, and a device's aggregate but for
    /// rounding. Returns the next global adapter.
    fn aggregation(
        &mut self,
        arm: &Arm,
        number: u32,
        state: &RoundState,
        global: &Adapter,
        deltas: &[Option<Vec<f32>>],
        optimiser: &mut dyn Optimiser,
    ) -> Result<Digest> {
        let of = RoundOf {
            plan: &self.plan,
            experiment: &self.experiment,
            arm,
            round: Round(number),
            state,
        };
        let again = of.combine(deltas, &mut self.evidence, &self.blobs)?;
        let next = match of.held(again.outcome, global, &self.blobs)? {
            None => state.global,
            Some(delta) => Digest::of(&advance(global, &delta, optimiser)?.to_bytes()),
        };
        if logged(arm, number, state)?.weights != again.weights {
            let problem = "has other weights than its updates and verdicts give";
            return Err(disagrees(&arm.id, number, problem));
        }
        Ok(next)
    }
}

/// The logged aggregation of a round, by the arm's rule.
fn logged<'a>(arm: &Arm, number: u32, state: &'a RoundState) -> Result<&'a AggregatedRef> {
    let bad = |problem: String| Err(disagrees(&arm.id, number, problem));
    match &state.aggregated {
        None => bad("was not aggregated".into()),
        Some(logged) if logged.rule != arm.rule => bad(format!(
            "was aggregated by `{}`, the arm's rule is `{}`",
            logged.rule, arm.rule
        )),
        Some(logged) => Ok(logged),
    }
}

fn in_words(verdict: &Verdict) -> String {
    let Verdict {
        effect,
        check,
        fact,
        ..
    } = verdict;
    format!("{effect} by {check}: {fact}")
}

/// Canary numbers of an adapter in a round by measure, as verdicts name them.
#[derive(Default)]
struct CanaryNumbers(BTreeMap<(Digest, Round, &'static str), f64>);

impl CanaryNumbers {
    /// Checks that a verdict names the same canary numbers for its update and its global adapter as
    /// every earlier verdict of the round.
    fn agree(
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
                let earlier = *self.0.entry((adapter, round, what)).or_insert(number);
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

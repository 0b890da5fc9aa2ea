//! One round in every arm: open, execute, admit, aggregate, measure.

use std::collections::BTreeMap;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_client_sdk::record::{DeviceAggregate, Record};
use fedseal_tuning::Adapter;

use super::candidates::{Around, Candidate};
use super::each::each;
use super::job::{Job, MeasureJob, UpdateJob};
use super::{Run, Watch};
use crate::device::OnDevice;
use crate::execute::Contents;
use crate::work::task::UpdateTask;
use crate::{Error, Result};
use fedseal_record::controls;
use fedseal_record::events::Event;
use fedseal_record::keys::{evaluation_key, learning_rate};
use fedseal_record::law::{
    Combined, admission, advance, delta, round_clients, round_seed, update_digests,
};
use fedseal_record::report::Progress;
use fedseal_record::round::RoundOf;
use fedseal_record::state::RoundState;
use fedseal_rules::admission::{Admission, Verdict};
use fedseal_rules::aggregation::Need;
use fedseal_rules::arms::{Arm, Kind};
use fedseal_rules::optimiser::Optimiser;

impl Run {
    pub(super) fn federated(&self) -> Vec<Arm> {
        self.arms
            .iter()
            .filter(|arm| arm.kind == Kind::Federated)
            .cloned()
            .collect()
    }

    /// Whatever is left of a round in every arm.
    pub(super) fn round(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        if self.state.arms.is_empty() {
            self.warn(watch)?;
        }
        self.log_revoked_authors()?;
        self.open_round(round)?;
        self.execute_updates(round, watch)?;
        self.probe_canaries(round, watch)?;
        self.demanded_replays(round, watch)?;
        self.server_inputs(round, watch)?;
        for arm in self.federated() {
            self.admit_and_aggregate(&arm, round, watch)?;
        }
        self.tune_after(round, watch)?;
        self.measure_round(round, watch)?;
        self.forget_updates();
        Ok(())
    }

    /// Forgets the adapters of updates, whose round is over in every arm; those that the next one begins with stay.
    fn forget_updates(&mut self) {
        let initial = self.shared.plan.initial;
        let arms = self.arms.iter();
        let globals: Vec<Digest> = arms
            .map(|arm| self.state.global(&arm.id, initial))
            .collect();
        let forgotten = std::mem::take(&mut self.adapters);
        let kept = globals
            .iter()
            .filter_map(|digest| forgotten.get_key_value(digest));
        self.adapters = kept.map(|(digest, it)| (*digest, it.clone())).collect();
        // Giving back their memory takes as long as some executions do. Without a thread it is done here.
        let _ = std::thread::Builder::new().spawn(move || drop(forgotten));
    }

    /// Tells of arms whose rule's guarantee does not hold, before the first round.
    fn warn(&mut self, watch: Watch<'_>) -> Result<()> {
        for arm in self.federated() {
            for warning in self.shared.experiment.warnings(&arm)? {
                let text = format!("arm {}: {warning}", arm.id);
                self.tell(watch, &Event::Note { text })?;
            }
        }
        Ok(())
    }

    fn open_round(&mut self, round: u32) -> Result<()> {
        let shared = self.shared.clone();
        for arm in self.federated() {
            if self.state.round(&arm.id, round).is_some() {
                continue;
            }
            let global = self.state.global(&arm.id, shared.plan.initial);
            let before = round
                .checked_sub(1)
                .and_then(|before| self.state.round(&arm.id, before));
            let controls = match before {
                None => None,
                Some(before) => controls::after(
                    shared.round_of(&arm, Round(round.saturating_sub(1)), before),
                    &self.state,
                    &mut self.cache,
                    &self.blobs,
                    &mut |bytes| Ok(self.blobs.put(bytes)?),
                )?,
            };
            self.append(&Record::RoundOpened {
                arm: arm.id.clone(),
                round: Round(round),
                clients: round_clients(&shared.plan, &shared.experiment, &arm, round),
                global,
                seed: round_seed(&shared.plan, round),
                learning_rate: learning_rate(&shared.experiment, Round(round))?,
                controls,
            })?;
        }
        self.publish()
    }

    /// Arms whose round is not aggregated yet.
    pub(super) fn open_arms(&self, round: u32) -> Vec<(Arm, RoundState)> {
        self.federated()
            .into_iter()
            .filter_map(|arm| {
                let state = self.state.round(&arm.id, round)?.clone();
                state.aggregated.is_none().then_some((arm, state))
            })
            .collect()
    }

    fn execute_updates(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let mut jobs: BTreeMap<Digest, Job> = BTreeMap::new();
        let mut order = Vec::new();
        let mut elsewhere: BTreeMap<Digest, UpdateTask> = BTreeMap::new();
        let mut already = 0;
        for (arm, state) in self.open_arms(round) {
            let of = shared.round_of(&arm, Round(round), &state);
            let keys = self.update_keys(of)?;
            for (client, key) in state.clients.iter().zip(keys.iter().copied()) {
                if self.state.updates.contains_key(&key)
                    || jobs.contains_key(&key)
                    || elsewhere.contains_key(&key)
                {
                    already += 1;
                    continue;
                }
                if shared.plan.node_of(client).is_some() {
                    elsewhere.insert(key, UpdateTask::of(of, client, key)?);
                    continue;
                }
                let job = self.update_job(of, client, key)?;
                jobs.insert(key, Job::Update(Box::new(job)));
                order.push(key);
            }
        }
        // What another arm has executed counts as done here too.
        self.progress.done += already;
        let jobs = order.iter().filter_map(|key| jobs.remove(key)).collect();
        self.execute_jobs(jobs, watch)?;
        self.collect(round, elsewhere.into_values().collect(), watch)
    }

    /// Memo keys of a round's updates, in the order of its clients; those of one round are kept.
    pub(super) fn update_keys(&mut self, of: RoundOf<'_>) -> Result<Arc<Vec<Digest>>> {
        let place = (of.arm.id.clone(), of.round);
        if let Some(keys) = self.update_keys.get(&place) {
            return Ok(keys.clone());
        }
        let keys = of.update_keys()?;
        let key = |client: &ClientId| keys.of(client);
        let keys = Arc::new(each(&of.state.clients, self.workers, key)?);
        self.update_keys.retain(|(_, round), _| *round == of.round);
        self.update_keys.insert(place, keys.clone());
        Ok(keys)
    }

    pub(super) fn update_job(
        &mut self,
        of: RoundOf<'_>,
        client: &ClientId,
        key: Digest,
    ) -> Result<UpdateJob> {
        let task = UpdateTask::of(of, client, key)?;
        let contents = Contents {
            shard: self.examples(&task.shard)?,
            attachment: match &task.attachment {
                Some(digest) => self.examples(digest)?,
                None => Arc::default(),
            },
            global: self.adapter(&task.global)?,
            control: crate::control::of(&self.blobs, task.controls, client)?,
        };
        Ok(UpdateJob::of(
            &self.shared.plan,
            &self.shared.experiment,
            &task,
            contents,
        ))
    }

    /// Runs the updates and global adapters of arms with behaviour checks on the canaries.
    fn probe_canaries(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let mut wanted = Vec::new();
        for (arm, state) in self.open_arms(round) {
            let checked = admission(&shared.experiment, &arm)?.needs_behaviour();
            let rule = shared.experiment.aggregation.rule(arm.rule)?;
            if !checked && rule.input() != Some(Need::Behaviour) {
                continue;
            }
            wanted.push(state.global);
            let keys = self.update_keys(shared.round_of(&arm, Round(round), &state))?;
            let updates = keys.iter().filter_map(|key| self.state.updates.get(key));
            wanted.extend(updates.filter_map(|update| update.update));
        }
        wanted.sort();
        wanted.dedup();
        wanted.retain(|digest| !self.probed.contains_key(&(*digest, round)));
        let mut jobs = Vec::new();
        for digest in wanted {
            let adapter = self.adapter(&digest)?;
            jobs.push(Job::Probe {
                digest,
                adapter,
                round,
            });
        }
        self.execute_jobs(jobs, watch)
    }

    /// Verdicts about every sampled client's update, then the next global adapter.
    fn admit_and_aggregate(&mut self, arm: &Arm, round: u32, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let Some(state) = self.state.round(&arm.id, round).cloned() else {
            return Ok(());
        };
        if state.aggregated.is_some() {
            return Ok(());
        }
        let checks = admission(&shared.experiment, arm)?;
        let global = self.adapter(&state.global)?;
        let of = shared.round_of(arm, Round(round), &state);
        let (candidates, around) = self.candidates(of, checks.window())?;
        // What is said of them is written together, also where somebody stops it.
        self.feed.hold();
        let judged = self.judge(of, &checks, &candidates, &around, watch);
        self.feed.release()?;
        judged?;
        // One checkpoint for the round's verdicts and what follows from them.
        let deltas: Vec<Option<Vec<f32>>> = candidates.into_iter().map(|c| c.delta).collect();
        self.aggregate(arm, round, &global, &deltas, watch)
    }

    /// Verdicts about the updates of a round that have none yet.
    fn judge(
        &mut self,
        of: RoundOf<'_>,
        checks: &Admission,
        candidates: &[Candidate],
        around: &Around,
        watch: Watch<'_>,
    ) -> Result<()> {
        for candidate in candidates {
            if of.state.verdicts.contains_key(&candidate.client) {
                continue;
            }
            let verdict = self.with_facts(of, candidate, around, |facts| checks.decide(facts))?;
            let id = candidate.update.attestation;
            self.log_verdict(of.arm, of.round, &candidate.client, id, &verdict, watch)?;
        }
        Ok(())
    }

    fn log_verdict(
        &mut self,
        arm: &Arm,
        round: Round,
        client: &ClientId,
        attestation: Digest,
        verdict: &Verdict,
        watch: Watch<'_>,
    ) -> Result<()> {
        self.append(&Record::Verdict {
            arm: arm.id.clone(),
            round,
            client: client.clone(),
            attestation,
            effect: verdict.effect,
            weight: verdict.weight,
            check: verdict.check.clone(),
            fact: verdict.fact.clone(),
        })?;
        let event = Event::Verdict {
            arm: arm.id.clone(),
            round: round.0,
            client: client.to_string(),
            effect: verdict.effect,
            check: verdict.check.clone(),
            fact: verdict.fact.clone(),
        };
        self.tell(watch, &event)
    }

    fn aggregate(
        &mut self,
        arm: &Arm,
        round: u32,
        global: &Adapter,
        deltas: &[Option<Vec<f32>>],
        watch: Watch<'_>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let Some(state) = self.state.round(&arm.id, round).cloned() else {
            return Ok(());
        };
        let mut optimiser = match self.optimisers.remove(&arm.id) {
            Some((seen, optimiser)) if seen == round => optimiser,
            _ => self.optimiser(arm, round)?,
        };
        let of = shared.round_of(arm, Round(round), &state);
        let tensors = OnDevice(shared.lab.device());
        let Combined {
            weights,
            outcome,
            on_device,
        } = of.combine_on(Some(&tensors), deltas, &mut self.cache, &self.blobs)?;
        let mut device = None;
        let next = match outcome {
            // Everything was refused: the global adapter stays.
            None => state.global,
            Some(outcome) => {
                if on_device {
                    let delta = global.from_flat(&outcome.delta).map_err(Error::model)?;
                    device = Some(DeviceAggregate {
                        device: tensors.name().to_owned(),
                        delta: self.blobs.put(&delta.to_bytes())?,
                    });
                }
                let next = advance(global, &outcome.delta, optimiser.as_mut())?;
                self.put_adapter(next)?
            }
        };
        let counted = weights.iter().filter(|(_, weight)| *weight > 0.0).count();
        self.append(&Record::Aggregated {
            arm: arm.id.clone(),
            round: Round(round),
            rule: arm.rule.to_owned(),
            weights,
            global: next,
            device,
        })?;
        self.optimisers
            .insert(arm.id.clone(), (round + 1, optimiser));
        self.publish()?;
        let event = Event::Round {
            arm: arm.id.clone(),
            round,
            global: next.to_string(),
            counted,
            unchanged: next == state.global,
        };
        self.tell(watch, &event)?;
        self.step(watch, format!("{}: round {round} aggregated", arm.id))
    }

    /// An arm's server optimiser after some rounds. Its state is a function of the deltas so far: it is rebuilt
    /// from the log, so that a resumed run has the same one. A plain one has no state to rebuild.
    fn optimiser(&mut self, arm: &Arm, seen: u32) -> Result<Box<dyn Optimiser>> {
        let shared = self.shared.clone();
        let mut optimiser = shared.experiment.server_optimiser(arm)?;
        if shared.experiment.optimiser(arm) != "plain" {
            let rounds = self.state.arms.get(&arm.id).cloned().unwrap_or_default();
            for (number, state) in (0..seen).zip(&rounds) {
                let global = self.adapter(&state.global)?;
                let deltas = self.deltas(state, &global)?;
                let of = shared.round_of(arm, Round(number), state);
                if let Some(delta) = of.aggregate(&deltas, &mut self.cache, &self.blobs)? {
                    optimiser.step(&delta);
                }
            }
        }
        Ok(optimiser)
    }

    /// The deltas of a round's updates, in client order.
    pub(super) fn deltas(
        &mut self,
        state: &RoundState,
        global: &Adapter,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let updates = update_digests(&self.state, state);
        let mut deltas = Vec::new();
        for digest in updates {
            deltas.push(match digest {
                Some(digest) => {
                    let local = self.adapter(&digest)?;
                    Some(delta(&local, global)?)
                }
                None => None,
            });
        }
        Ok(deltas)
    }

    fn measure_round(&mut self, round: u32, watch: Watch<'_>) -> Result<()> {
        let evaluation = self.shared.experiment.evaluation.clone();
        let rounds = self.shared.experiment.federation.rounds;
        // The last round is measured in full.
        if evaluation.every == 0
            || !(round + 1).is_multiple_of(evaluation.every)
            || round + 1 == rounds
        {
            return Ok(());
        }
        let places = self
            .federated()
            .iter()
            .map(|arm| {
                let global = self.state.global(&arm.id, self.shared.plan.initial);
                (arm.id.clone(), round, global)
            })
            .collect();
        self.measure(
            places,
            evaluation.round_prompts,
            evaluation.round_tasks,
            watch,
        )
    }

    /// Measures adapters at (arm, round) places, as far as that is missing; equal ones once.
    pub(super) fn measure(
        &mut self,
        places: Vec<(String, u32, Digest)>,
        requests: usize,
        tasks: usize,
        watch: Watch<'_>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let mut jobs: Vec<MeasureJob> = Vec::new();
        for (arm, round, digest) in places {
            if self.state.evaluated.contains_key(&(arm.clone(), round)) {
                continue;
            }
            let key = evaluation_key(&shared.plan, &shared.experiment, digest, requests, tasks)?;
            if let Some(result) = self.state.evaluations.get(&key).copied() {
                self.log_measure(&[(arm, round)], key, digest, result, watch)?;
                continue;
            }
            if let Some(job) = jobs.iter_mut().find(|job| job.key == key) {
                job.places.push((arm, round));
                continue;
            }
            // The first adapter does nothing yet: it is the base, and cheaper without it.
            let adapter = match digest == shared.plan.initial {
                true => None,
                false => Some(self.adapter(&digest)?),
            };
            jobs.push(MeasureJob {
                key,
                places: vec![(arm, round)],
                digest,
                adapter,
                requests,
                tasks,
            });
        }
        self.execute_jobs(jobs.into_iter().map(Job::Measure).collect(), watch)
    }

    /// Steps in all and steps done, from the state.
    pub(super) fn count_progress(&self) -> Progress {
        let experiment = &self.shared.experiment;
        let federated = self.federated();
        let rounds = u64::from(experiment.federation.rounds);
        let sampled = experiment.federation.sampled as u64;
        let arms = federated.len() as u64;
        let every = u64::from(experiment.evaluation.every);
        let between = (rounds - 1).checked_div(every).unwrap_or(0);
        let defended = self
            .arms
            .iter()
            .filter(|arm| arm.kind == Kind::Defended)
            .count() as u64;
        // A client that is left out of an arm has no step there.
        let plan = &self.shared.plan;
        let fewer = plan.clients.iter().any(|client| client.absent);
        let steps = |arm: &Arm| match fewer && !arm.attacked {
            false => rounds * (sampled + 1),
            true => (0..experiment.federation.rounds)
                .map(|round| round_clients(plan, experiment, arm, round).len() as u64 + 1)
                .sum(),
        };
        let in_rounds: u64 = federated.iter().map(steps).sum();
        let tuned = self.count_tunings();
        let total = in_rounds + arms * between + self.arms.len() as u64 + defended + tuned.total;
        let results = self.state.evaluated.len() + self.state.defended.len();
        let mut done = results as u64 + tuned.done;
        for arm in &federated {
            for state in self.state.arms.get(&arm.id).into_iter().flatten() {
                if state.aggregated.is_some() {
                    done += state.clients.len() as u64 + 1;
                }
            }
        }
        Progress {
            done: done.min(total),
            total,
            label: "begun".into(),
        }
    }
}

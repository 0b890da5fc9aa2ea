//! Jobs that run in parallel on worker threads, and how their results get into the log.

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_tuning::Adapter;

use super::evidence::{self, Evidence};
use super::job::{DefendJob, Done, Job, MeasureJob, Performed};
use super::perform::{compared, engine, perform, perform_in};
use super::pool::run_by;
use super::{Run, Watch};
use crate::Result;
use fedseal_record::blobs::{DefenceData, Measured};
use fedseal_record::events::Event;
use fedseal_record::law::{delta, norm};
use fedseal_record::repairs::Moment;

impl Run {
    /// Executes jobs in parallel; each result is in the log before the next one is looked at. Where the run
    /// lends jobs, other processes take part.
    pub(super) fn execute_jobs(&mut self, jobs: Vec<Job>, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let key = self.node.clone();
        let (workers, lent) = (self.workers, self.lent.clone());
        // Both closures below are called on this thread alone and never at once.
        let watch = std::cell::RefCell::new(watch);
        let done = |batch| {
            let mut watch = watch.borrow_mut();
            self.take_in_batch(batch, &mut **watch)
        };
        let tick = || {
            let mut watch = watch.borrow_mut();
            (**watch)(&Event::Tick)
        };
        let Some(lent) = lent else {
            let engine = engine(&shared);
            return run_by(
                workers,
                jobs,
                &shared.cancel,
                |hands| {
                    shared.executor.session(&engine, &mut |session| {
                        hands.each(|job| signed(perform_in(&shared, session, job)?, &key));
                    })
                },
                done,
                tick,
            );
        };
        let work = |job| signed(perform(&shared, job)?, &key);
        let plan = Digest::of_json(&shared.plan)?;
        let named = jobs.into_iter().map(|job| Ok((job.task(plan).id()?, job)));
        let named = named.collect::<Result<_>>()?;
        lent.run(workers, named, &shared.cancel, work, done, tick)
    }

    /// Takes in results that came together; updates that follow one another share their writes.
    fn take_in_batch(&mut self, batch: Vec<Result<Done>>, watch: Watch<'_>) -> Result<()> {
        let mut updates = Vec::new();
        for done in batch {
            match done {
                Ok(Done::Update(evidence)) => updates.push(*evidence),
                other => {
                    // What was executed before a failure counts.
                    self.take_in_updates(std::mem::take(&mut updates), watch)?;
                    self.take_in(other?, watch)?;
                }
            }
        }
        self.take_in_updates(updates, watch)
    }

    fn take_in(&mut self, done: Done, watch: Watch<'_>) -> Result<()> {
        match done {
            Done::Update(evidence) => self.take_in_updates(vec![*evidence], watch),
            Done::Other(performed) => self.take_in_performed(*performed, watch),
            Done::Compared {
                attestation,
                replay,
            } => {
                self.replays.insert(attestation, replay);
                Ok(())
            }
        }
    }

    fn take_in_performed(&mut self, performed: Performed, watch: Watch<'_>) -> Result<()> {
        match performed {
            Performed::Update(stated) => {
                let evidence = stated.signed(&self.node)?;
                self.take_in_updates(vec![evidence], watch)
            }
            Performed::Probe {
                digest,
                round,
                probed,
            } => {
                self.probed.insert((digest, round), probed);
                Ok(())
            }
            Performed::Replay {
                attestation,
                outcome,
            } => {
                let shared = self.shared.clone();
                let attested = self
                    .cache
                    .attested(&self.blobs, &attestation, &shared.plan)?;
                let blobs = self.blobs.clone();
                let global = || self.adapter(&attested.global);
                let replay = compared(&shared, &attested, &outcome, global, &blobs)?;
                self.replays.insert(attestation, replay);
                Ok(())
            }
            Performed::Measure { job, measured } => self.take_in_measure(job, &measured, watch),
            Performed::Input {
                job,
                adapter,
                input,
            } => self.log_input(&job.arm, job.round, adapter, &input),
            Performed::Defend { job, adapter, data } => {
                self.take_in_repair(&job, adapter, &data, watch)
            }
        }
    }

    fn take_in_repair(
        &mut self,
        job: &DefendJob,
        adapter: Adapter,
        data: &DefenceData,
        watch: Watch<'_>,
    ) -> Result<()> {
        let arm = &job.repair.arm;
        let counts: Vec<String> = data
            .shown()
            .into_iter()
            .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
            .collect();
        // The length of the step is what a control by noise is given.
        let step = match adapter.same_shape(&job.attacked) {
            true => format!("step of norm {:.4}", norm(&delta(&adapter, &job.attacked)?)),
            false => "an adapter of another kind".to_owned(),
        };
        let text = format!(
            "{arm}: defence {}, {step}; {}",
            data.defence,
            counts.join(", ")
        );
        let data = self.blobs.put(&data.to_bytes()?)?;
        let adapter = self.put_adapter(adapter)?;
        let arm = arm.clone();
        let (record, done) = match job.moment {
            Moment::Last => {
                let done = format!("{arm}: adapter repaired");
                (Record::Defended { arm, adapter, data }, done)
            }
            moment => {
                let round = match moment {
                    Moment::After(round) => Some(Round(round)),
                    Moment::First | Moment::Last => None,
                };
                let done = format!("{arm}: adapter tuned on the server");
                let record = Record::Tuned {
                    arm,
                    round,
                    adapter,
                    data,
                };
                (record, done)
            }
        };
        self.append(&record)?;
        self.publish()?;
        self.tell(watch, &Event::Note { text })?;
        self.step(watch, done)
    }

    /// Stores and logs executions: their blobs are durable before the records that name them.
    pub(super) fn take_in_updates(&mut self, all: Vec<Evidence>, watch: Watch<'_>) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        evidence::store(&self.blobs, &all)?;
        for evidence in &all {
            self.append(&evidence.record)?;
        }
        self.publish()?;
        // What is said of them is written together, also where somebody stops it.
        self.feed.hold();
        let mut told = Ok(());
        for evidence in all {
            told = self.tell_update(evidence, watch);
            if told.is_err() {
                break;
            }
        }
        self.feed.release()?;
        told
    }

    fn tell_update(&mut self, evidence: Evidence, watch: Watch<'_>) -> Result<()> {
        let predicate = evidence.predicate;
        let (client, round) = (predicate.client.clone(), predicate.round);
        if let Some((digest, adapter)) = evidence.adapter {
            self.remember_adapter(digest, adapter);
        }
        if !evidence.log.is_empty() {
            let said = Event::Said {
                client: client.to_string(),
                round: round.0,
                arms: self.arms_of(&evidence.record, &client, round)?,
                lines: evidence.log,
            };
            self.tell(watch, &said)?;
        }
        let event = Event::Update {
            client: client.to_string(),
            round: round.0,
            update: evidence.attestation.to_string(),
            seconds: predicate.seconds,
            failure: predicate
                .failure
                .as_ref()
                .map(|f| format!("{}: {}", f.reason, f.detail)),
        };
        self.cache.remember(evidence.attestation, predicate);
        self.tell(watch, &event)?;
        self.step(watch, format!("round {round}: {client} executed"))
    }

    /// Arms of a round that an execution is of.
    fn arms_of(&self, record: &Record, client: &ClientId, round: Round) -> Result<Vec<String>> {
        let Record::Update { key, .. } = record else {
            return Ok(Vec::new());
        };
        let mut arms = Vec::new();
        for arm in &self.arms {
            let state = self.state.round(&arm.id, round.0);
            let Some(state) = state.filter(|state| state.aggregated.is_none()) else {
                continue;
            };
            let of = self.shared.round_of(arm, round, state);
            if state.clients.contains(client) && of.update_key(client)? == *key {
                arms.push(arm.id.clone());
            }
        }
        Ok(arms)
    }

    fn take_in_measure(
        &mut self,
        job: MeasureJob,
        measured: &Measured,
        watch: Watch<'_>,
    ) -> Result<()> {
        let result = self.blobs.put(&canonical::to_vec(measured)?)?;
        self.log_measure(&job.places, job.key, job.digest, result, watch)
    }

    /// Logs a result for every place it answers.
    pub(super) fn log_measure(
        &mut self,
        places: &[(String, u32)],
        key: Digest,
        adapter: Digest,
        result: Digest,
        watch: Watch<'_>,
    ) -> Result<()> {
        for (arm, round) in places {
            self.append(&Record::Evaluated {
                key,
                arm: arm.clone(),
                round: Round(*round),
                adapter,
                result,
            })?;
        }
        self.publish()?;
        let rounds = self.shared.experiment.federation.rounds;
        let (safety, helpfulness) = self.cache.rates(&self.blobs, &result)?;
        for (arm, round) in places {
            let event = Event::Evaluated {
                arm: arm.clone(),
                round: *round,
                last: *round == rounds,
                safety,
                helpfulness,
            };
            self.tell(watch, &event)?;
            self.step(watch, format!("{arm}: measured"))?;
        }
        Ok(())
    }
}

/// A job that was done on a thread of this process, with a signature where a module did it.
fn signed(performed: Performed, key: &SigningKey) -> Result<Done> {
    Ok(match performed {
        Performed::Update(stated) => Done::Update(Box::new(stated.signed(key)?)),
        other => Done::Other(Box::new(other)),
    })
}

//! Jobs that run in parallel on worker threads, and how their results get into the log.

use std::sync::Arc;
use std::time::Instant;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_client_sdk::record::Record;
use fedseal_sandbox::{RunInput, RunOutcome};
use fedseal_tuning::Adapter;

use super::canary;
use super::evidence::{self, Attester, Evidence, Execution};
use super::measure::Meter;
use super::pool::run_jobs;
use super::{Run, Shared, Watch};
use crate::defence::{Tools, mend};
use crate::execute::{Stoppable, data_score};
use crate::replay;
use crate::{Error, Result};
use fedseal_record::blobs::{DefenceData, Measured};
use fedseal_record::events::Event;
use fedseal_record::law::{delta, norm};
use fedseal_record::repairs::Repair;
use fedseal_rules::admission::{Behaviour, Replay};

/// One thing to execute.
pub(super) enum Job {
    /// A client's module.
    Update(Box<UpdateJob>),
    /// A client's module again, to be compared with the attestation of this digest.
    Replay(Digest, Box<UpdateJob>),
    /// An adapter on a round's canaries.
    Probe {
        digest: Digest,
        adapter: Arc<Adapter>,
        round: u32,
    },
    /// An adapter on the evaluation prompts.
    Measure(MeasureJob),
    /// A defence.
    Defend(DefendJob),
}

/// A client's module, to be executed.
pub(super) struct UpdateJob {
    pub key: Digest,
    pub client: ClientId,
    pub round: Round,
    pub seed: Seed,
    pub module: Digest,
    pub global: Digest,
    pub input: RunInput,
}

/// A measure, to be taken.
pub(super) struct MeasureJob {
    pub key: Digest,
    /// Every (arm, round) that it answers.
    pub places: Vec<(String, u32)>,
    pub digest: Digest,
    /// None: the base alone.
    pub adapter: Option<Arc<Adapter>>,
    pub requests: usize,
    pub tasks: usize,
}

/// A repair, to be made.
pub(super) struct DefendJob {
    pub repair: Repair,
    pub attacked: Arc<Adapter>,
}

/// Result of a job.
enum Done {
    Update(Box<Evidence>),
    Replay {
        attestation: Digest,
        outcome: Box<RunOutcome>,
    },
    Probe {
        digest: Digest,
        round: u32,
        behaviour: Behaviour,
    },
    Measure {
        job: MeasureJob,
        measured: Measured,
    },
    Defend {
        job: DefendJob,
        adapter: Adapter,
        data: DefenceData,
    },
}

impl Run {
    /// Executes jobs in parallel; each result is in the log before the next one is looked at.
    pub(super) fn execute_jobs(&mut self, jobs: Vec<Job>, watch: Watch<'_>) -> Result<()> {
        let shared = self.shared.clone();
        let workers = self.workers;
        let attester = Attester {
            key: self.node.clone(),
            base: shared.plan.base,
            engine: shared.plan.engine.clone(),
        };
        // Both closures below are called on this thread alone and never at once.
        let watch = std::cell::RefCell::new(watch);
        run_jobs(
            workers,
            jobs,
            &shared.cancel,
            |job| work(&shared, &attester, job),
            |batch| {
                let mut watch = watch.borrow_mut();
                self.take_in_batch(batch, &mut **watch)
            },
            || {
                let mut watch = watch.borrow_mut();
                (**watch)(&Event::Tick)
            },
        )
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
            Done::Probe {
                digest,
                round,
                behaviour,
            } => {
                self.behaviours.insert((digest, round), behaviour);
                Ok(())
            }
            Done::Replay {
                attestation,
                outcome,
            } => {
                let shared = self.shared.clone();
                let attested = self
                    .cache
                    .attested(&self.blobs, &attestation, shared.plan.node)?;
                let dispute = replay::compare(&attested, &outcome, &self.blobs)?;
                let near = match &dispute {
                    Some(dispute) if !shared.lab.repeats_bits() => {
                        let global = self.adapter(&attested.global)?;
                        replay::near_of(dispute, &attested, &outcome, &global, &self.blobs)?
                    }
                    _ => false,
                };
                let difference = dispute.map(|dispute| dispute.to_string());
                self.replays
                    .insert(attestation, Replay { difference, near });
                Ok(())
            }
            Done::Measure { job, measured } => self.take_in_measure(job, &measured, watch),
            Done::Defend { job, adapter, data } => self.take_in_repair(&job, adapter, &data, watch),
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
        let text = format!(
            "{arm}: defence {}, step of norm {:.4}; {}",
            data.defence,
            norm(&delta(&adapter, &job.attacked)?),
            counts.join(", ")
        );
        let data = self.blobs.put(&data.to_bytes()?)?;
        let adapter = self.put_adapter(adapter)?;
        self.append(&Record::Defended {
            arm: arm.clone(),
            adapter,
            data,
        })?;
        self.publish()?;
        self.tell(watch, &Event::Note { text })?;
        self.step(watch, format!("{arm}: adapter repaired"))
    }

    /// Stores and logs executions: their blobs are durable before the records that name them.
    fn take_in_updates(&mut self, all: Vec<Evidence>, watch: Watch<'_>) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        evidence::store(&self.blobs, &all)?;
        for evidence in &all {
            self.append(&evidence.record)?;
        }
        self.publish()?;
        for evidence in all {
            self.tell_update(evidence, watch)?;
        }
        Ok(())
    }

    fn tell_update(&mut self, evidence: Evidence, watch: Watch<'_>) -> Result<()> {
        let predicate = evidence.predicate;
        let (client, round) = (predicate.client.clone(), predicate.round);
        if let Some((digest, adapter)) = evidence.adapter {
            self.remember_adapter(digest, adapter);
        }
        for line in &evidence.log {
            let text = format!("{client} says: {line}");
            self.tell(watch, &Event::Note { text })?;
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

/// Executes a client's module. When the run was stopped meanwhile, the outcome is of no use.
fn execute(shared: &Shared, job: &UpdateJob) -> Result<RunOutcome> {
    let engine = Stoppable {
        engine: shared.lab.engine(),
        stop: &shared.cancel,
    };
    shared.executor.run(&job.module, &job.input, &engine)
}

/// Executes a client's module, and signs what it did.
fn execute_and_attest(shared: &Shared, attester: &Attester, job: UpdateJob) -> Result<Evidence> {
    let halt = || shared.go_on().is_break();
    let begun = Instant::now();
    let outcome = execute(shared, &job)?;
    let judge = shared.judge.as_ref();
    let score = judge.and_then(|judge| data_score(judge, &job.input, &outcome, &halt));
    if halt() {
        return Err(Error::Interrupted);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let execution = Execution {
        key: job.key,
        client: job.client,
        round: job.round,
        seed: job.seed,
        module: job.module,
        signer: shared.plan.signer(&job.module)?,
        global: job.global,
    };
    evidence::attest(attester, execution, outcome, score, seconds)
}

/// Executes one job on a worker thread.
fn work(shared: &Shared, attester: &Attester, job: Job) -> Result<Done> {
    let halt = || shared.go_on().is_break();
    match job {
        Job::Update(job) => {
            let evidence = execute_and_attest(shared, attester, *job)?;
            Ok(Done::Update(Box::new(evidence)))
        }
        Job::Replay(attestation, job) => {
            let outcome = execute(shared, &job)?;
            if halt() {
                return Err(Error::Interrupted);
            }
            Ok(Done::Replay {
                attestation,
                outcome: Box::new(outcome),
            })
        }
        Job::Probe {
            digest,
            adapter,
            round,
        } => {
            let behaviour = canary::probe(
                &shared.canaries,
                shared.lab.as_ref(),
                &shared.experiment,
                &adapter,
                shared.plan.seed.0,
                round,
                &halt,
            )?;
            Ok(Done::Probe {
                digest,
                round,
                behaviour,
            })
        }
        Job::Measure(job) => {
            let meter = Meter {
                lab: shared.lab.as_ref(),
                source: shared.data.as_ref(),
                experiment: &shared.experiment,
                set: &shared.evaluation,
                halt: &halt,
            };
            let adapter = job.adapter.as_deref();
            let measured = meter.measure(adapter, job.digest, job.requests, job.tasks)?;
            Ok(Done::Measure { job, measured })
        }
        Job::Defend(job) => {
            let tools = Tools {
                lab: shared.lab.as_ref(),
                source: shared.data.as_ref(),
                experiment: &shared.experiment,
                halt: &halt,
            };
            let case = job.repair.case(shared.plan.seed, &job.attacked);
            let (data, adapter) = mend(job.repair.definition, &case, &tools)?;
            Ok(Done::Defend { job, adapter, data })
        }
    }
}

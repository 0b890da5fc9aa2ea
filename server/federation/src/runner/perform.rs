//! Executes one job. A run's own threads and a worker's call the same code.

use std::time::Instant;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_ledger::Blobs;
use fedseal_sandbox::RunOutcome;
use fedseal_tuning::Adapter;

use super::Shared;
use super::canary;
use super::evidence::{self, Execution, Stated, Stating};
use super::job::{Job, Performed, UpdateJob};
use super::measure::Meter;
use super::server_input;
use crate::defence::{Tools, mend};
use crate::execute::{OneByOne, Session, Stoppable, data_score};
use crate::replay;
use crate::{Error, Result};
use fedseal_rules::admission::Replay;

/// The run's engine, which stops when the run does: then an outcome is of no use.
pub(super) fn engine(shared: &Shared) -> Stoppable<'_> {
    Stoppable {
        engine: shared.lab.engine(),
        stop: &shared.cancel,
    }
}

/// Executes a client's module, and states what it did.
fn execute_and_state(shared: &Shared, session: &dyn Session, job: UpdateJob) -> Result<Stated> {
    let halt = || shared.go_on().is_break();
    let begun = Instant::now();
    let outcome = session.run(&job.module, &job.input)?;
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
    let stating = Stating {
        node: shared.plan.attester(&execution.client),
        base: shared.plan.base,
        engine: &shared.plan.engine,
    };
    evidence::state(&stating, execution, outcome, score, seconds)
}

/// Executes one job.
///
/// # Errors
/// [`Error::Interrupted`] when the run was stopped; errors of model, sandbox and data.
pub(crate) fn perform(shared: &Shared, job: Job) -> Result<Performed> {
    let engine = engine(shared);
    let session = OneByOne {
        executor: shared.executor.as_ref(),
        engine: &engine,
    };
    perform_in(shared, &session, job)
}

/// As [`perform`]; modules are executed in a session by [`engine`].
///
/// # Errors
/// As [`perform`].
pub(super) fn perform_in(shared: &Shared, session: &dyn Session, job: Job) -> Result<Performed> {
    let halt = || shared.go_on().is_break();
    match job {
        Job::Update(job) => {
            let stated = execute_and_state(shared, session, *job)?;
            Ok(Performed::Update(Box::new(stated)))
        }
        Job::Replay(attestation, job) => {
            let outcome = session.run(&job.module, &job.input)?;
            if halt() {
                return Err(Error::Interrupted);
            }
            Ok(Performed::Replay {
                attestation,
                outcome: Box::new(outcome),
            })
        }
        Job::Probe {
            digest,
            adapter,
            round,
        } => {
            let probed = canary::probe(
                &shared.canaries,
                shared.lab.as_ref(),
                &shared.experiment,
                &adapter,
                shared.plan.seed.0,
                round,
                &halt,
            )?;
            Ok(Performed::Probe {
                digest,
                round,
                probed,
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
            Ok(Performed::Measure { job, measured })
        }
        Job::Defend(job) => {
            let tools = Tools {
                lab: shared.lab.as_ref(),
                source: shared.data.as_ref(),
                experiment: &shared.experiment,
                halt: &halt,
            };
            let case = job.repair.case(shared.plan.seed, job.moment, &job.attacked);
            let (data, adapter) = mend(job.repair.definition, &case, &tools)?;
            Ok(Performed::Defend { job, adapter, data })
        }
        Job::Input(job) => {
            let tools = Tools {
                lab: shared.lab.as_ref(),
                source: shared.data.as_ref(),
                experiment: &shared.experiment,
                halt: &halt,
            };
            let (input, adapter) = server_input::make(&job, &shared.plan, &tools)?;
            Ok(Performed::Input {
                job,
                adapter,
                input,
            })
        }
    }
}

/// Holds a second execution against the attestation of the first.
///
/// # Errors
/// The logged transcript or adapter cannot be read.
pub(crate) fn compared(
    shared: &Shared,
    attested: &UpdatePredicate,
    outcome: &RunOutcome,
    global: impl FnOnce() -> Result<std::sync::Arc<Adapter>>,
    blobs: &Blobs,
) -> Result<Replay> {
    let dispute = replay::compare(attested, outcome, blobs)?;
    let near = match &dispute {
        Some(dispute) if !shared.lab.repeats_bits() => {
            replay::near_of(dispute, attested, outcome, &*global()?, blobs)?
        }
        _ => false,
    };
    Ok(Replay {
        difference: dispute.map(|dispute| dispute.to_string()),
        near,
    })
}

//! Jobs of a run, and their results.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_sandbox::{RunInput, RunOutcome};
use fedseal_tuning::Adapter;

use super::evidence::{Evidence, Stated};
use crate::Result;
use crate::execute::{Contents, Named, input_of};
use crate::work::board::Board;
use crate::work::task::{Task, UpdateTask, Work};
use fedseal_record::blobs::{DefenceData, Measured};
use fedseal_record::repairs::{Moment, Repair};
use fedseal_record::rundir::Plan;
use fedseal_rules::admission::{Probed, Replay};
use fedseal_rules::aggregation::ServerInput;
use fedseal_rules::experiment::Experiment;

/// Jobs that other processes take, too.
pub(crate) type Lent = Board<Job, Result<Done>>;

/// One thing to execute.
#[derive(Clone)]
pub(crate) enum Job {
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
    /// The server's own input to a rule.
    Input(InputJob),
}

/// A client's module, to be executed.
#[derive(Clone)]
pub(crate) struct UpdateJob {
    pub key: Digest,
    pub client: ClientId,
    pub round: Round,
    pub seed: Seed,
    pub module: Digest,
    pub global: Digest,
    pub attachment: Option<Digest>,
    pub controls: Option<Digest>,
    pub input: RunInput,
}

/// A measure, to be taken.
#[derive(Clone)]
pub(crate) struct MeasureJob {
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
#[derive(Clone)]
pub(crate) struct DefendJob {
    pub repair: Repair,
    pub moment: Moment,
    pub digest: Digest,
    pub attacked: Arc<Adapter>,
}

/// The server's own input to an arm's rule, to be trained.
#[derive(Clone)]
pub(crate) struct InputJob {
    pub arm: String,
    pub round: Round,
    pub learning_rate: f64,
    pub digest: Digest,
    pub global: Arc<Adapter>,
}

/// Result of a job, before the run signs anything.
pub(crate) enum Performed {
    Update(Box<Stated>),
    Replay {
        attestation: Digest,
        outcome: Box<RunOutcome>,
    },
    Probe {
        digest: Digest,
        round: u32,
        probed: Probed,
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
    Input {
        job: InputJob,
        adapter: Option<Adapter>,
        input: ServerInput,
    },
}

/// Result of a job that the run takes in.
pub(crate) enum Done {
    Update(Box<Evidence>),
    Other(Box<Performed>),
    /// A second execution that was compared elsewhere.
    Compared {
        attestation: Digest,
        replay: Replay,
    },
}

impl UpdateJob {
    /// The execution of a task with what its digests name.
    pub(crate) fn of(
        plan: &Plan,
        experiment: &Experiment,
        task: &UpdateTask,
        contents: Contents,
    ) -> UpdateJob {
        let named = Named {
            client: task.client.clone(),
            round: task.round,
            seed: task.seed,
            shard: task.shard,
            global: task.global,
            learning_rate: task.learning_rate,
        };
        UpdateJob {
            key: task.key,
            client: task.client.clone(),
            round: task.round,
            seed: task.seed,
            module: task.module,
            global: task.global,
            attachment: task.attachment,
            controls: task.controls,
            input: input_of(plan, experiment, named, contents),
        }
    }

    /// The execution by digests.
    pub(crate) fn task(&self) -> UpdateTask {
        UpdateTask {
            key: self.key,
            client: self.client.clone(),
            round: self.round,
            seed: self.seed,
            module: self.module,
            shard: self.input.shard_digest,
            attachment: self.attachment,
            global: self.global,
            learning_rate: self.input.training.learning_rate,
            controls: self.controls,
        }
    }
}

impl Job {
    /// The job by digests.
    pub(crate) fn task(&self, plan: Digest) -> Task {
        let work = match self {
            Job::Update(job) => Work::Update(job.task()),
            Job::Replay(attestation, job) => Work::Replay {
                attestation: *attestation,
                update: job.task(),
            },
            Job::Probe { digest, round, .. } => Work::Probe {
                adapter: *digest,
                round: *round,
            },
            Job::Measure(job) => Work::Measure {
                adapter: job.digest,
                requests: job.requests as u64,
                tasks: job.tasks as u64,
            },
            Job::Defend(job) => Work::Defend {
                arm: job.repair.arm.clone(),
                attacked: job.digest,
                moment: job.moment,
            },
            Job::Input(job) => Work::Input {
                arm: job.arm.clone(),
                round: job.round,
                global: job.digest,
                learning_rate: job.learning_rate,
            },
        };
        Task { plan, work }
    }
}

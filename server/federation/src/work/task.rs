//! Tasks: a run's jobs by the digests of everything that their results depend on.

use std::collections::BTreeSet;
use std::time::Duration;

use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_ledger::Blobs;
use serde::{Deserialize, Serialize};

use crate::Result;
use fedseal_record::controls;
use fedseal_record::evidence::Cache;
use fedseal_record::repairs::Moment;
use fedseal_record::round::RoundOf;
use fedseal_record::rundir::Plan;

/// A job of a run, by digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The run's plan (run.json), a blob.
    pub plan: Digest,
    /// The work.
    pub work: Work,
}

/// A task that is lent.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The task's name.
    pub id: Digest,
    /// The task.
    pub task: Task,
    /// How long it is lent; renew it before that.
    pub lease: Duration,
}

/// A job that is offered to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeJob {
    /// The execution; its key names the job.
    pub update: UpdateTask,
    /// Seconds until the round is over.
    pub seconds: u64,
}

/// Work of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Work {
    /// A client's module is executed.
    Update(UpdateTask),
    /// A client's module is executed again, and held against an attestation.
    Replay {
        /// The attestation's envelope, a blob.
        attestation: Digest,
        /// The execution.
        update: UpdateTask,
    },
    /// An adapter is measured on a round's canaries.
    Probe {
        /// The adapter, a blob.
        adapter: Digest,
        /// The round.
        round: u32,
    },
    /// An adapter answers the evaluation prompts.
    Measure {
        /// The adapter, a blob; the plan's first one stands for the base alone.
        adapter: Digest,
        /// How many requests, from the first on.
        requests: u64,
        /// How many tasks, from the first on.
        tasks: u64,
    },
    /// An arm's defence repairs an adapter.
    Defend {
        /// The arm.
        arm: String,
        /// The attacked adapter, a blob.
        attacked: Digest,
        /// The moment of the repair.
        #[serde(default, skip_serializing_if = "Moment::is_last")]
        moment: Moment,
    },
    /// The server's own input to an arm's rule is trained.
    Input {
        /// The arm.
        arm: String,
        /// The round.
        round: Round,
        /// The global adapter, a blob.
        global: Digest,
        /// The round's learning rate.
        learning_rate: f64,
    },
}

/// Inputs of a module's execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateTask {
    /// Memo key of the update.
    pub key: Digest,
    /// The client.
    pub client: ClientId,
    /// The round.
    pub round: Round,
    /// The seed of the execution.
    pub seed: Seed,
    /// The module.
    pub module: Digest,
    /// The shard, a blob.
    pub shard: Digest,
    /// Examples handed in beside the module, a blob.
    pub attachment: Option<Digest>,
    /// The global adapter, a blob.
    pub global: Digest,
    /// The round's learning rate.
    pub learning_rate: f64,
    /// SCAFFOLD's control variates of the round, a blob.
    pub controls: Option<Digest>,
}

impl Task {
    /// The task's name.
    ///
    /// # Errors
    /// A learning rate that is not finite.
    pub fn id(&self) -> Result<Digest> {
        Ok(Digest::of_json(self)?)
    }

    /// Blobs that the task takes beside the plan's own and that are not there yet. Some become known when
    /// others are there: ask again until there is none.
    ///
    /// # Errors
    /// A blob that is there and cannot be read.
    pub fn wants(&self, plan: &Plan, blobs: &Blobs) -> Result<Vec<Digest>> {
        let takes = self.takes(plan, blobs)?;
        Ok(takes.into_iter().filter(|it| !blobs.contains(it)).collect())
    }

    /// Blobs that the task takes beside the plan's own, as far as they are known from those that are there.
    ///
    /// # Errors
    /// A blob that is there and cannot be read.
    pub(crate) fn takes(&self, plan: &Plan, blobs: &Blobs) -> Result<BTreeSet<Digest>> {
        let mut takes = BTreeSet::new();
        match &self.work {
            Work::Update(update) => takes.extend(update.takes(blobs)?),
            Work::Replay {
                attestation,
                update,
            } => {
                takes.extend(update.takes(blobs)?);
                takes.insert(*attestation);
                if blobs.contains(attestation) {
                    let mut cache = Cache::default();
                    let attested = cache.attested(blobs, attestation, plan)?;
                    takes.extend(held_against(&attested));
                }
            }
            Work::Probe { adapter, .. } | Work::Measure { adapter, .. } => {
                takes.insert(*adapter);
            }
            Work::Defend { attacked, .. } => {
                takes.insert(*attacked);
            }
            Work::Input { global, .. } => {
                takes.insert(*global);
            }
        }
        Ok(takes)
    }
}

/// Blobs of an attestation that a second execution is compared with.
fn held_against(attested: &UpdatePredicate) -> impl Iterator<Item = Digest> {
    let transcript = attested.transcript.blob;
    attested.update.into_iter().chain([transcript])
}

impl UpdateTask {
    /// A client's execution in a round of an arm; `key` is its memo key.
    ///
    /// # Errors
    /// As [`RoundOf::assignment`].
    pub(crate) fn of(of: RoundOf<'_>, client: &ClientId, key: Digest) -> Result<UpdateTask> {
        let assignment = of.assignment(client)?;
        Ok(UpdateTask {
            key,
            client: client.clone(),
            round: of.round,
            seed: of.update_seed(client),
            module: assignment.module,
            shard: assignment.shard,
            attachment: assignment.attachment,
            global: of.state.global,
            learning_rate: of.state.learning_rate,
            controls: of.state.controls,
        })
    }

    fn takes(&self, blobs: &Blobs) -> Result<Vec<Digest>> {
        let mut takes = self.takes_at_node(blobs)?;
        takes.push(self.shard);
        takes.extend(self.attachment);
        Ok(takes)
    }

    /// Blobs that the client's own node takes beside the plan's, as far as they are known from those that are
    /// there: its shard it has.
    ///
    /// # Errors
    /// A blob that is there and cannot be read.
    pub(crate) fn takes_at_node(&self, blobs: &Blobs) -> Result<Vec<Digest>> {
        let mut takes = vec![self.global];
        if let Some(digest) = self.controls {
            takes.push(digest);
            if blobs.contains(&digest)
                && let Some(controls) = controls::read(blobs, Some(digest))?
            {
                takes.push(controls.server);
                takes.extend(controls.clients.get(&self.client));
            }
        }
        Ok(takes)
    }
}

/// Blobs of a plan that every worker needs and that are not there yet.
pub fn plan_wants(plan: &Plan, blobs: &Blobs) -> Vec<Digest> {
    let all: BTreeSet<Digest> = plan_takes(plan).chain([plan.evaluation]).collect();
    all.into_iter().filter(|it| !blobs.contains(it)).collect()
}

/// Blobs of a plan that executions need.
pub fn plan_takes(plan: &Plan) -> impl Iterator<Item = Digest> {
    let modules = plan.modules.iter();
    let modules = modules.flat_map(|module| [module.digest, module.envelope]);
    [plan.experiment, plan.initial].into_iter().chain(modules)
}

//! The run's side of work that other processes do: tasks and blobs go out, results come in, and the run signs
//! what a worker states only where it says what the task asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_ledger::Blobs;
use fedseal_tuning::Adapter;

use super::job::{Done, Job, Lent, MeasureJob, Performed};
use super::stated::Asked;
use super::{Run, Shared};
use crate::work::board::{Board, Counts, Delivered, Seen};
use crate::work::package::{Outcome, Package, wrong};
use crate::work::task::{Offer, Task, plan_takes};
use crate::{Error, Result};
use fedseal_record::blobs::{DefenceData, Measured};
use fedseal_record::repairs::Moment;
use fedseal_rules::admission::{Behaviour, Probed, Replay};
use fedseal_rules::aggregation::ServerInput;

/// A run's jobs for other processes.
pub struct Exchange {
    board: Arc<Lent>,
    shared: Arc<Shared>,
    plan: Digest,
    blobs: Blobs,
    key: SigningKey,
}

impl Run {
    /// Lends the run's jobs to other processes for so long each. `here` says whether this process goes on
    /// doing jobs too.
    ///
    /// # Errors
    /// A plan without a canonical form.
    pub fn lend(&mut self, lease: Duration, here: bool) -> Result<Exchange> {
        let board = Arc::new(Board::new(lease));
        self.lent = Some(board.clone());
        if !here {
            self.workers = 0;
        }
        Ok(Exchange {
            board,
            plan: Digest::of_json(&self.shared.plan)?,
            shared: self.shared.clone(),
            blobs: self.blobs.clone(),
            key: self.node.clone(),
        })
    }
}

impl Exchange {
    /// Lends a task to a worker, within this time; none where there is none.
    pub fn take(&self, worker: &str, within: Duration) -> Option<Offer> {
        let (id, job) = self.board.lend(worker, within)?;
        Some(Offer {
            id,
            task: job.task(self.plan),
            lease: self.board.lease(),
        })
    }

    /// Extends a lease; false where the worker does not have the task any more.
    pub fn renew(&self, worker: &str, id: &Digest) -> bool {
        self.board.renew(worker, id)
    }

    /// A blob of the run.
    ///
    /// # Errors
    /// [`Error::Ledger`] for one that is not there, or was changed.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        Ok(self.blobs.get(digest)?)
    }

    /// Every blob that a worker needs for a task.
    ///
    /// # Errors
    /// A blob of the run that cannot be read.
    pub fn takes(&self, task: &Task) -> Result<Vec<Digest>> {
        let plan = &self.shared.plan;
        let mut all: BTreeSet<Digest> = plan_takes(plan).collect();
        all.extend([task.plan, plan.evaluation]);
        all.extend(task.takes(plan, &self.blobs)?);
        Ok(all.into_iter().collect())
    }

    /// How long a task is lent.
    pub fn lease(&self) -> Duration {
        self.board.lease()
    }

    /// Takes a task's result, of whoever is first.
    ///
    /// # Errors
    /// [`Error::Tampered`] for a result that is not the task's; nothing of it is kept.
    pub fn done(&self, worker: &str, id: &Digest, package: &[u8]) -> Result<Delivered> {
        let Some(job) = self.board.job(id) else {
            return Ok(match self.board.is_done(id) {
                true => Delivered::Twice,
                false => Delivered::Unknown,
            });
        };
        let package = Package::from_bytes(package)?;
        let done = self.result(job, package)?;
        Ok(self.board.deliver(worker, id, Ok(done)))
    }

    /// Gives a task back: the worker stops (`None`), or could not do it for this reason. Where it failed
    /// too often, the run stops with the reason.
    pub fn give_back(&self, worker: &str, id: &Digest, failure: Option<&str>) {
        if self.board.give_back(worker, id, failure.is_some())
            && let Some(reason) = failure
        {
            let error = Error::Model(format!("worker {worker} says: {reason}").into());
            self.board.deliver(worker, id, Err(error));
        }
    }

    /// How many jobs are where.
    pub fn counts(&self) -> Counts {
        self.board.counts()
    }

    /// The workers that asked, by name.
    pub fn workers(&self) -> std::collections::BTreeMap<String, Seen> {
        self.board.workers()
    }

    fn result(&self, job: Job, package: Package) -> Result<Done> {
        Ok(match (job, &package.outcome) {
            (Job::Update(job), Outcome::Update { predicate, log }) => {
                let asked = Asked {
                    plan: &self.shared.plan,
                    task: &job.task(),
                    global: &job.input.global,
                    node: self.shared.plan.node,
                };
                let stated = asked.stated(predicate, log, &package)?;
                Done::Update(Box::new(stated.signed(&self.key)?))
            }
            (Job::Replay(attestation, _), Outcome::Replay { difference, near }) => Done::Compared {
                attestation,
                replay: Replay {
                    difference: difference.clone(),
                    near: *near,
                },
            },
            (
                Job::Probe { digest, round, .. },
                Outcome::Probe {
                    refusal,
                    loss,
                    requests,
                    tasks,
                },
            ) => {
                // Every adapter of a round answers the same prompts.
                let asked = self.shared.experiment.canaries.per_round;
                if requests.len() != asked || tasks.len() != asked {
                    return Err(wrong("its scores are of other canaries than the task's"));
                }
                Done::Other(Box::new(Performed::Probe {
                    digest,
                    round,
                    probed: Probed {
                        behaviour: Behaviour {
                            refusal: f64::from_bits(*refusal),
                            loss: f64::from_bits(*loss),
                        },
                        requests: requests.iter().map(|of| of.map(f64::from_bits)).collect(),
                        tasks: tasks.iter().copied().map(f64::from_bits).collect(),
                    },
                }))
            }
            (Job::Measure(job), Outcome::Measure { result }) => {
                let measured: Measured = canonical::from_slice(package.blob(result)?)?;
                self.answers(&job, &measured)?;
                Done::Other(Box::new(Performed::Measure { job, measured }))
            }
            (Job::Defend(job), Outcome::Defend { adapter, data }) => {
                let bytes = package.blob(adapter)?;
                // An arm may begin with an adapter of another kind.
                let adapter = match job.moment {
                    Moment::First => read_adapter(bytes)?,
                    _ => like(&job.attacked, bytes, "attacked")?,
                };
                let data = DefenceData::from_bytes(package.blob(data)?)?;
                Done::Other(Box::new(Performed::Defend { job, adapter, data }))
            }
            (Job::Input(job), Outcome::Input { adapter, data }) => {
                let adapter = match adapter {
                    None => None,
                    Some(digest) => Some(like(&job.global, package.blob(digest)?, "global")?),
                };
                let input = ServerInput::from_bytes(package.blob(data)?).map_err(wrong)?;
                Done::Other(Box::new(Performed::Input {
                    job,
                    adapter,
                    input,
                }))
            }
            _ => return Err(wrong("it is of another kind than the task")),
        })
    }

    /// Checks that answers are to the task's prompts.
    fn answers(&self, job: &MeasureJob, measured: &Measured) -> Result<()> {
        let set = &self.shared.evaluation;
        let requests = set.requests.iter().take(job.requests);
        let tasks = set.tasks.iter().take(job.tasks).map(|task| &task.prompt);
        let asked = |answers: &[fedseal_record::blobs::Answer]| -> Vec<String> {
            answers.iter().map(|answer| answer.prompt.clone()).collect()
        };
        let same = measured.adapter == job.digest
            && asked(&measured.requests).iter().eq(requests)
            && asked(&measured.tasks).iter().eq(tasks);
        match same {
            true => Ok(()),
            false => Err(wrong("its answers are to other prompts than the task's")),
        }
    }
}

/// Reads an adapter of the shape of another, the `name` one.
fn like(other: &Adapter, bytes: &[u8], name: &str) -> Result<Adapter> {
    let adapter = read_adapter(bytes)?;
    match adapter.same_shape(other) {
        true => Ok(adapter),
        false => Err(wrong(format!(
            "its adapter has another shape than the {name} one"
        ))),
    }
}

fn read_adapter(bytes: &[u8]) -> Result<Adapter> {
    Adapter::from_bytes(bytes).map_err(wrong)
}

//! Executes tasks of one run, from blobs alone.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_ledger::Blobs;
use fedseal_sandbox::CompiledCache;
use fedseal_tuning::{Adapter, Example};

use crate::execute::Contents;
use crate::lab::Lab;
use crate::runner::Shared;
use crate::runner::job::{DefendJob, InputJob, Job, MeasureJob, Performed, UpdateJob};
use crate::runner::perform::{compared, perform};
use crate::runner::setup::same_engine;
use crate::work::package::{Outcome, Package};
use crate::work::task::{Task, UpdateTask, Work};
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_record::evidence::Cache;
use fedseal_record::formulas;
use fedseal_record::read::{experiment_of, read_adapter, read_examples};
use fedseal_record::repairs::{Moment, Repair};
use fedseal_record::rundir::Plan;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas::Versions;

/// Adapters and shards that are kept in memory, at most of each; then all are forgotten.
const KEPT: usize = 64;

/// A run's model, modules and data, as a worker has them.
pub struct Hands {
    plan: Digest,
    shared: Shared,
    blobs: Blobs,
    adapters: Mutex<HashMap<Digest, Arc<Adapter>>>,
    examples: Mutex<HashMap<Digest, Arc<Vec<Example>>>>,
}

/// Reads a plan that is there as a blob, and its experiment.
///
/// # Errors
/// A blob that is missing or is no plan.
pub fn plan_of(blobs: &Blobs, plan: &Digest) -> Result<Plan> {
    Ok(canonical::from_slice(&blobs.get(plan)?)?)
}

impl Hands {
    /// For the run of this plan, whose blobs ([`plan_wants`](crate::work::task::plan_wants)) are there.
    ///
    /// # Errors
    /// Another base, engine or version of a formula than the run's; a module that no sandbox runs.
    pub fn open(
        plan: Digest,
        blobs: Blobs,
        lab: impl FnOnce(&Experiment) -> Result<Arc<dyn Lab>>,
        data: impl FnOnce(&Experiment) -> Result<Arc<dyn TaskData>>,
        cache: Option<CompiledCache>,
    ) -> Result<Hands> {
        let read = plan_of(&blobs, &plan)?;
        let experiment = experiment_of(&blobs, &read)?;
        let place = std::path::Path::new("the run");
        formulas::same(place, &read, &experiment, &Versions::here())?;
        let lab = lab(&experiment)?;
        same_engine(place, &read, lab.as_ref())?;
        let data = data(&experiment)?;
        Ok(Hands {
            shared: Shared::open(read, experiment, &blobs, lab, data, cache)?,
            plan,
            blobs,
            adapters: Mutex::default(),
            examples: Mutex::default(),
        })
    }

    /// The run's plan.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Ends running tasks early; their results are of no use.
    pub fn stop(&self) {
        self.shared.cancel.store(true, Ordering::SeqCst);
    }

    /// Executes a task whose blobs ([`Task::wants`]) are there.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after [`Hands::stop`]; errors of blobs, model, sandbox and data.
    pub fn perform(&self, task: &Task) -> Result<Package> {
        if task.plan != self.plan {
            return Err(Error::mismatch(
                "task",
                "is of another run",
                &self.plan,
                &task.plan,
            ));
        }
        let performed = perform(&self.shared, self.job(&task.work)?)?;
        if self.shared.cancel.load(Ordering::SeqCst) {
            return Err(Error::Interrupted);
        }
        self.package(performed)
    }

    fn job(&self, work: &Work) -> Result<Job> {
        Ok(match work {
            Work::Update(update) => Job::Update(Box::new(self.update(update)?)),
            Work::Replay {
                attestation,
                update,
            } => Job::Replay(*attestation, Box::new(self.update(update)?)),
            Work::Probe { adapter, round } => Job::Probe {
                digest: *adapter,
                adapter: self.adapter(adapter)?,
                round: *round,
            },
            Work::Measure {
                adapter,
                requests,
                tasks,
            } => Job::Measure(MeasureJob {
                // The run knows what the answers are for.
                key: *adapter,
                places: Vec::new(),
                digest: *adapter,
                adapter: match *adapter == self.shared.plan.initial {
                    true => None,
                    false => Some(self.adapter(adapter)?),
                },
                requests: usize::try_from(*requests).unwrap_or(usize::MAX),
                tasks: usize::try_from(*tasks).unwrap_or(usize::MAX),
            }),
            Work::Defend {
                arm,
                attacked,
                moment,
            } => Job::Defend(DefendJob {
                repair: self.repair(arm, *moment)?,
                moment: *moment,
                digest: *attacked,
                attacked: self.adapter(attacked)?,
            }),
            Work::Input {
                arm,
                round,
                global,
                learning_rate,
            } => Job::Input(InputJob {
                arm: arm.clone(),
                round: *round,
                learning_rate: *learning_rate,
                digest: *global,
                global: self.adapter(global)?,
            }),
        })
    }

    fn update(&self, task: &UpdateTask) -> Result<UpdateJob> {
        let contents = Contents {
            shard: self.examples(&task.shard)?,
            attachment: match &task.attachment {
                Some(digest) => self.examples(digest)?,
                None => Arc::default(),
            },
            global: self.adapter(&task.global)?,
            control: crate::control::of(&self.blobs, task.controls, &task.client)?,
        };
        Ok(UpdateJob::of(
            &self.shared.plan,
            &self.shared.experiment,
            task,
            contents,
        ))
    }

    fn repair(&self, name: &str, moment: Moment) -> Result<Repair> {
        let experiment = &self.shared.experiment;
        let arms = experiment.all_arms()?;
        let arm = arms.iter().find(|arm| arm.id == name);
        let repair = arm.map(|arm| Repair::at(experiment, arm, moment));
        let repair = repair.transpose()?;
        repair.flatten().ok_or_else(|| {
            Error::tampered(format!("task of arm {name}"), "the run has no such repair")
        })
    }

    fn adapter(&self, digest: &Digest) -> Result<Arc<Adapter>> {
        kept(&self.adapters, digest, || read_adapter(&self.blobs, digest))
    }

    fn examples(&self, digest: &Digest) -> Result<Arc<Vec<Example>>> {
        kept(&self.examples, digest, || {
            read_examples(&self.blobs, digest)
        })
    }

    fn package(&self, performed: Performed) -> Result<Package> {
        Ok(match performed {
            Performed::Update(stated) => {
                let mut package = Package::new(Outcome::Update {
                    predicate: Box::new(stated.predicate),
                    log: stated.log,
                });
                package.blobs = stated.blobs.into_iter().map(Hashed::into_parts).collect();
                package
            }
            Performed::Replay {
                attestation,
                outcome,
            } => {
                let plan = &self.shared.plan;
                let attested = Cache::default().attested(&self.blobs, &attestation, plan)?;
                let global = || self.adapter(&attested.global);
                let replay = compared(&self.shared, &attested, &outcome, global, &self.blobs)?;
                Package::new(Outcome::Replay {
                    difference: replay.difference,
                    near: replay.near,
                })
            }
            Performed::Probe { probed, .. } => Package::new(Outcome::Probe {
                refusal: probed.behaviour.refusal.to_bits(),
                loss: probed.behaviour.loss.to_bits(),
                requests: (probed.requests.iter())
                    .map(|request| request.map(f64::to_bits))
                    .collect(),
                tasks: probed.tasks.iter().map(|loss| loss.to_bits()).collect(),
            }),
            Performed::Measure { measured, .. } => {
                let bytes = canonical::to_vec(&measured)?;
                let result = Digest::of(&bytes);
                let mut package = Package::new(Outcome::Measure { result });
                package.put(bytes);
                package
            }
            Performed::Defend { adapter, data, .. } => {
                let (adapter, data) = (adapter.to_bytes(), data.to_bytes()?);
                let mut package = Package::new(Outcome::Defend {
                    adapter: Digest::of(&adapter),
                    data: Digest::of(&data),
                });
                package.put(adapter);
                package.put(data);
                package
            }
            Performed::Input { adapter, input, .. } => {
                let adapter = adapter.map(|adapter| adapter.to_bytes());
                let data = input.to_bytes()?;
                let mut package = Package::new(Outcome::Input {
                    adapter: adapter.as_ref().map(|bytes| Digest::of(bytes)),
                    data: Digest::of(&data),
                });
                package.put(data);
                if let Some(adapter) = adapter {
                    package.put(adapter);
                }
                package
            }
        })
    }
}

/// A value that was read before, or is read now.
fn kept<T>(
    all: &Mutex<HashMap<Digest, Arc<T>>>,
    digest: &Digest,
    read: impl FnOnce() -> Result<T>,
) -> Result<Arc<T>> {
    let locked = || all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(found) = locked().get(digest) {
        return Ok(found.clone());
    }
    let value = Arc::new(read()?);
    let mut all = locked();
    if all.len() >= KEPT {
        all.clear();
    }
    all.insert(*digest, value.clone());
    Ok(value)
}

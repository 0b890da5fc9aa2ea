//! A run as a node has it: its own modules, under the rules of its site, and its own shards.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_ledger::Blobs;
use fedseal_sandbox::CompiledCache;
use fedseal_tuning::Example;

use crate::execute::Contents;
use crate::lab::Lab;
use crate::runner::Shared;
use crate::runner::job::{Job, Performed, UpdateJob};
use crate::runner::perform::perform;
use crate::runner::setup::same_engine;
use crate::runner::stated::named;
use crate::work::package::{Outcome, Package};
use crate::work::task::UpdateTask;
use crate::{Error, Result};
use fedseal_record::formulas;
use fedseal_record::read::{experiment_of, read_adapter};
use fedseal_record::rundir::{Plan, PlannedModule};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas::Versions;

/// A run at a node.
pub struct Seat {
    shared: Shared,
    blobs: Blobs,
}

/// The modules that these clients run.
fn own_modules(plan: &Plan, clients: &BTreeSet<ClientId>) -> Vec<PlannedModule> {
    let own = plan.clients.iter();
    let own = own.filter(|it| clients.contains(&it.client));
    let modules: BTreeSet<Digest> = own
        .flat_map(|client| client.assignments().map(|assignment| assignment.module))
        .collect();
    let planned = plan.modules.iter();
    planned
        .filter(|module| modules.contains(&module.digest))
        .cloned()
        .collect()
}

/// Blobs of a plan that a node with these clients needs.
pub fn takes(plan: &Plan, clients: &BTreeSet<ClientId>) -> BTreeSet<Digest> {
    let modules = own_modules(plan, clients).into_iter();
    let modules = modules.flat_map(|module| [module.digest, module.envelope]);
    [plan.experiment, plan.initial]
        .into_iter()
        .chain(modules)
        .collect()
}

impl Seat {
    /// For the run of this plan, whose blobs ([`takes`]) are there.
    ///
    /// # Errors
    /// Another base, engine or version of a formula than the run's; a module that no sandbox runs.
    pub fn open(
        plan: Plan,
        clients: &BTreeSet<ClientId>,
        blobs: &Blobs,
        lab: impl FnOnce(&Experiment) -> Result<Arc<dyn Lab>>,
        cache: Option<CompiledCache>,
    ) -> Result<Seat> {
        let experiment = experiment_of(blobs, &plan)?;
        let place = std::path::Path::new("the federation's run");
        formulas::same(place, &plan, &experiment, &Versions::here())?;
        let lab = lab(&experiment)?;
        same_engine(place, &plan, lab.as_ref())?;
        let own = Plan {
            modules: own_modules(&plan, clients),
            ..plan.clone()
        };
        let executor = lab.executor(&own, blobs, experiment.limits, cache)?;
        Ok(Seat {
            shared: Shared::at_node(plan, experiment, lab, executor),
            blobs: blobs.clone(),
        })
    }

    /// The run's plan.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The run's experiment.
    pub fn experiment(&self) -> &Experiment {
        &self.shared.experiment
    }

    /// Ends a running job early; its result is of no use.
    pub fn stop(&self) {
        self.shared.cancel.store(true, Ordering::SeqCst);
    }

    /// Blobs that a job takes beside the plan's own; some become known when others are there.
    ///
    /// # Errors
    /// A blob that is there and cannot be read.
    pub fn wants(&self, task: &UpdateTask) -> Result<Vec<Digest>> {
        task.takes_at_node(&self.blobs)
    }

    /// Executes a job on a shard, and signs what happened: a package.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after [`Seat::stop`]; errors of model and sandbox.
    pub fn perform(
        &self,
        task: &UpdateTask,
        shards: &HashMap<Digest, Arc<Vec<Example>>>,
        key: &SigningKey,
    ) -> Result<Vec<u8>> {
        let shard = shards.get(&task.shard).cloned();
        let contents = Contents {
            shard: shard.ok_or_else(|| Error::Refused {
                what: format!("the job is on shard {}", task.shard),
                hint: "this node has no such shard".into(),
            })?,
            attachment: Arc::default(),
            global: Arc::new(read_adapter(&self.blobs, &task.global)?),
            control: crate::control::of(&self.blobs, task.controls, &task.client)?,
        };
        let job = UpdateJob::of(&self.shared.plan, &self.shared.experiment, task, contents);
        let performed = perform(&self.shared, Job::Update(Box::new(job)))?;
        let Performed::Update(stated) = performed else {
            return Err(Error::tampered("a job of this node", "gave something else"));
        };
        let evidence = stated.signed(key)?;
        let mut package = Package::new(Outcome::Attested {
            attestation: evidence.attestation,
            log: evidence.log,
        });
        // Nothing leaves but what the attestation names.
        let names = named(&evidence.predicate, evidence.attestation);
        let blobs = evidence.blobs.into_iter().map(Hashed::into_parts);
        package.blobs = blobs.filter(|(digest, _)| names.contains(digest)).collect();
        package.to_bytes()
    }
}

//! Making a run's folder and opening it again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Seed;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::run_origin;
use fedseal_ledger::{Blobs, Log};
use fedseal_sandbox::CompiledCache;

use super::canary;
use super::members::{draw_clients, register_modules};
use super::{Options, Run, Shared, load_data, nodes, open_model, own, room};
use crate::lab::Lab;
use crate::{Error, Result};
use fedseal_data::TaskData;
use fedseal_data::check::DataCheck;
use fedseal_record::blobs::{CanarySet, EvaluationSet};
use fedseal_record::events::Feed;
use fedseal_record::evidence::Cache;
use fedseal_record::formulas;
use fedseal_record::opened;
use fedseal_record::read::read_experiment;
use fedseal_record::report::{Progress, Report};
use fedseal_record::rundir::{self, FORMAT, FORMULAS, MAX_REPORT, Plan, PlannedMeasure, RunDir};
use fedseal_rules::experiment::adapter_config;
use fedseal_rules::experiment::{self, Experiment};
use fedseal_rules::formulas::Versions;
use fedseal_rules::sampling::derive_seed;
use fedseal_rules::site::SiteRules;

impl Run {
    /// Makes a new run in `dir`, which must not hold one. Loads model, data and modules, draws
    /// shards, and logs everything up to the first round.
    ///
    /// # Errors
    /// [`Error::RunDir`] when there is a run already, another process is making one, or the folder
    /// cannot be one ([`RunDir::check_place`]); [`Error::Missing`] for a model, module or prompt set
    /// that is not there.
    pub fn create(dir: impl AsRef<Path>, experiment: Experiment, options: Options) -> Result<Run> {
        // Before the model is loaded, which is slow.
        RunDir::new(dir.as_ref()).check_place()?;
        let (lab, base_name) = open_model(&experiment, &options)?;
        let data = load_data(&experiment, &options)?;
        Self::create_with(dir, experiment, &options, Arc::new(lab), &base_name, data)
    }

    /// As [`Run::create`], with a given model and given data.
    pub fn create_with(
        dir: impl AsRef<Path>,
        experiment: Experiment,
        options: &Options,
        lab: Arc<dyn Lab>,
        base_name: &str,
        data: Arc<dyn TaskData>,
    ) -> Result<Run> {
        create(
            RunDir::new(dir.as_ref()),
            experiment,
            options,
            lab,
            base_name,
            data,
        )
    }

    /// Opens a run that was stopped or killed; goes on at the last published log entry. Where an
    /// experiment is given it must be the one that the run was begun with.
    ///
    /// # Errors
    /// [`Error::RunDir`] when no run is here, it was made by another engine, or it was begun with
    /// another experiment or seed: then with the keys that differ and both values.
    pub fn resume(
        dir: impl AsRef<Path>,
        given: Option<&Experiment>,
        options: Options,
    ) -> Result<Run> {
        let run_dir = RunDir::new(dir.as_ref());
        let experiment = read_experiment(&run_dir, &opened::plan(&run_dir)?)?;
        if let Some(given) = given {
            same_experiment(&run_dir, &experiment, given)?;
        }
        let (lab, _) = open_model(&experiment, &options)?;
        let data = load_data(&experiment, &options)?;
        Self::resume_with(dir, &options, Arc::new(lab), data)
    }

    /// As [`Run::resume`], with a given model and given data.
    pub fn resume_with(
        dir: impl AsRef<Path>,
        options: &Options,
        lab: Arc<dyn Lab>,
        data: Arc<dyn TaskData>,
    ) -> Result<Run> {
        open(RunDir::new(dir.as_ref()), options, lab, data)
    }
}

/// See [`Run::create_with`].
fn create(
    dir: RunDir,
    experiment: Experiment,
    options: &Options,
    lab: Arc<dyn Lab>,
    base_name: &str,
    data: Arc<dyn TaskData>,
) -> Result<Run> {
    dir.check_place()?;
    let root = &dir.root;
    fs::create_dir_all(root).map_err(|source| Error::io(root, source))?;
    vacant(&dir)?;
    // Before anything is written: of two that begin here at once, one finds it locked, or taken.
    let lock = dir.lock()?;
    vacant(&dir)?;
    // Files left by a killed creation are allowed: blobs are named by their bytes, and the rest is
    // written anew. Anything else is somebody's file.
    for entry in fs::read_dir(root).map_err(|source| Error::io(root, source))? {
        let name = entry.map_err(|source| Error::io(root, source))?.file_name();
        let name = name.to_string_lossy();
        if !["blobs", "experiment.toml"].contains(&name.as_ref()) && !name.ends_with(".tmp") {
            return Err(Error::RunDir {
                dir: root.clone(),
                problem: format!("the folder is not empty ({name}); choose another"),
            });
        }
    }

    let seed = match options.seed {
        Some(seed) => seed,
        None => experiment.seeds.first().copied().unwrap_or_default(),
    };
    let node = nodes::key(options)?;
    let authors = authors(options)?;
    let blobs = Blobs::open(dir.blobs())?;

    let mut experiment = experiment;
    experiment.site = experiment.site.map(SiteRules::written_out);
    let toml = experiment.to_toml()?;
    let experiment_digest = blobs.put(toml.as_bytes())?;
    let (modules, clients) = match experiment.clients.is_empty() {
        true => {
            let modules = register_modules(&experiment, options, &authors, &blobs)?;
            let clients = draw_clients(&experiment, data.as_ref(), seed, &modules, &blobs)?;
            (modules, clients)
        }
        false => own::members(&experiment, options, &authors, &blobs)?,
    };
    let canaries = canary::draw(data.as_ref(), &experiment, seed)?;
    let evaluation = evaluation_set(&experiment, data.as_ref())?;
    room::check(
        lab.as_ref(),
        data.as_ref(),
        &experiment,
        &evaluation,
        &canaries,
    )?;
    let initial = lab.initial(
        &adapter_config(&experiment),
        derive_seed("initial-adapter", seed, &[]),
    )?;
    let measures = PlannedMeasure::of(&experiment);
    let names: Vec<&str> = measures.iter().map(|one| one.name.as_str()).collect();
    let plan = Plan {
        format: FORMAT,
        formulas: FORMULAS,
        run: dir.name(),
        created: rundir::now(),
        seed: Seed(seed),
        origin: run_origin(&dir.address(), &node.public())?,
        node: node.public(),
        authors,
        experiment: experiment_digest,
        base: lab.base(),
        base_name: base_name.to_owned(),
        engine: lab.fingerprint(),
        initial: blobs.put(&initial.to_bytes())?,
        modules,
        clients,
        versions: Versions::here().used_by(&experiment, &names)?,
        data: data.pins(),
        canaries: Digest::of_json(&canaries)?,
        evaluation: blobs.put(&canonical::to_vec(&evaluation)?)?,
        measures,
    };
    let plan_bytes = canonical::to_vec(&plan)?;
    blobs.put(&plan_bytes)?;
    rundir::write_atomically(&dir.experiment(), toml.as_bytes())?;
    // From here on the folder is a run: everything that the log's first entries say follows from
    // this file, so a crash before they are published loses nothing.
    rundir::write_atomically(&dir.plan(), &plan_bytes)?;
    open_locked(dir, lock, options, lab, data)
}

/// Refuses a folder in which a run was begun.
fn vacant(dir: &RunDir) -> Result<()> {
    if !dir.plan().exists() {
        return Ok(());
    }
    Err(Error::RunDir {
        dir: dir.root.clone(),
        problem: "a run is here already; go on with --resume, or choose another folder".into(),
    })
}

/// Refuses to go on with a run that was begun from other values: the new values would have no effect
/// on it.
fn same_experiment(dir: &RunDir, pinned: &Experiment, given: &Experiment) -> Result<()> {
    let limits = given.limits.as_begun(&pinned.limits);
    let given = Experiment {
        limits,
        ..given.clone()
    };
    let differences = experiment::differences(pinned, &given);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::RunDir {
        dir: dir.root.clone(),
        problem: format!(
            "the run was begun with another experiment: {}; go on with the file as it was, or begin a \
             new run in another folder",
            experiment::in_words(&differences, "in the run", "now")
        ),
    })
}

/// As [`same_experiment`], for a seed that was given apart.
fn same_seed(dir: &RunDir, plan: &Plan, options: &Options) -> Result<()> {
    match options.seed {
        Some(seed) if seed != plan.seed.0 => Err(Error::RunDir {
            dir: dir.root.clone(),
            problem: format!("the run was begun with seed {}, not {seed}", plan.seed),
        }),
        _ => Ok(()),
    }
}

/// See [`Run::resume_with`].
fn open(dir: RunDir, options: &Options, lab: Arc<dyn Lab>, data: Arc<dyn TaskData>) -> Result<Run> {
    if !dir.root.is_dir() {
        // What is wrong is said where the plan is read.
        dir.read_plan()?;
    }
    let lock = dir.lock()?;
    open_locked(dir, lock, options, lab, data)
}

/// Opens a run whose folder is locked.
fn open_locked(
    dir: RunDir,
    folder: File,
    options: &Options,
    lab: Arc<dyn Lab>,
    data: Arc<dyn TaskData>,
) -> Result<Run> {
    let plan = dir.read_plan()?;
    let locks = [folder, dir.lock_plan()?];
    let experiment = read_experiment(&dir, &plan)?;
    same_seed(&dir, &plan, options)?;
    formulas::same(&dir.root, &plan, &experiment, &Versions::here())?;
    let arms = experiment.all_arms()?;
    same_engine(&dir.root, &plan, lab.as_ref())?;
    let node = nodes::key_of_run(options, &dir, &plan.node)?;
    rundir::remove_temporaries(&dir.root)?;
    let blobs = Blobs::open(dir.blobs())?;
    let log = open_log(&dir, &plan, &node)?;
    let state = opened::fold(&plan, (0..log.size()).map(|index| Ok(log.entry(index)?)))?;
    if state.entries > 0 {
        opened::hold(&plan, state.plan)?;
    }

    let compiled = options.compiled.as_ref();
    let cache = compiled.map(|dir| CompiledCache::new(dir, &node, options.compiled_bytes));
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    let workers = match options.workers.unwrap_or(experiment.run.workers) {
        0 => cores(),
        n => n.min(fedseal_tuning::limits::MAX_THREADS),
    };
    let shared = Shared::open(plan, experiment, &blobs, lab, data, cache)?;
    let feed = Feed::open(&dir.events())?;
    let mut run = Run {
        shared: Arc::new(shared),
        arms,
        node,
        log,
        blobs,
        feed,
        state,
        workers,
        lent: None,
        desk: None,
        cache: Cache::default(),
        adapters: Default::default(),
        shards: Default::default(),
        probed: Default::default(),
        replays: Default::default(),
        update_keys: Default::default(),
        optimisers: Default::default(),
        progress: Progress::default(),
        begun: Instant::now(),
        seconds_before: seconds_so_far(&dir),
        report_due: None,
        keys: options.keys.clone(),
        _locks: locks,
        dir,
    };
    run.log_opening()?;
    run.log_revoked_authors()?;
    run.log_rotations(options)?;
    Ok(run)
}

impl Shared {
    /// State of a run by its plan: canaries drawn again, modules verified and compiled.
    ///
    /// # Errors
    /// A blob that is missing, canaries that are not those that were sealed, a module that no sandbox runs.
    pub(crate) fn open(
        plan: Plan,
        experiment: Experiment,
        blobs: &Blobs,
        lab: Arc<dyn Lab>,
        data: Arc<dyn TaskData>,
        cache: Option<CompiledCache>,
    ) -> Result<Shared> {
        own::same_data(&plan, &data.pins())?;
        let canaries = sealed_canaries(data.as_ref(), &experiment, &plan)?;
        let evaluation: EvaluationSet = canonical::from_slice(&blobs.get(&plan.evaluation)?)?;
        let labelled = data.labelled()?;
        let judge = (!labelled.is_empty()).then(|| DataCheck::train(&labelled));
        let executor = lab.executor(&plan, blobs, experiment.limits, cache)?;
        let executor = crate::guard::guard(executor, &experiment, &plan);
        Ok(Shared {
            lab,
            data,
            experiment,
            plan,
            executor,
            judge,
            canaries,
            evaluation,
            cancel: AtomicBool::new(false),
        })
    }
}

/// Refuses another base or engine than the run was begun with.
pub(crate) fn same_engine(place: &Path, plan: &Plan, lab: &dyn Lab) -> Result<()> {
    if lab.base() != plan.base {
        return Err(Error::mismatch(
            "base model",
            "is not the one the run was made with",
            &plan.base,
            &lab.base(),
        ));
    }
    if lab.fingerprint() != plan.engine {
        return Err(Error::RunDir {
            dir: place.to_owned(),
            problem: format!(
                "made by engine `{}`, this one is `{}`; its bits would differ",
                plan.engine,
                lab.fingerprint()
            ),
        });
    }
    Ok(())
}

/// Opens a run's log for writing; makes it where there is none.
fn open_log(dir: &RunDir, plan: &Plan, node: &SigningKey) -> Result<Log> {
    let folder = dir.log();
    if folder.join("checkpoint").exists() {
        return Ok(Log::open(&folder, &plan.origin, node.clone())?);
    }
    // Killed before the first checkpoint: nothing of the log counts yet.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
    }
    Ok(Log::create(&folder, &plan.origin, node.clone())?)
}

/// The canaries, drawn again, which must be those that were sealed.
fn sealed_canaries(data: &dyn TaskData, experiment: &Experiment, plan: &Plan) -> Result<CanarySet> {
    let canaries = canary::draw(data, experiment, plan.seed.0)?;
    let drawn = Digest::of_json(&canaries)?;
    if drawn != plan.canaries {
        return Err(Error::mismatch(
            "canaries",
            "the data give others than were sealed",
            &plan.canaries,
            &drawn,
        ));
    }
    Ok(canaries)
}

/// Seconds of work before, by the last report; 0 where none can be read.
fn seconds_so_far(dir: &RunDir) -> f64 {
    dir.read("report.json", MAX_REPORT)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok())
        .map_or(0.0, |report| report.seconds)
}

impl Run {
    /// The entries before the first round, as far as they are missing.
    fn log_opening(&mut self) -> Result<()> {
        if self.state.entries > 0 {
            return Ok(());
        }
        let shared = self.shared.clone();
        let plan = &shared.plan;
        self.append(&Record::RunOpened {
            run_config: Digest::of_json(plan)?,
            base: plan.base,
            node: plan.node,
            seed: plan.seed,
            created: plan.created.clone(),
        })?;
        for module in &plan.modules {
            self.append(&Record::ModuleRegistered {
                module: module.digest,
                envelope: module.envelope,
                name: module.name.clone(),
                signer: module.signer,
            })?;
        }
        for client in &plan.clients {
            let mut registered = BTreeSet::new();
            for assignment in client.assignments() {
                if !registered.insert(assignment.shard) {
                    continue;
                }
                self.append(&Record::ClientRegistered {
                    client: client.client.clone(),
                    key: client.key,
                    shard: assignment.shard,
                    examples: assignment.examples,
                    kind: None,
                })?;
            }
        }
        self.append(&Record::CanariesSealed {
            digest: plan.canaries,
        })?;
        // One checkpoint for all of it: a restart finds the whole opening or none of it.
        self.publish()
    }
}

/// Module authors that the node trusts: `trusted.toml`, or else the local author's own key; and who
/// built what was installed.
fn authors(options: &Options) -> Result<TrustStore> {
    let file = options.keys.join("trusted.toml");
    if file.exists() {
        let mut store = TrustStore::load(&file)?;
        store.take_in(&options.installed);
        return Ok(store);
    }
    let author = options.keys.join("author.pem");
    let mut store = TrustStore::default();
    if author.exists() {
        let key = SigningKey::load_with(&author, options.passphrase.as_ref())?;
        store.add("local author", key.public());
    }
    store.take_in(&options.installed);
    if store.keys.is_empty() {
        return Err(Error::Missing {
            what: format!("trusted module authors in {}", file.display()),
            hint: "build the modules with `fedseal policy build`, which makes a local author key, or list authors there".into(),
        });
    }
    Ok(store)
}

/// The prompts that the run is measured on: those after the offset.
fn evaluation_set(experiment: &Experiment, data: &dyn TaskData) -> Result<EvaluationSet> {
    let config = &experiment.evaluation;
    let requests = data.eval_requests(config.offset.saturating_add(config.prompts));
    let tasks = data.eval_tasks(config.offset.saturating_add(config.tasks));
    Ok(EvaluationSet {
        requests: requests?.split_off(config.offset),
        tasks: tasks?.split_off(config.offset),
        look_alikes: data.look_alikes(config.lookalikes)?,
    })
}

//! Where a run's things are: keys, modules, model, data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{Passphrase, PublicKey, TrustStore};
use fedseal_data::TaskData;
use fedseal_record::rundir::Plan;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas;
use fedseal_rules::text::ANSWERS;
use fedseal_tuning::Joining;
use serde::{Deserialize, Serialize};

use crate::lab::TuningLab;
use crate::{Result, own};

/// Paths, and the use of the machine; nothing here is part of the experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Folder of keys: `node.pem`, `author.pem`, `trusted.toml`; made at first use.
    pub keys: PathBuf,
    /// Passphrase of the keys in it that are encrypted.
    pub passphrase: Option<Passphrase>,
    /// Folder of signed modules: `NAME.wasm` with `NAME.wasm.dsse.json`.
    pub modules: PathBuf,
    /// Keys whose modules count beside those of `trusted.toml`, which may revoke them: who built what
    /// was installed with this program.
    pub installed: TrustStore,
    /// Folder in which compiled modules are kept; see [`CompiledCache`](fedseal_sandbox::CompiledCache).
    /// None: they are compiled at every start.
    pub compiled: Option<PathBuf>,
    /// Bytes of all of them together; 0 keeps none.
    pub compiled_bytes: u64,
    /// Folder of models: `smollm2/…`.
    pub models: PathBuf,
    /// Folder of fetched prompt sets.
    pub prompts: PathBuf,
    /// Folder that an experiment's own files are relative to: that of the experiment file.
    pub files: PathBuf,
    /// Modules by digest that `[[clients]]` may name, with their signatures: those of a registry.
    pub submitted: BTreeMap<Digest, Submitted>,
    /// Nodes that enrolled, by the names of their clients, for an experiment whose clients are nodes.
    pub enrolled: BTreeMap<String, Enrolled>,
    /// Seed instead of the experiment's first.
    pub seed: Option<u64>,
    /// Device instead of the experiment's.
    pub device: Option<String>,
    /// Threads of the CPU device instead of the experiment's; 0: all cores.
    pub threads: Option<usize>,
    /// Updates and evaluations executed side by side instead of the experiment's; 0: as many as
    /// there are cores.
    pub workers: Option<usize>,
}

/// A module that somebody submitted; nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The component.
    pub bytes: Vec<u8>,
    /// Its author's statement.
    pub envelope: Envelope,
}

/// A client that is a node, as it enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Its key.
    pub key: PublicKey,
    /// Digest of its shard.
    pub shard: Digest,
    /// Examples in the shard.
    pub examples: u32,
    /// Rules of its site, as TOML; signers in them are keys.
    pub site: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keys: "keys".into(),
            passphrase: None,
            modules: "target/policies".into(),
            installed: TrustStore::default(),
            compiled: None,
            compiled_bytes: fedseal_sandbox::CACHE_BYTES,
            models: "models".into(),
            prompts: "models/prompts".into(),
            files: ".".into(),
            submitted: BTreeMap::new(),
            enrolled: BTreeMap::new(),
            seed: None,
            device: None,
            threads: None,
            workers: None,
        }
    }
}

/// Loads the experiment's model; sets the device's threads.
pub fn open_model(experiment: &Experiment, options: &Options) -> Result<(TuningLab, String)> {
    open_model_with(experiment, options, Joining::Whole)
}

/// As [`open_model`], for the model as a run had it.
pub(crate) fn open_model_of(
    plan: &Plan,
    experiment: &Experiment,
    options: &Options,
) -> Result<(TuningLab, String)> {
    let answers = formulas::text(ANSWERS.name);
    let joining = match plan.versions.of(&answers) {
        formulas::FIRST => Joining::Apart,
        _ => Joining::Whole,
    };
    open_model_with(experiment, options, joining)
}

fn open_model_with(
    experiment: &Experiment,
    options: &Options,
    joining: Joining,
) -> Result<(TuningLab, String)> {
    fedseal_tuning::set_threads(options.threads.unwrap_or(experiment.run.threads));
    let device = options.device.as_deref().unwrap_or(&experiment.run.device);
    TuningLab::load_with(experiment, &options.models, device, joining)
}

/// Opens the experiment's data.
pub fn load_data(experiment: &Experiment, options: &Options) -> Result<Arc<dyn TaskData>> {
    if experiment.data.source == "world" {
        return Ok(Arc::new(fedseal_data::world::World::new()));
    }
    if experiment.data.is_files() {
        return Ok(Arc::new(own::data(&experiment.data, &options.files)?));
    }
    let dir = if experiment.data.dir.is_empty() {
        options.prompts.clone()
    } else {
        experiment.data.dir.clone().into()
    };
    let real = fedseal_data::real::RealData::load(&dir)?;
    Ok(Arc::new(real))
}

//! Options of every worker, wherever its jobs come from: folders, a device, and how many jobs at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_federation::Result;
use fedseal_federation::lab::Lab;
use fedseal_federation::options::{load_data, open_model};
use fedseal_federation::runner::Options;
use fedseal_federation::worker::hands::Hands;
use fedseal_federation::worker::{Coordinator, Worker};
use fedseal_ledger::Blobs;
use fedseal_sandbox::CompiledCache;

use crate::failure::{Failure, Outcome};
use crate::places::{self, Places};
use crate::{output, stop};

/// Options of a worker.
#[derive(Args, Default)]
pub(super) struct Bench {
    /// Folder of the run's blobs; by default worker in the folder of keys.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Folder of fetched models and prompts.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder of the run's experiment file, where its data are own files: the same ones as the run's.
    #[arg(long, value_name = "DIR", default_value = ".")]
    files: PathBuf,
    /// Jobs at once; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Device, instead of what the experiment says: it must be of the run's engine.
    #[arg(long)]
    device: Option<String>,
    /// Threads of the CPU device; 0: all cores. The bits do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Say nothing about single jobs.
    #[arg(long, short)]
    quiet: bool,
}

impl Bench {
    /// This worker's key: the given file, or worker.pem in the folder of keys, made at first use.
    pub(super) fn key(&self, given: Option<&Path>) -> Outcome<SigningKey> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => places::home()?.join("worker.pem"),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder, &error))?;
        }
        Ok(SigningKey::load_or_create(&path)?)
    }

    /// Works until it is stopped. Compiled modules are kept under a tag of `key`.
    pub(super) fn work(&self, coordinator: &dyn Coordinator, key: SigningKey) -> Outcome {
        let home = places::home()?;
        let state = self.state.clone().unwrap_or_else(|| home.join("worker"));
        let blobs = Blobs::open(state.join("blobs")).map_err(Failure::new)?;
        let places = Places::find();
        let models = places.models_or(self.models.as_deref())?;
        let options = Options {
            prompts: models.join("prompts"),
            models,
            files: self.files.clone(),
            device: self.device.clone(),
            threads: self.threads,
            ..Options::default()
        };
        let compiled = places.compiled()?;
        let open = |plan: Digest, blobs: Blobs| -> Result<Hands> {
            let cache = CompiledCache::new(&compiled, &key, fedseal_sandbox::CACHE_BYTES);
            Hands::open(
                plan,
                blobs,
                |experiment| {
                    let (lab, _) = open_model(experiment, &options)?;
                    Ok(Arc::new(lab) as Arc<dyn Lab>)
                },
                |experiment| load_data(experiment, &options),
                Some(cache),
            )
        };
        output::line("Ctrl-C stops it; jobs under way are given back");
        stop::watch("stopping; press Ctrl-C again to end at once");
        let jobs = match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            jobs => jobs.min(fedseal_tuning::limits::MAX_THREADS),
        };
        let told = |line: &str| {
            if !self.quiet {
                output::note(format_args!("fedseal: {line}"));
            }
        };
        Worker::new(blobs, &open).run(coordinator, jobs, stop::flag(), &told);
        Ok(())
    }
}

//! Executing an experiment: resumable at any point, every step in the log before the next one
//! builds on it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::events::Event;
use crate::experiment::Experiment;
use crate::report::Report;

/// Where things are and how the machine is used; nothing here is part of the experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Folder of keys: `node.pem`, `author.pem`, `trusted.toml`, `clients/`; made at first use.
    pub keys: PathBuf,
    /// Folder of signed modules: `NAME.wasm` with `NAME.wasm.dsse.json`.
    pub modules: PathBuf,
    /// Folder of models: `smollm2/…`.
    pub models: PathBuf,
    /// Folder of fetched prompt sets.
    pub prompts: PathBuf,
    /// Seed instead of the experiment's first.
    pub seed: Option<u64>,
    /// Device instead of the experiment's.
    pub device: Option<String>,
    /// Threads of one tensor operation instead of the experiment's.
    pub threads: Option<usize>,
    /// Updates and evaluations executed side by side instead of the experiment's.
    pub workers: Option<usize>,
}

/// One run of an experiment in its folder.
pub struct Run {
    dir: PathBuf,
}

impl Run {
    /// Makes a new run in `dir`, which must be empty or not exist.
    pub fn create(dir: impl AsRef<Path>, experiment: Experiment, options: Options) -> Result<Run> {
        let _ = (experiment, options);
        Ok(Run { dir: dir.as_ref().to_owned() })
    }

    /// Opens a run that was stopped or killed; goes on at the last published log entry.
    pub fn resume(dir: impl AsRef<Path>, options: Options) -> Result<Run> {
        let _ = options;
        Ok(Run { dir: dir.as_ref().to_owned() })
    }

    /// Executes everything that is left. The callback may stop it with `Break` (also on
    /// [`Event::Tick`], several times a second); then the result is [`crate::Error::Interrupted`]
    /// and the run can be resumed.
    pub fn execute(&mut self, watch: &mut dyn FnMut(&Event) -> ControlFlow<()>) -> Result<Report> {
        let _ = (watch, &self.dir);
        todo!()
    }
}

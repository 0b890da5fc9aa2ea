//! A run's folder: its files, how they are written, and `run.json`, the plan that the log's first
//! entry pins.
//!
//! ```text
//! run.json          the plan (also a blob; its digest is in the first log entry)
//! experiment.toml   the experiment, every key (also a blob; its digest is in run.json)
//! log/              the Merkle log: checkpoint, tiles, entries
//! blobs/aa/SHA256   adapters, envelopes, transcripts, shards, modules, answers, report
//! report.json       the report; at the end equal to its blob
//! events.jsonl      the live feed; its digest is in the final report
//! judged/           what outside judges said of the answers after the run, signed; where one was asked
//! ```
//!
//! A run's folder may come from anybody: its files are read through [`RunDir::read`],
//! [`RunDir::digest`] and the ledger's readers, which open regular files only, follow no link and read
//! no more than the bounds here.

use std::path::PathBuf;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;

use crate::error::{Error, Result};

mod dates;
mod lock;
mod memory;
mod place;
mod plan;
mod write;

pub use dates::{now, rfc3339};
pub use memory::peak_mb;
pub use place::{MAX_NAME, SEED, is_name};
pub use plan::{
    Assignment, FORMAT, FORMULAS, MAX_PLAN, Part, Plan, PlannedClient, PlannedMeasure,
    PlannedModule,
};
pub use write::{remove_temporaries, write_atomically};

/// Longest report.json, bytes: a few million updates.
pub const MAX_REPORT: u64 = 1 << 30;

/// Longest events.jsonl, bytes. It is hashed in pieces.
pub const MAX_EVENTS: u64 = 1 << 30;

/// Names in a run's own folder, at most.
const MOST_NAMES: usize = 1000;

/// Paths of a run's folder.
#[derive(Debug, Clone)]
pub struct RunDir {
    /// The folder.
    pub root: PathBuf,
}

impl RunDir {
    /// The paths of `root`; nothing is read.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        RunDir { root: root.into() }
    }

    /// `run.json`.
    pub fn plan(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// `experiment.toml`.
    pub fn experiment(&self) -> PathBuf {
        self.root.join("experiment.toml")
    }

    /// The log's folder.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The blobs' folder.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// `report.json`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// `events.jsonl`.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// Reads a file of the folder: a regular one, of at most so many bytes.
    ///
    /// # Errors
    /// [`Error::Io`] with its path.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        outside::read(&self.root, name, most)
            .map_err(|source| Error::io(self.root.join(name), source))
    }

    /// The digest of a file of the folder, as [`RunDir::read`] finds it. It is not held in memory.
    ///
    /// # Errors
    /// [`Error::Io`] with its path.
    pub fn digest(&self, name: &str, most: u64) -> Result<Digest> {
        outside::digest(&self.root, name, most)
            .map_err(|source| Error::io(self.root.join(name), source))
    }

    /// Every name in the folder, in order.
    ///
    /// # Errors
    /// [`Error::Io`], also for more names than any run has.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = outside::names(&self.root, MOST_NAMES)
            .map_err(|source| Error::io(&self.root, source))?;
        let names = names.iter().map(|entry| entry.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }
}

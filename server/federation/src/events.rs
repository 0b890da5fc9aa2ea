//! What a run tells while it goes on: events for a callback and lines of events.jsonl.
//!
//! The feed is for people. Nothing is concluded from it; its digest stands in the final report, so
//! that it cannot be changed unseen.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::admission::Effect;
use crate::error::{Error, Result};
use crate::report::Rate;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A step was done; `done` of `total`.
    Progress {
        /// Seconds of work so far.
        seconds: f64,
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
        /// What was done, for people.
        label: String,
    },
    /// A client's module was executed.
    Update {
        /// The client.
        client: String,
        /// The round.
        round: u32,
        /// The attestation's digest, hex.
        update: String,
        /// Seconds it took.
        seconds: f64,
        /// Why there is no update, where there is none.
        failure: Option<String>,
    },
    /// Admission decided.
    Verdict {
        /// The arm.
        arm: String,
        /// The round.
        round: u32,
        /// The client.
        client: String,
        /// The effect.
        effect: Effect,
        /// The deciding check.
        check: String,
        /// The deciding fact.
        fact: String,
    },
    /// A round of an arm ended.
    Round {
        /// The arm.
        arm: String,
        /// The round.
        round: u32,
        /// The next global adapter, hex.
        global: String,
        /// How many updates counted.
        counted: usize,
        /// Whether the next global adapter is the one that the round began with.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        unchanged: bool,
    },
    /// An adapter was measured.
    Evaluated {
        /// The arm.
        arm: String,
        /// After this round; the last one for the final measure.
        round: u32,
        /// Whether it is the arm's final measure.
        last: bool,
        /// Rule.
        safety: Rate,
        /// Helpfulness.
        helpfulness: Rate,
    },
    /// Something worth a line.
    Note {
        /// The line.
        text: String,
    },
    /// The run is closed.
    Finished {
        /// Seconds of work in all.
        seconds: f64,
    },
    /// Nothing happened for a while; only for callbacks that want to interrupt. Never written.
    Tick,
}

/// The file of events.
pub struct Feed {
    file: File,
    path: PathBuf,
}

impl Feed {
    /// Opens a feed for appending; a torn last line of a killed run is ended first.
    pub fn open(path: &Path) -> Result<Feed> {
        let torn = std::fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|b| *b != b'\n'));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| Error::io(path, source))?;
        if torn {
            file.write_all(b"\n")
                .map_err(|source| Error::io(path, source))?;
        }
        Ok(Feed {
            file,
            path: path.to_owned(),
        })
    }

    /// Appends one event.
    pub fn write(&mut self, event: &Event) -> Result<()> {
        if *event == Event::Tick {
            return Ok(());
        }
        let mut line = serde_json::to_vec(event)
            .map_err(|error| Error::io(&self.path, std::io::Error::other(error)))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|source| Error::io(&self.path, source))
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|source| Error::io(&self.path, source))
    }

    /// Digest of the whole file.
    pub fn digest(&self) -> Result<Digest> {
        let bytes = std::fs::read(&self.path).map_err(|source| Error::io(&self.path, source))?;
        Ok(Digest::of(&bytes))
    }
}

//! Events of a run while it goes on: for a callback, and as lines of events.jsonl.
//!
//! The feed is for people. Nothing is concluded from it. Its digest is in the final report, so that
//! a change of it is noticed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::report::Rate;
use crate::rundir::MAX_EVENTS;
use fedseal_rules::admission::Effect;

/// One thing that happened.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
        /// The step that was done, for people.
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
    /// A client's module wrote log lines while it ran.
    Said {
        /// The client.
        client: String,
        /// The round.
        round: u32,
        /// Arms of which it is an execution.
        arms: Vec<String>,
        /// The lines, in order.
        lines: Vec<String>,
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

/// Bytes of lines that are held back, at most.
const HELD: usize = 64 << 10;

/// The file of events.
pub struct Feed {
    file: File,
    path: PathBuf,
    /// Lines that are held back.
    held: Option<Vec<u8>>,
}

impl Feed {
    /// Opens a feed for appending; a torn last line of a killed run is ended first.
    ///
    /// # Errors
    /// [`Error::Io`], also for a link, a pipe or whatever else is no file.
    pub fn open(path: &Path) -> Result<Feed> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        outside::no_link(&mut options);
        let file = options.open(path).and_then(outside::regular);
        let mut file = file.map_err(|source| Error::io(path, source))?;
        let torn = torn(&mut file).map_err(|source| Error::io(path, source))?;
        if torn {
            file.write_all(b"\n")
                .map_err(|source| Error::io(path, source))?;
        }
        Ok(Feed {
            file,
            path: path.to_owned(),
            held: None,
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
        let Some(held) = &mut self.held else {
            return self.append(&line);
        };
        held.append(&mut line);
        match held.len() > HELD {
            true => {
                let lines = std::mem::take(held);
                self.append(&lines)
            }
            false => Ok(()),
        }
    }

    fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.file
            .write_all(lines)
            .map_err(|source| Error::io(&self.path, source))
    }

    /// Holds lines back from here on, some tens of KiB of them: of events that come by the hundred each would be
    /// a write of its own.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Appends the lines that were held back, and holds none from here on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn release(&mut self) -> Result<()> {
        match self.held.take() {
            Some(lines) if !lines.is_empty() => self.append(&lines),
            _ => Ok(()),
        }
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|source| Error::io(&self.path, source))
    }

    /// Digest of the whole file.
    pub fn digest(&self) -> Result<Digest> {
        self.file
            .try_clone()
            .and_then(|file| outside::digest_of(file, MAX_EVENTS))
            .map_err(|source| Error::io(&self.path, source))
    }
}

/// Whether a file does not end with the end of a line.
fn torn(file: &mut File) -> std::io::Result<bool> {
    if outside::length(file, MAX_EVENTS)? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_ended_and_the_digest_is_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let note = Event::Note { text: "x".into() };
        Feed::open(&path).unwrap().write(&note).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.as_slice(), b"{\"torn"].concat()).unwrap();
        let mut feed = Feed::open(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        feed.hold();
        feed.write(&note).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        feed.release().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, [whole.as_slice(), b"{\"torn\n", &whole].concat());
        assert_eq!(feed.digest().unwrap(), Digest::of(&bytes));
        assert_eq!(
            Feed::open(&path).unwrap().digest().unwrap(),
            Digest::of(&bytes)
        );
    }

    /// A folder to go on with may come from elsewhere.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_feed_is_a_file_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(made.unwrap().success());
        std::os::unix::fs::symlink("elsewhere", at("link")).unwrap();
        for name in ["pipe", "link"] {
            assert!(Feed::open(&at(name)).is_err(), "{name}");
        }
        assert!(!at("elsewhere").exists());
    }
}

//! Files of one federation's books: its state as it was at some moment, and what has changed since. A change adds a
//! line and rewrites nothing, so that ten thousand enrolments write as much as they say.
//!
//! `state.json` has the number of the file of its changes. Once the changes are as long as the state, both become one
//! state with the next number, whose file of changes is empty. Whoever is killed meanwhile leaves the pair of before,
//! or the next one; a line that was cut off is none, and the next change takes its place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_record::rundir::write_atomically;
use fedseal_rules::experiment::Experiment;

use super::places::refused;
use super::state::{Change, FORMAT, Federation, OLDEST_FORMAT, Standing};
use crate::{Error, Result};

/// Changes that are not taken into the state before they are so long, bytes.
const LEAST_CHANGES: u64 = 256 << 10;
/// Longest change, bytes: a node with as many shards as it may bring has its rules in each of them.
const LONGEST_CHANGE: u64 = 256 << 20;
/// Times that a federation is read whose state is written anew meanwhile.
const TRIES: u32 = 10;

/// A federation as its files have it, and as much of them as was read.
#[derive(Debug)]
pub(super) struct Book {
    name: String,
    folder: PathBuf,
    /// State file that it was read from.
    stamp: Stamp,
    /// Bytes of changes that are in the state.
    read: u64,
    federation: Federation,
    /// The experiment as its file has it, which does not change.
    experiment: Arc<Experiment>,
    /// Keys of nodes; why they were given up, where they were.
    keys: BTreeMap<PublicKey, Option<String>>,
}

/// Length, time and number of a file: they tell it from the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Stamp> {
        let meta = fs::metadata(path)?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Stamp {
            length: meta.len(),
            modified: meta.modified().ok(),
            inode,
        })
    }
}

/// The state file of a federation's folder.
pub(super) fn state_of(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// Writes a federation's state as a whole.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn write_state(folder: &Path, federation: &Federation) -> Result<()> {
    write_atomically(&state_of(folder), &canonical::to_vec(federation)?)
}

fn stamped(name: &str, path: &Path) -> Result<Stamp> {
    Stamp::of(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refused(
            format!("there is no federation {name}"),
            "`fedseal federation list` names those that there are",
        ),
        _ => Error::io(path, error),
    })
}

impl Book {
    /// Reads a federation.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none of this name; a file that cannot be read.
    pub(super) fn open(name: &str, folder: &Path) -> Result<Book> {
        let state = state_of(folder);
        for _ in 0..TRIES {
            let stamp = stamped(name, &state)?;
            let federation = read_state(&state)?;
            let path = folder.join("federation.toml");
            let text = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
            let experiment = Experiment::parse(&text, &path.display().to_string())?;
            let mut book = Book {
                name: name.to_owned(),
                folder: folder.to_owned(),
                stamp,
                read: 0,
                keys: keys_of(&federation),
                federation,
                experiment: Arc::new(experiment),
            };
            book.follow()?;
            if stamped(name, &state)? == stamp {
                return Ok(book);
            }
        }
        Err(refused(
            format!("the state of federation {name} is written anew all the time"),
            "try again in a moment",
        ))
    }

    /// Takes in what others changed since.
    ///
    /// # Errors
    /// As [`Book::open`].
    pub(super) fn refresh(&mut self) -> Result<()> {
        let path = self.changes();
        let length = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io(&path, error)),
        };
        if length > self.read {
            self.follow()?;
        }
        // Looked at last: what was read before belongs to this state.
        let same = stamped(&self.name, &state_of(&self.folder))? == self.stamp;
        if !same || length < self.read {
            *self = Book::open(&self.name, &self.folder)?;
        }
        Ok(())
    }

    /// The federation.
    pub(super) fn federation(&self) -> &Federation {
        &self.federation
    }

    /// Its experiment, as its file has it.
    pub(super) fn experiment(&self) -> &Arc<Experiment> {
        &self.experiment
    }

    /// Standing of a key.
    pub(super) fn standing(&self, key: &PublicKey) -> Standing {
        match self.keys.get(key) {
            None => Standing::Stranger,
            Some(None) => Standing::Node,
            Some(Some(reason)) => Standing::Revoked(reason.clone()),
        }
    }

    /// Keys that were given up, with the reasons.
    pub(super) fn revoked(&self) -> Vec<(PublicKey, String)> {
        let given_up = self.keys.iter();
        given_up
            .filter_map(|(key, reason)| Some((*key, reason.clone()?)))
            .collect()
    }

    /// Makes a change and writes it down durably. The federation's lock is held, and this was refreshed under it.
    ///
    /// # Errors
    /// [`Error::Io`] for a line that is not durable; it is taken back.
    pub(super) fn add(&mut self, change: Change) -> Result<()> {
        if self.federation.format != FORMAT {
            // A program of before would not see the change, and refuses the new state.
            self.compact()?;
        }
        let path = self.changes();
        let mut line = serde_json::to_vec(&change).map_err(|error| Error::Data(error.into()))?;
        line.push(b'\n');
        self.append(&path, &line)
            .map_err(|source| Error::io(&path, source))?;
        self.take(change)
            .map_err(|problem| Error::tampered(path.display().to_string(), problem))?;
        self.read += line.len() as u64;
        if self.read >= self.stamp.length.max(LEAST_CHANGES) {
            // The change is made already; a disk that is full now has room another time.
            let _ = self.compact();
        }
        Ok(())
    }

    fn append(&self, path: &Path, line: &[u8]) -> std::io::Result<()> {
        let new = !path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        // A line that somebody did not end is nobody's.
        file.set_len(self.read)?;
        file.seek(SeekFrom::Start(self.read))?;
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if written.is_err() {
            let _ = file.set_len(self.read);
        }
        written?;
        if new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Writes state and changes as one state, with an empty file of changes.
    fn compact(&mut self) -> Result<()> {
        let before = self.changes();
        let next = Federation {
            format: FORMAT,
            changes: self.federation.changes + 1,
            ..self.federation.clone()
        };
        let after = self.folder.join(file_of(next.changes));
        match fs::remove_file(&after) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(&after, error));
            }
            _ => {}
        }
        write_state(&self.folder, &next)?;
        self.stamp = stamped(&self.name, &state_of(&self.folder))?;
        self.federation = next;
        self.read = 0;
        // Nothing names it any more.
        let _ = fs::remove_file(before);
        Ok(())
    }

    /// The file of changes.
    fn changes(&self) -> PathBuf {
        self.folder.join(file_of(self.federation.changes))
    }

    /// Takes in the lines that were added since.
    fn follow(&mut self) -> Result<()> {
        let path = self.changes();
        let io = |source| Error::io(&path, source);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        file.seek(SeekFrom::Start(self.read)).map_err(io)?;
        let bad = |problem: String| Error::tampered(path.display().to_string(), problem);
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut one = lines.by_ref().take(LONGEST_CHANGE);
            let read = one.read_until(b'\n', &mut line).map_err(io)? as u64;
            if !line.ends_with(b"\n") {
                return match read < LONGEST_CHANGE {
                    true => Ok(()),
                    false => Err(bad(format!("a line has more than {LONGEST_CHANGE} bytes"))),
                };
            }
            let change = match serde_json::from_slice::<Change>(&line) {
                Ok(change) => change,
                // Cut off by a crash, with its end on the disk before its middle.
                Err(_) if lines.fill_buf().map_err(io)?.is_empty() => return Ok(()),
                Err(error) => return Err(bad(format!("at byte {}: {error}", self.read))),
            };
            self.take(change).map_err(bad)?;
            self.read += read;
        }
    }

    /// Takes a change into the state, or says why it has no place there.
    fn take(&mut self, change: Change) -> std::result::Result<(), String> {
        match &change {
            Change::Enrolled { members, .. } => {
                let new = members.values().map(|joined| (joined.member.key, None));
                self.keys.extend(new);
            }
            Change::Revoked { key, reason } if self.federation.is_begun() => {
                self.keys.insert(*key, Some(reason.clone()));
            }
            Change::Revoked { key, .. } => drop(self.keys.remove(key)),
            Change::Invited(_) | Change::Became { .. } => {}
        }
        self.federation.apply(change)
    }
}

/// Name of the file of changes with a number.
fn file_of(number: u64) -> String {
    format!("changes-{number}.jsonl")
}

fn read_state(path: &Path) -> Result<Federation> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let federation: Federation = canonical::from_slice(&bytes)
        .map_err(|error| Error::tampered(path.display().to_string(), error))?;
    match federation.format {
        OLDEST_FORMAT..=FORMAT => Ok(federation),
        other => Err(Error::tampered(
            path.display().to_string(),
            format!("is of format {other}, this program reads {OLDEST_FORMAT} to {FORMAT}"),
        )),
    }
}

fn keys_of(federation: &Federation) -> BTreeMap<PublicKey, Option<String>> {
    let members = federation.members.values();
    members
        .map(|joined| (joined.member.key, joined.revoked.clone()))
        .collect()
}

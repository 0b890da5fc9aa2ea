//! Checkpoints of a run's log that its nodes cosigned.
//!
//! A node's note is kept in three parts: the checkpoint, the log's line and one of the node's own. More lines
//! would let a node fill the answers that the others get, or the last checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{
    Checkpoint, KeyKind, MAX_NOTE, VerifierKey, add_signatures, cosigned_at, signed_by_only,
};
use fedseal_ledger::add_cosignatures;

use super::Books;
use super::places::refused;
use super::state::Notes;
use crate::protocol::witness_name;
use crate::{Error, Result};
use fedseal_record::rundir::{RunDir, write_atomically};

/// Longest note that is kept of a node, bytes: three lines, the log's signature and the node's.
const LONGEST: usize = 4 << 10;
/// How long a log that somebody else has open is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

fn witness(key: &PublicKey) -> fedseal_client_sdk::Result<VerifierKey> {
    VerifierKey::new(&witness_name(key), KeyKind::Witness, *key)
}

/// The last line of a key in a note.
fn line(note: &str, key: &VerifierKey) -> fedseal_client_sdk::Result<String> {
    let own = signed_by_only(note, key)?;
    let lines = own.split_once("\n\n").map_or("", |(_, lines)| lines);
    let last = lines.split_inclusive('\n').next_back();
    Ok(last.unwrap_or_default().to_owned())
}

impl Books {
    /// Keeps a checkpoint of this log that a node cosigned; the newest of each node.
    ///
    /// # Errors
    /// [`Error::Refused`] for a note that is not the log's, or not cosigned by this node.
    pub fn cosign(&self, name: &str, log: &VerifierKey, key: PublicKey, note: &str) -> Result<()> {
        let bad = |error: fedseal_client_sdk::Error| {
            refused(
                format!("the cosigned checkpoint does not hold: {error}"),
                "send the checkpoint of the run's log with the node's own line",
            )
        };
        let checkpoint = Checkpoint::verify(note, &log.name, &log.key).map_err(bad)?;
        let witness = witness(&key).map_err(bad)?;
        if cosigned_at(note, &witness).map_err(bad)?.is_none() {
            return Err(refused(
                "the checkpoint has no line of this node",
                "cosign it with the key that signs the request",
            ));
        }
        let kept = signed_by_only(note, log).map_err(bad)?;
        let own = line(note, &witness).map_err(bad)?;
        let kept = add_signatures(&kept, &own).map_err(bad)?;
        if kept.len() > LONGEST {
            return Err(refused(
                format!("the cosigned checkpoint has {} bytes", kept.len()),
                format!("at most {LONGEST}, with one line of the log and one of the node"),
            ));
        }
        let before = {
            let notes = self.notes(name)?;
            let note = notes.get(name).and_then(|notes| notes.get(&key));
            note.and_then(|note| Checkpoint::parse(note).ok())
        };
        if before.is_some_and(|before| before.size > checkpoint.size) {
            return Ok(());
        }
        // Others look at the notes meanwhile; a node itself sends one after the other.
        write_atomically(&self.cosigned_by(name, &key)?, kept.as_bytes())?;
        let mut notes = self.notes(name)?;
        notes.entry(name.to_owned()).or_default().insert(key, kept);
        Ok(())
    }

    fn cosigned_by(&self, name: &str, key: &PublicKey) -> Result<PathBuf> {
        let file = format!("{}.note", key.key_id());
        Ok(self.folder(name)?.join("cosigned").join(file))
    }

    /// The notes of all federations, with those of this one among them. They are read once: nobody but the
    /// server writes them.
    fn notes(&self, name: &str) -> Result<MutexGuard<'_, Notes>> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains_key(name) {
            let federation = self.read(name)?;
            let keys: BTreeSet<PublicKey> = federation
                .members
                .values()
                .map(|joined| joined.member.key)
                .collect();
            let mut read = BTreeMap::new();
            for key in keys {
                let note = fs::read_to_string(self.cosigned_by(name, &key)?);
                read.extend(note.ok().map(|note| (key, note)));
            }
            notes.insert(name.to_owned(), read);
        }
        Ok(notes)
    }

    /// The checkpoint that each node cosigned last.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub(super) fn cosigned_last(&self, name: &str) -> Result<BTreeMap<PublicKey, Checkpoint>> {
        let notes = self.notes(name)?;
        let notes = notes.get(name).into_iter().flatten();
        let checkpoints = notes.filter_map(|(key, note)| {
            let checkpoint = Checkpoint::parse(note).ok()?;
            Some((*key, checkpoint))
        });
        Ok(checkpoints.collect())
    }

    /// The checkpoints that nodes cosigned last, each once: most nodes have seen the same one, and each looks at
    /// all of them.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn cosigned(&self, name: &str) -> Result<Vec<String>> {
        let notes = self.notes(name)?;
        let mut seen = BTreeMap::new();
        for note in notes.get(name).into_iter().flatten().map(|(_, note)| note) {
            let text = note.split_once("\n\n").map_or("", |(text, _)| text);
            seen.entry(text).or_insert(note);
        }
        Ok(seen.into_values().cloned().collect())
    }

    /// Puts lines of nodes under the last checkpoint of a run whose log is closed, where they cosigned that one:
    /// the line of one node, or those of all. A note has room for some thousands ([`MAX_NOTE`]); the rest is left
    /// out.
    ///
    /// # Errors
    /// A run that cannot be read; a log that somebody else has open for 5 s.
    pub fn attach(&self, name: &str, run: &RunDir, only: Option<&PublicKey>) -> Result<()> {
        let plan = run.read_plan()?;
        let path = run.log().join("checkpoint");
        let current = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
        let last = Checkpoint::verify(&current, &plan.origin, &plan.node)?;
        let mut lines = String::new();
        let notes = self.notes(name)?;
        for (key, note) in notes.get(name).into_iter().flatten() {
            if only.is_some_and(|only| only != key) || Checkpoint::parse(note)? != last {
                continue;
            }
            let line = line(note, &witness(key)?)?;
            if current.len() + lines.len() + line.len() <= MAX_NOTE {
                lines += &line;
            }
        }
        drop(notes);
        let begun = Instant::now();
        while !lines.is_empty() {
            match add_cosignatures(run.log(), &plan.node, &current, &lines) {
                Err(fedseal_ledger::Error::Locked { .. }) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                done => return Ok(done.map(drop)?),
            }
        }
        Ok(())
    }
}

//! Checkpoints of a run's log that its nodes cosigned.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{Checkpoint, KeyKind, VerifierKey, cosigned_at};

use super::Books;
use super::places::refused;
use crate::Result;
use crate::protocol::witness_name;
use fedseal_record::rundir::write_atomically;

impl Books {
    /// Keeps a checkpoint that a node cosigned; the newest of each node.
    ///
    /// # Errors
    /// [`Error::Refused`] for a note that is not the log's, or not cosigned by this node.
    pub fn cosign(&self, name: &str, origin: &str, key: PublicKey, note: &str) -> Result<()> {
        let federation = self.read(name)?;
        let bad = |error: fedseal_client_sdk::Error| {
            refused(
                format!("the cosigned checkpoint does not hold: {error}"),
                "send the checkpoint of the run's log with the node's own line",
            )
        };
        let checkpoint = Checkpoint::verify(note, origin, &federation.coordinator).map_err(bad)?;
        let witness = VerifierKey::new(&witness_name(&key), KeyKind::Witness, key).map_err(bad)?;
        if cosigned_at(note, &witness).map_err(bad)?.is_none() {
            return Err(refused(
                "the checkpoint has no line of this node",
                "cosign it with the key that signs the request",
            ));
        }
        let path = self.cosigned_by(name, &key)?;
        let before = fs::read_to_string(&path).ok();
        let before = before.and_then(|note| Checkpoint::parse(&note).ok());
        match before {
            Some(before) if before.size > checkpoint.size => Ok(()),
            _ => write_atomically(&path, note.as_bytes()),
        }
    }

    pub(super) fn cosigned_by(&self, name: &str, key: &PublicKey) -> Result<PathBuf> {
        let file = format!("{}.note", key.key_id());
        Ok(self.folder(name)?.join("cosigned").join(file))
    }

    /// The checkpoints that nodes cosigned last.
    ///
    /// # Errors
    /// As [`Books::read`].
    pub fn cosigned(&self, name: &str) -> Result<Vec<String>> {
        let federation = self.read(name)?;
        let keys: BTreeSet<PublicKey> = federation
            .members
            .values()
            .map(|joined| joined.member.key)
            .collect();
        let mut notes = Vec::new();
        for key in keys {
            notes.extend(fs::read_to_string(self.cosigned_by(name, &key)?).ok());
        }
        Ok(notes)
    }
}

//! Memory of a witness (C2SP tlog-witness): the latest checkpoint that it cosigned of each
//! log. It never cosigns two checkpoints of which one does not continue the other, also when it is
//! killed at any point: the new checkpoint is durable before anyone sees its cosignature.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fedseal_client_sdk::Source;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_client_sdk::tlog::{
    AddCheckpoint, Checkpoint, KeyKind, VerifierKey, add_signatures, cosign, cosigned_at,
    empty_root, signed_by_only, verify_consistency,
};

use crate::files::{self, Disk};
use crate::log::MAX_CHECKPOINT;
use crate::{Error, Result};

/// Present in every state folder: without it a witness would begin with an empty memory where its
/// real one has been lost or misnamed, and cosign a second view.
const MARKER: &str = "witness";

/// A witness, open for work.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    name: VerifierKey,
    key: SigningKey,
    /// The keys of logs whose checkpoints it cosigns, by origin.
    logs: BTreeMap<String, PublicKey>,
    disk: Disk,
    /// The latest cosigned checkpoint by origin. Held from the comparison with the old size until
    /// the new checkpoint is durable, so that two requests cannot pass one another.
    latest: Mutex<BTreeMap<String, Cosigned>>,
    /// Two processes never share one memory.
    _lock: File,
}

/// A checkpoint that was cosigned.
#[derive(Debug)]
struct Cosigned {
    checkpoint: Checkpoint,
    /// Signed by the log and by the witness, and by nobody else.
    note: String,
}

/// Why a witness does not cosign; each is one HTTP status of tlog-witness.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: the request is malformed, or its old size is larger than the checkpoint's.
    #[error(transparent)]
    Malformed(Source),
    /// 404: a log that this witness does not know.
    #[error("log {0:?} is not known here")]
    UnknownLog(String),
    /// 403: no signature by the log's key, or one that does not verify.
    #[error(transparent)]
    BadSignature(fedseal_client_sdk::Error),
    /// 409: the old size is not the one that was cosigned last.
    #[error("the last cosigned checkpoint has {size} entries")]
    Conflict {
        /// The size that was cosigned last; the answer's body.
        size: u64,
    },
    /// 422: the consistency proof does not hold, one size has two roots (both are named: that is proof
    /// of a split view), or a log without entries has a root that it cannot have.
    #[error(transparent)]
    BadProof(Source),
    /// 500: its memory could not be written; nothing was cosigned.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Witness {
    /// Makes the memory of a new witness.
    ///
    /// # Errors
    /// [`Error::Exists`] when the folder is one already; [`Error::Io`].
    pub fn init(dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        if dir.join(MARKER).exists() {
            return Err(Error::Exists {
                path: dir.to_owned(),
            });
        }
        Disk::default().write(&dir.join(MARKER), b"fedseal witness 1\n")
    }

    /// Opens a memory made by [`Witness::init`]. Every checkpoint in it must carry this witness's
    /// own cosignature, and be signed by the key that `logs` names for its origin: a cosignature
    /// covers origin, size and root and not the log's key, so one origin is one log.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Locked`], [`Error::Io`]; [`Error::Verify`] and
    /// [`Error::Corrupt`] for a memory that is damaged, another witness's, or of another key's log;
    /// [`Error::Conflict`] for two keys of one origin.
    pub fn open(
        dir: impl AsRef<Path>,
        name: &str,
        key: SigningKey,
        logs: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Witness> {
        Witness::open_on(Disk::default(), dir.as_ref(), name, key, logs)
    }

    fn open_on(
        disk: Disk,
        dir: &Path,
        name: &str,
        key: SigningKey,
        logs: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Witness> {
        if !dir.join(MARKER).is_file() {
            return Err(Error::NotFound {
                path: dir.to_owned(),
            });
        }
        let lock = crate::log::lock(&disk, dir)?;
        let name = VerifierKey::new(name, KeyKind::Witness, key.public())
            .map_err(|e| Error::verify(dir, e))?;
        let logs = by_origin(logs)?;
        let mut latest = BTreeMap::new();
        for path in files::walk(dir)? {
            if path.extension().is_none_or(|e| e != "checkpoint") || files::is_temporary(&path) {
                continue;
            }
            let below = path.strip_prefix(dir).unwrap_or(&path);
            let note = String::from_utf8(files::read(dir, below, MAX_CHECKPOINT)?)
                .map_err(|_| Error::corrupt(&path, "not UTF-8"))?;
            let checkpoint = Checkpoint::parse(&note).map_err(|e| Error::verify(&path, e))?;
            let cosigned = cosigned_at(&note, &name).map_err(|e| Error::verify(&path, e))?;
            if cosigned.is_none() {
                return Err(Error::corrupt(&path, format!("not cosigned by {name}")));
            }
            if path != place(dir, &checkpoint.origin) {
                return Err(Error::corrupt(&path, "the file of another log"));
            }
            if let Some(key) = logs.get(&checkpoint.origin) {
                // The signature alone: earlier versions cosigned any root of a log without entries.
                Checkpoint::signed_by(&note, &checkpoint.origin, key)
                    .map_err(|e| Error::verify(&path, e))?;
            }
            latest.insert(checkpoint.origin.clone(), Cosigned { checkpoint, note });
        }
        Ok(Witness {
            dir: dir.to_owned(),
            name,
            key,
            logs,
            disk,
            latest: Mutex::new(latest),
            _lock: lock,
        })
    }

    /// The witness's verifier key.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.name
    }

    /// The size of the checkpoint of this log that was cosigned last; 0 for none.
    pub fn size(&self, origin: &str) -> u64 {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.get(origin).map_or(0, |last| last.checkpoint.size)
    }

    /// The latest cosigned checkpoint of the log whose origin has this SHA-256 (lowercase hex), with
    /// the log's signature and the witness's own; none where it never cosigned one.
    pub fn checkpoint(&self, origin_hash: &str) -> Option<String> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, last) = latest
            .iter()
            .find(|(origin, _)| Digest::of(origin.as_bytes()).to_string() == origin_hash)?;
        Some(last.note.clone())
    }

    /// Cosigns a checkpoint that continues the one cosigned last, at time `now` (seconds since
    /// 1970). The checkpoint is durable when this returns the cosignature line.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        now: u64,
    ) -> std::result::Result<String, Refusal> {
        let checkpoint =
            Checkpoint::parse(&request.note).map_err(|e| Refusal::Malformed(e.into()))?;
        let key = self
            .logs
            .get(&checkpoint.origin)
            .ok_or_else(|| Refusal::UnknownLog(checkpoint.origin.clone()))?;
        Checkpoint::signed_by(&request.note, &checkpoint.origin, key).map_err(|e| match e {
            fedseal_client_sdk::Error::Signature { .. } => Refusal::BadSignature(e),
            other => Refusal::Malformed(other.into()),
        })?;
        if request.old > checkpoint.size {
            let problem = format!(
                "the old size {} is larger than the checkpoint's {}",
                request.old, checkpoint.size
            );
            return Err(Refusal::Malformed(problem.into()));
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.get(&checkpoint.origin).map(|last| &last.checkpoint);
        let size = known.map_or(0, |last| last.size);
        if request.old != size {
            return Err(Refusal::Conflict { size });
        }
        checkpoint
            .possible()
            .map_err(|e| Refusal::BadProof(e.into()))?;
        // "The empty tree is consistent with any tree", whatever root an earlier version let it have.
        let root = known.filter(|last| last.size > 0).map(|last| last.root);
        verify_consistency(
            size,
            root.unwrap_or_else(empty_root),
            checkpoint.size,
            checkpoint.root,
            &request.proof,
        )
        .map_err(|e| Refusal::BadProof(e.into()))?;
        let path = place(&self.dir, &checkpoint.origin);
        let store = |e| Refusal::Store(Error::verify(&path, e));
        let line = cosign(&request.note, &self.name.name, &self.key, now).map_err(store)?;
        // Other signatures of the request are anybody's bytes; they are not kept.
        let note = VerifierKey::new(&checkpoint.origin, KeyKind::Log, *key)
            .and_then(|log| signed_by_only(&request.note, &log))
            .and_then(|note| add_signatures(&note, &line))
            .map_err(store)?;
        self.disk.write(&path, note.as_bytes())?;
        latest.insert(checkpoint.origin.clone(), Cosigned { checkpoint, note });
        Ok(line)
    }
}

/// The logs' keys; a key that stands twice counts once.
fn by_origin(logs: impl IntoIterator<Item = VerifierKey>) -> Result<BTreeMap<String, PublicKey>> {
    let mut keys: BTreeMap<String, PublicKey> = BTreeMap::new();
    for log in logs {
        if let Some(known) = keys.insert(log.name.clone(), log.key)
            && known != log.key
        {
            return Err(Error::Conflict {
                what: "log",
                name: log.name,
                registered: format!("key {known}"),
                offered: format!("key {}", log.key),
            });
        }
    }
    Ok(keys)
}

/// Origins may hold `/`; their digests do not.
fn place(dir: &Path, origin: &str) -> PathBuf {
    dir.join(format!("{}.checkpoint", Digest::of(origin.as_bytes())))
}

#[cfg(test)]
mod tests;

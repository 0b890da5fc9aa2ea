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
    verify_consistency,
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
    latest: Mutex<BTreeMap<String, Checkpoint>>,
    /// Two processes never share one memory.
    _lock: File,
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
    /// 403: no signature by the log's key.
    #[error(transparent)]
    BadSignature(fedseal_client_sdk::Error),
    /// 409: the old size is not the one that was cosigned last, or one size has two roots.
    #[error("the last cosigned checkpoint has {size} entries{}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Conflict {
        /// The size that was cosigned last; the answer's body.
        size: u64,
        /// For two roots of one size: both. That is proof of a split view.
        detail: Option<String>,
    },
    /// 422: the consistency proof does not hold.
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
                Checkpoint::verify(&note, &checkpoint.origin, key)
                    .map_err(|e| Error::verify(&path, e))?;
            }
            latest.insert(checkpoint.origin.clone(), checkpoint);
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
        latest.get(origin).map_or(0, |c| c.size)
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
        Checkpoint::verify(&request.note, &checkpoint.origin, key)
            .map_err(Refusal::BadSignature)?;
        if request.old > checkpoint.size {
            let problem = format!(
                "the old size {} is larger than the checkpoint's {}",
                request.old, checkpoint.size
            );
            return Err(Refusal::Malformed(problem.into()));
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.get(&checkpoint.origin);
        let size = known.map_or(0, |c| c.size);
        if request.old != size {
            return Err(Refusal::Conflict { size, detail: None });
        }
        if let Some(known) = known {
            if known.size == checkpoint.size && known.root != checkpoint.root {
                return Err(Refusal::Conflict {
                    size,
                    detail: Some(format!(
                        "cosigned root {}, offered root {}",
                        known.root, checkpoint.root
                    )),
                });
            }
            verify_consistency(
                known.size,
                known.root,
                checkpoint.size,
                checkpoint.root,
                &request.proof,
            )
            .map_err(|e| Refusal::BadProof(e.into()))?;
        } else if !request.proof.is_empty() {
            // "The proof MUST be empty if the old size is zero."
            return Err(Refusal::BadProof("a proof from an empty log".into()));
        }
        let path = place(&self.dir, &checkpoint.origin);
        let store = |e| Refusal::Store(Error::verify(&path, e));
        let line = cosign(&request.note, &self.name.name, &self.key, now).map_err(store)?;
        // Other signatures of the request are anybody's bytes; they are not kept.
        let by_log = format!("\u{2014} {} ", checkpoint.origin);
        let mut note = checkpoint.body();
        note.push('\n');
        for signature in request.note.split_inclusive('\n') {
            if signature.starts_with(&by_log) {
                note.push_str(signature);
            }
        }
        let note = add_signatures(&note, &line).map_err(store)?;
        self.disk.write(&path, note.as_bytes())?;
        latest.insert(checkpoint.origin.clone(), checkpoint);
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
mod tests {
    use super::*;
    use crate::Log;
    use crate::files::fault::Fault;
    use std::sync::Arc;

    const ORIGIN: &str = "fedseal.example/run";

    fn log_key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn open(dir: &Path) -> Result<Witness> {
        let log = VerifierKey::new(ORIGIN, KeyKind::Log, log_key().public()).unwrap();
        Witness::open(dir, "w.example", SigningKey::from_seed([2; 32]), [log])
    }

    fn grown(log: &mut Log, by: usize) {
        for _ in 0..by {
            let n = log.size();
            log.append(format!("entry {n}").as_bytes()).unwrap();
        }
        log.publish().unwrap();
    }

    fn request(log: &Log, old: u64) -> AddCheckpoint {
        AddCheckpoint {
            old,
            proof: log.prove_consistency(old, log.checkpoint().size).unwrap(),
            note: log.note().to_owned(),
        }
    }

    #[test]
    fn cosigns_what_continues_and_remembers() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(
            matches!(open(&state), Err(Error::NotFound { .. })),
            "never an empty memory"
        );
        Witness::init(&state).unwrap();
        assert!(Witness::init(&state).is_err());
        let mut log = Log::create(dir.path().join("log"), ORIGIN, log_key()).unwrap();
        grown(&mut log, 3);
        let witness = open(&state).unwrap();
        assert!(open(&state).is_err(), "one process at a time");
        let line = witness.add_checkpoint(&request(&log, 0), 100).unwrap();
        let note = add_signatures(log.note(), &line).unwrap();
        assert_eq!(
            cosigned_at(&note, witness.verifier_key()).unwrap(),
            Some(100)
        );
        // The same again, and a longer one after a restart.
        witness.add_checkpoint(&request(&log, 3), 101).unwrap();
        grown(&mut log, 300);
        drop(witness);
        let witness = open(&state).unwrap();
        assert_eq!(witness.size(ORIGIN), 3);
        assert!(matches!(
            witness.add_checkpoint(&request(&log, 0), 102),
            Err(Refusal::Conflict {
                size: 3,
                detail: None
            })
        ));
        witness.add_checkpoint(&request(&log, 3), 102).unwrap();
        assert_eq!(witness.size(ORIGIN), 303);
    }

    #[test]
    fn a_split_view_is_never_cosigned() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
        let mut other = Log::create(dir.path().join("b"), ORIGIN, log_key()).unwrap();
        other.append(b"another first").unwrap();
        grown(&mut log, 5);
        grown(&mut other, 4);
        let witness = open(&state).unwrap();
        witness.add_checkpoint(&request(&log, 0), 1).unwrap();
        let conflict = witness.add_checkpoint(&request(&other, 5), 2);
        assert!(
            matches!(
                &conflict,
                Err(Refusal::Conflict {
                    size: 5,
                    detail: Some(_)
                })
            ),
            "{conflict:?}"
        );
        grown(&mut other, 4);
        let proof = witness.add_checkpoint(&request(&other, 5), 2);
        assert!(matches!(proof, Err(Refusal::BadProof(_))), "{proof:?}");
        assert_eq!(witness.size(ORIGIN), 5);
    }

    #[test]
    fn each_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
        grown(&mut log, 2);
        let mut foreign = Log::create(dir.path().join("b"), "other", log_key()).unwrap();
        grown(&mut foreign, 2);
        let mut stranger =
            Log::create(dir.path().join("c"), ORIGIN, SigningKey::from_seed([9; 32])).unwrap();
        grown(&mut stranger, 2);
        let witness = open(&state).unwrap();
        let answer = |request: &AddCheckpoint| witness.add_checkpoint(request, 1).unwrap_err();
        assert!(matches!(
            answer(&request(&foreign, 0)),
            Refusal::UnknownLog(_)
        ));
        assert!(matches!(
            answer(&request(&stranger, 0)),
            Refusal::BadSignature(_)
        ));
        let mut bad = request(&log, 0);
        bad.old = 3;
        assert!(matches!(answer(&bad), Refusal::Malformed(_)));
        bad.old = 1;
        assert!(matches!(answer(&bad), Refusal::Conflict { size: 0, .. }));
        bad.old = 0;
        bad.proof = vec![Digest::of(b"x")];
        assert!(matches!(answer(&bad), Refusal::BadProof(_)));
        bad.note = "nonsense".into();
        assert!(matches!(answer(&bad), Refusal::Malformed(_)));
        witness.add_checkpoint(&request(&log, 0), 1).unwrap();
    }

    #[test]
    fn what_was_answered_is_remembered_whatever_fails() {
        for n in 0..12 {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path().join("state");
            Witness::init(&state).unwrap();
            let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
            grown(&mut log, 2);
            let mut witness = open(&state).unwrap();
            witness.add_checkpoint(&request(&log, 0), 1).unwrap();
            grown(&mut log, 2);
            witness.disk.fault = Some(Arc::new(Fault::after(n)));
            let answered = witness.add_checkpoint(&request(&log, 2), 2);
            if answered.is_err() {
                assert_eq!(witness.size(ORIGIN), 2);
            }
            drop(witness);
            let again = open(&state).unwrap();
            if answered.is_ok() {
                assert_eq!(again.size(ORIGIN), 4);
                return;
            }
            // The rename may have happened before the fault: then it knows more, never less.
            assert!([2, 4].contains(&again.size(ORIGIN)));
        }
        panic!("it never answered");
    }

    #[test]
    fn one_origin_is_one_log() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let named = |seed| {
            let key = SigningKey::from_seed([seed; 32]).public();
            VerifierKey::new(ORIGIN, KeyKind::Log, key).unwrap()
        };
        let open = |logs: &[VerifierKey]| {
            let key = SigningKey::from_seed([2; 32]);
            Witness::open(&state, "w.example", key, logs.to_vec())
        };
        let both = open(&[named(1), named(9)]).unwrap_err();
        assert!(matches!(both, Error::Conflict { .. }), "{both}");
        open(&[named(1), named(1)]).unwrap();

        // What was cosigned of one key's log is never continued with another's.
        let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
        grown(&mut log, 2);
        let witness = open(&[named(1)]).unwrap();
        witness.add_checkpoint(&request(&log, 0), 1).unwrap();
        drop(witness);
        assert!(open(&[named(9)]).is_err());
        // A log that is not asked for any more is left as it is.
        open(&[]).unwrap();
        assert_eq!(open(&[named(1)]).unwrap().size(ORIGIN), 2);
    }

    #[test]
    fn a_damaged_memory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
        grown(&mut log, 2);
        let witness = open(&state).unwrap();
        witness.add_checkpoint(&request(&log, 0), 1).unwrap();
        drop(witness);
        let file = place(&state, ORIGIN);
        let good = std::fs::read_to_string(&file).unwrap();
        for bad in [
            good.replacen("\n2\n", "\n1\n", 1),
            log.note().to_owned(),
            String::new(),
        ] {
            std::fs::write(&file, bad).unwrap();
            assert!(open(&state).is_err());
        }
        std::fs::write(&file, good).unwrap();
        open(&state).unwrap();
    }
}

//! When each node was heard of last, for `status` without the server and after a restart of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fedseal_client_sdk::keys::PublicKey;

/// Time between two marks of one node: thousands of them ask all the time.
const APART: Duration = Duration::from_secs(60);
/// Folder of the marks.
const FOLDER: &str = "heard";

/// Marks of nodes: files that are changed when their nodes ask for work.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// When each node of each federation was marked last.
    last: Mutex<BTreeMap<(PathBuf, PublicKey), Instant>>,
}

impl Heard {
    /// Marks that a node of the federation in this folder asked for work.
    pub(super) fn mark(&self, folder: &Path, key: &PublicKey) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (folder.to_owned(), *key);
        let before = last.get(&of);
        if before.is_none_or(|before| now.duration_since(*before) >= APART) {
            last.insert(of, now);
            drop(last);
            // Without a mark the status says less; nothing else depends on it.
            let _ = touch(folder, key);
        }
    }
}

fn touch(folder: &Path, key: &PublicKey) -> std::io::Result<()> {
    fs::create_dir_all(folder.join(FOLDER))?;
    let file = File::create(path(folder, key))?;
    file.set_modified(SystemTime::now())
}

fn path(folder: &Path, key: &PublicKey) -> PathBuf {
    folder.join(FOLDER).join(key.key_id().to_string())
}

/// Seconds since a node was marked; none where it never was.
pub(super) fn ago(folder: &Path, key: &PublicKey) -> Option<u64> {
    let marked = fs::metadata(path(folder, key)).and_then(|it| it.modified());
    // A clock that was set back says "now".
    let elapsed = marked.ok()?.elapsed().unwrap_or_default();
    Some(elapsed.as_secs())
}

//! When each node was heard of last, for `status` without the server and after a restart of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use fedseal_client_sdk::keys::PublicKey;

use super::Books;

/// Seconds between two marks of one node: thousands of them ask all the time.
const APART: Duration = Duration::from_secs(60);
/// Folder of the marks.
const FOLDER: &str = "heard";

/// When each node of each federation was marked last.
pub(super) type Last = BTreeMap<(String, PublicKey), Instant>;

impl Books {
    /// Marks that a node asked for work.
    pub fn heard(&self, name: &str, key: &PublicKey) {
        let now = Instant::now();
        let mut last = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert((name.to_owned(), *key), now);
        drop(last);
        if before.is_none_or(|before| now.duration_since(before) >= APART)
            && let Ok(folder) = self.folder(name)
        {
            // Without a mark the status says less; nothing else depends on it.
            let _ = mark(&folder, key);
        }
    }
}

fn mark(folder: &Path, key: &PublicKey) -> std::io::Result<()> {
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

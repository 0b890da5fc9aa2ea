//! Whether somebody is working on a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A run without a lock and without an event for so long is not being worked on.
const QUIET: Duration = Duration::from_secs(30);
/// Clocks of file systems are coarse: an event may seem as much younger than it is.
const COARSE: Duration = Duration::from_secs(2);
/// Runs whose locks are remembered.
const MOST: usize = 4096;

/// Who works on runs, and when each lock was seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Alive {
    locked: Arc<Mutex<HashMap<PathBuf, SystemTime>>>,
}

impl Alive {
    /// Whether a process is working on a run: it holds a lock on run.json, or has written an event a
    /// short while ago (a process in another container has no lock that is seen here). A killed run's
    /// report still says that it is running; this is how pages know better.
    pub(super) fn worked_on(&self, folder: &Path) -> bool {
        let last = std::fs::metadata(folder.join("events.jsonl")).and_then(|meta| meta.modified());
        let fresh = || match &last {
            Ok(time) => time.elapsed().is_ok_and(|age| age < QUIET),
            Err(_) => false,
        };
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        match is_locked(&folder.join("run.json")) {
            Some(true) => {
                if locked.len() >= MOST {
                    locked.clear();
                }
                locked.insert(folder.to_owned(), SystemTime::now());
                true
            }
            // Its lock was seen from here, so that a missing one says something: unless somebody whose
            // locks are not seen has written since.
            Some(false) if locked.contains_key(folder) => {
                let gone = locked.get(folder).copied().map(|time| time + COARSE);
                let since = gone
                    .zip(last.as_ref().ok())
                    .is_some_and(|(gone, last)| *last > gone);
                if since {
                    locked.remove(folder);
                }
                since && fresh()
            }
            known => fresh() || known.unwrap_or(true),
        }
    }
}

/// Whether Linux lists a lock on a file. Looked up, not tried: trying could keep a run that is just
/// beginning from getting its own lock. `None` where there is no such list.
fn is_locked(file: &Path) -> Option<bool> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; the inode is the last number.
        let inode = format!(":{}", std::fs::metadata(file).ok()?.ino());
        Some(
            locks
                .lines()
                .any(|line| line.split_whitespace().any(|word| word.ends_with(&inode))),
        )
    }
    #[cfg(not(unix))]
    {
        let _ = (locks, file);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_without_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        std::fs::write(&path, "{}").unwrap();
        assert_ne!(is_locked(&path), Some(true));
        let file = std::fs::File::open(&path).unwrap();
        file.lock().unwrap();
        assert_ne!(is_locked(&path), Some(false));
        let alive = Alive::default();
        assert!(alive.worked_on(folder.path()));
        // Its last event is of just now: a lock that was seen and is gone says more.
        std::fs::write(folder.path().join("events.jsonl"), "{}\n").unwrap();
        drop(file);
        let listed = Path::new("/proc/locks").exists();
        assert_eq!(alive.worked_on(folder.path()), !listed);
        assert!(
            Alive::default().worked_on(folder.path()),
            "from elsewhere only the event is seen"
        );
        let events = std::fs::File::options()
            .append(true)
            .open(folder.path().join("events.jsonl"))
            .unwrap();
        events.set_modified(SystemTime::now() + 2 * COARSE).unwrap();
        alive.worked_on(folder.path());
        assert!(
            alive.locked.lock().unwrap().is_empty() || !listed,
            "somebody else works on it"
        );
    }
}

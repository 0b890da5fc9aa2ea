//! Whether somebody is working on a run.

use std::path::Path;
use std::time::Duration;

/// A run without a lock and without an event for so long is not being worked on.
const QUIET: Duration = Duration::from_secs(30);

/// Whether a process is working on a run: it holds a lock on run.json, or has written an event a
/// short while ago (a process in another container has no lock that is seen here). A killed run's
/// report still says that it is running; this is how pages know better.
pub(super) fn worked_on(folder: &Path) -> bool {
    let fresh = std::fs::metadata(folder.join("events.jsonl"))
        .and_then(|meta| meta.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < QUIET));
    fresh || is_locked(&folder.join("run.json")).unwrap_or(true)
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
        assert!(worked_on(folder.path()));
    }
}

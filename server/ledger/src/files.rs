//! Durable files: written beside their place, synced, renamed, the directory synced.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Makes the names of temporary files distinct within the process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The operations that a crash or a broken disk can fall between; tests make each of them fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    MakeDir,
    Create,
    Write,
    SyncFile,
    Rename,
    SyncDir,
    Remove,
}

/// All writing goes through here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) fault: Option<std::sync::Arc<fault::Fault>>,
}

impl Disk {
    #[cfg(test)]
    fn step(&self, step: Step) -> io::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |fault| fault.step(step))
    }

    #[cfg(not(test))]
    fn step(&self, _: Step) -> io::Result<()> {
        Ok(())
    }

    /// Writes a file durably: when this returns, a crash leaves the new bytes; when it fails or
    /// does not return, the old bytes or the new ones, never a mixture.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_many([(path, bytes)])
    }

    /// Writes several files durably; each directory is synced once. A crash in between leaves
    /// some of them.
    pub(crate) fn write_many<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
    ) -> Result<()> {
        let mut dirs = BTreeSet::new();
        for (path, bytes) in files {
            let dir = path.parent().unwrap_or(Path::new("."));
            self.make_dir(dir)?;
            let temporary = temporary(path);
            let write = || -> io::Result<()> {
                self.step(Step::Create)?;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&temporary)?;
                if let Err(e) = self.step(Step::Write) {
                    // A write that fails may have written a part.
                    file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
                    return Err(e);
                }
                file.write_all(bytes)?;
                self.step(Step::SyncFile)?;
                file.sync_all()?;
                self.step(Step::Rename)?;
                fs::rename(&temporary, path)
            };
            write().map_err(|e| {
                // Best effort: a leftover is ignored by readers and removed at the next open.
                if self.step(Step::Remove).is_ok() {
                    let _ = fs::remove_file(&temporary);
                }
                Error::io(path, e)
            })?;
            dirs.insert(dir.to_owned());
        }
        for dir in dirs {
            self.sync_dir(&dir)?;
        }
        Ok(())
    }

    /// Creates a directory and those above it, durably.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<()> {
        let mut missing: Vec<&Path> = Vec::new();
        let mut at = dir;
        while !at.as_os_str().is_empty() && !at.is_dir() {
            missing.push(at);
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        for dir in missing.into_iter().rev() {
            self.step(Step::MakeDir).map_err(|e| Error::io(dir, e))?;
            match fs::create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(dir, e));
                }
                _ => {}
            }
            match dir.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent)?,
                _ => self.sync_dir(Path::new("."))?,
            }
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let sync = || -> io::Result<()> {
            self.step(Step::SyncDir)?;
            // Directories can be opened and synced on Unix only.
            #[cfg(unix)]
            File::open(dir)?.sync_all()?;
            Ok(())
        };
        sync().map_err(|e| Error::io(dir, e))
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        self.step(Step::Remove).map_err(|e| Error::io(path, e))?;
        fs::remove_file(path).map_err(|e| Error::io(path, e))
    }
}

/// `dir/.name.PID.N.tmp`: the same directory, so that the rename is atomic.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}.{n}.tmp", std::process::id()))
}

/// Whether a file is a leftover of a write that did not end.
pub(crate) fn is_temporary(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .is_some_and(|n| n.starts_with('.') && n.ends_with(".tmp"))
}

/// Every file below a directory, in order of their paths. None when there is no directory.
pub(crate) fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| Error::io(&dir, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(&dir, e))?;
            let kind = entry.file_type().map_err(|e| Error::io(&entry.path(), e))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
pub(crate) mod fault {
    //! A disk that breaks at the n-th step and stays broken, as a crash does.

    use super::Step;
    use std::io;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    pub(crate) struct Fault {
        /// Steps left until it breaks; `None`: never. And the steps so far.
        state: Mutex<(Option<usize>, Vec<Step>)>,
    }

    impl Fault {
        pub(crate) fn after(steps: usize) -> Self {
            Fault {
                state: Mutex::new((Some(steps), Vec::new())),
            }
        }

        pub(crate) fn steps(&self) -> Vec<Step> {
            self.state.lock().unwrap().1.clone()
        }

        pub(super) fn step(&self, step: Step) -> io::Result<()> {
            let (left, steps) = &mut *self.state.lock().unwrap();
            match left {
                Some(0) => return Err(io::Error::other("injected fault")),
                Some(n) => *n -= 1,
                None => {}
            }
            steps.push(step);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_fault_at_each_step_leaves_old_or_new_bytes() {
        for n in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a/b/file");
            Disk::default().write(&path, b"old bytes").unwrap();
            let fault = Arc::new(fault::Fault::after(n));
            let disk = Disk {
                fault: Some(fault.clone()),
            };
            let result = disk.write(&path, b"new bytes, longer");
            let found = fs::read(&path).unwrap();
            if result.is_ok() {
                assert_eq!(found, b"new bytes, longer");
                assert_eq!(
                    fault.steps(),
                    [
                        Step::Create,
                        Step::Write,
                        Step::SyncFile,
                        Step::Rename,
                        Step::SyncDir
                    ]
                );
                return;
            }
            assert!(found == b"old bytes" || found == b"new bytes, longer");
        }
        panic!("the write never succeeded");
    }

    #[test]
    fn walk_is_ordered_and_knows_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        for name in ["b", "a/z", "a/y"] {
            disk.write(&dir.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = walk(dir.path()).unwrap();
        assert_eq!(names, ["a/y", "a/z", "b"].map(|n| dir.path().join(n)));
        assert!(walk(&dir.path().join("none")).unwrap().is_empty());
        assert!(is_temporary(&temporary(Path::new("x/y"))));
        assert!(!is_temporary(Path::new("x/y.tmp")));
    }
}

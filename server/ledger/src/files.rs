//! Durable files: written beside their place, synced, renamed, the directory synced.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fedseal_client_sdk::outside;

use crate::{Error, Result};

#[cfg(target_os = "linux")]
mod together;

#[cfg(not(target_os = "linux"))]
mod together {
    use std::fs::File;
    use std::io;

    pub(super) const KNOWN: bool = false;

    #[derive(Default)]
    pub(super) struct Systems;

    impl Systems {
        pub(super) fn add(&mut self, file: &File) -> io::Result<()> {
            file.sync_all()
        }

        pub(super) fn sync(self) -> io::Result<()> {
            Ok(())
        }
    }
}

/// Makes the names of temporary files distinct within the process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The operations that a crash or a broken disk can fall between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A directory is made.
    MakeDir,
    /// The lock file is opened.
    OpenLock,
    /// A file is opened for writing, beside its place.
    Create,
    /// Its bytes are written.
    Write,
    /// They are synced.
    SyncFile,
    /// It is moved to its place.
    Rename,
    /// A directory is opened, to be synced.
    OpenDir,
    /// It is synced.
    SyncDir,
    /// A file is removed.
    Remove,
}

/// Asked before every step, so that tests can let one fail or end the process there. Nothing in
/// production has one.
pub trait Inject: std::fmt::Debug + Send + Sync {
    /// `path` is the file or directory that the step is for, not the temporary one beside it.
    ///
    /// # Errors
    /// The error that the step ends with instead of being made.
    fn at(&self, step: Step, path: &Path) -> io::Result<()>;
}

/// All writing goes through here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) fault: Option<Arc<dyn Inject>>,
}

/// Files that are open at once while many are written.
const CHUNK: usize = 512;

/// Number of files or directories from which on the file system is synced as a whole: each sync of
/// a single one waits for the disk again, a millisecond or more.
const TOGETHER: usize = 16;

/// Bytes from which on they are hashed, copied and written by two threads.
pub(crate) const APART: usize = 1 << 20;

/// Number of files or packs of so many bytes from which on two threads share them: making and moving files is the
/// kernel's work, and one of its threads does a few thousand a second, or some hundred MiB.
pub(crate) fn shared_from(bytes: usize) -> usize {
    match bytes < APART {
        true => TOGETHER,
        false => 2,
    }
}

/// Does work on `least` things or more on two threads, on fewer on this one.
pub(crate) fn halves<T: Sync, R: Send>(
    least: usize,
    all: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    if all.len() < least {
        return vec![work(all)];
    }
    let (left, right) = all.split_at(all.len() / 2);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || work(right));
        let mine = work(left);
        let other = match other {
            Ok(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No thread to be had: it is done here.
            Err(_) => work(right),
        };
        vec![mine, other]
    })
}

/// A file on its way: written beside its place.
struct Beside<'a> {
    path: &'a Path,
    temporary: PathBuf,
    file: File,
}

impl Disk {
    fn step(&self, step: Step, path: &Path) -> io::Result<()> {
        self.fault
            .as_ref()
            .map_or(Ok(()), |fault| fault.at(step, path))
    }

    /// Writes a file durably: when this returns, a crash leaves the new bytes; when it fails or
    /// does not return, the old bytes or the new ones, never a mixture.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_many([(path, bytes)])
    }

    /// Writes several files durably. A crash in between leaves some of them.
    ///
    /// All of a chunk are written before any is synced, and each directory is synced once, many of
    /// either in one step.
    pub(crate) fn write_many<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
    ) -> Result<()> {
        let mut dirs = BTreeSet::new();
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let mut chunk = Vec::new();
            let written = self.write_chunk(files.by_ref().take(CHUNK), &mut chunk, &mut dirs);
            if let Err(error) = written {
                // Best effort: a leftover is ignored by readers and removed at the next open.
                for beside in chunk {
                    if self.step(Step::Remove, beside.path).is_ok() {
                        let _ = fs::remove_file(&beside.temporary);
                    }
                }
                return Err(error);
            }
        }
        self.sync_dirs(&dirs)
    }

    /// As [`Disk::sync_dir`] for each.
    pub(crate) fn sync_dirs(&self, dirs: &BTreeSet<PathBuf>) -> Result<()> {
        if dirs.len() < TOGETHER || !together::KNOWN {
            return dirs.iter().try_for_each(|dir| self.sync_dir(dir));
        }
        let mut systems = together::Systems::default();
        for dir in dirs {
            self.step(Step::OpenDir, dir)
                .and_then(|()| systems.add(&File::open(dir)?))
                .and_then(|()| self.step(Step::SyncDir, dir))
                .map_err(|e| Error::io(dir, e))?;
        }
        let dir = dirs.first().map_or(Path::new("."), PathBuf::as_path);
        systems.sync().map_err(|e| Error::io(dir, e))
    }

    /// Makes the bytes of files durable that are not in their places yet.
    fn sync_files(&self, chunk: &[Beside<'_>]) -> Result<()> {
        let together = chunk.len() >= TOGETHER && together::KNOWN;
        let mut systems = together::Systems::default();
        for beside in chunk {
            self.step(Step::SyncFile, beside.path)
                .and_then(|()| match together {
                    true => systems.add(&beside.file),
                    false => beside.file.sync_all(),
                })
                .map_err(|e| Error::io(beside.path, e))?;
        }
        let path = chunk.first().map_or(Path::new("."), |beside| beside.path);
        systems.sync().map_err(|e| Error::io(path, e))
    }

    /// Moves a file that is durable in its directory to another name there, durably.
    pub(crate) fn show(&self, from: &Path, to: &Path) -> Result<()> {
        self.step(Step::Rename, to)
            .and_then(|()| fs::rename(from, to))
            .map_err(|e| Error::io(to, e))?;
        self.sync_dir(to.parent().unwrap_or(Path::new(".")))
    }

    fn write_chunk<'a>(
        &self,
        files: impl Iterator<Item = (&'a Path, &'a [u8])>,
        chunk: &mut Vec<Beside<'a>>,
        dirs: &mut BTreeSet<PathBuf>,
    ) -> Result<()> {
        let files: Vec<_> = files.collect();
        for (path, _) in &files {
            let dir = path.parent().unwrap_or(Path::new("."));
            if !dirs.contains(dir) {
                self.make_dir(dir)?;
                dirs.insert(dir.to_owned());
            }
        }
        let mut ended = Ok(());
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let least = shared_from(bytes);
        for (written, result) in halves(least, &files, |part| self.write_beside(part)) {
            chunk.extend(written);
            ended = ended.and(result);
        }
        ended?;
        self.sync_files(chunk)?;
        let moved = halves(TOGETHER, chunk, |part| {
            part.iter().try_for_each(|beside| {
                self.step(Step::Rename, beside.path)
                    .and_then(|()| fs::rename(&beside.temporary, beside.path))
                    .map_err(|e| Error::io(beside.path, e))
            })
        });
        moved.into_iter().collect()
    }

    /// Writes files beside their places. Returns those that were begun, also after a failure.
    fn write_beside<'a>(&self, files: &[(&'a Path, &[u8])]) -> (Vec<Beside<'a>>, Result<()>) {
        let mut begun = Vec::with_capacity(files.len());
        let result = self.begin(files, &mut begun);
        (begun, result)
    }

    fn begin<'a>(&self, files: &[(&'a Path, &[u8])], begun: &mut Vec<Beside<'a>>) -> Result<()> {
        for (path, bytes) in files {
            let path = *path;
            let temporary = temporary(path);
            let file = self
                .step(Step::Create, path)
                .and_then(|()| {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).open(&temporary)
                })
                .map_err(|e| Error::io(path, e))?;
            begun.push(Beside {
                path,
                temporary,
                file,
            });
            let Some(beside) = begun.last_mut() else {
                continue;
            };
            self.step(Step::Write, path)
                .or_else(|e| {
                    // A write that fails may have written a part.
                    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                    beside.file.write_all(half).and(Err(e))
                })
                .and_then(|()| beside.file.write_all(bytes))
                .map_err(|e| Error::io(path, e))?;
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
            self.step(Step::MakeDir, dir)
                .map_err(|e| Error::io(dir, e))?;
            match fs::create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(dir, e));
                }
                _ => {}
            }
            let parent = match dir.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            if let Err(error) = self.sync_dir(parent) {
                // The new directory's name may not be durable, so the next attempt has to make it
                // again.
                let _ = fs::remove_dir(dir);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<()> {
        let sync = || -> io::Result<()> {
            self.step(Step::OpenDir, dir)?;
            // Directories can be opened and synced on Unix only.
            #[cfg(unix)]
            let opened = File::open(dir)?;
            self.step(Step::SyncDir, dir)?;
            #[cfg(unix)]
            opened.sync_all()?;
            Ok(())
        };
        sync().map_err(|e| Error::io(dir, e))
    }

    /// Makes the names in a directory and in all below it durable: whoever wrote them may have
    /// died too early.
    pub(crate) fn sync_tree(&self, dir: &Path) -> Result<()> {
        self.sync_dir(dir)?;
        for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
            let entry = entry.map_err(|e| Error::io(dir, e))?;
            let kind = entry.file_type().map_err(|e| Error::io(&entry.path(), e))?;
            if kind.is_dir() {
                self.sync_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        self.step(Step::Remove, path)
            .and_then(|()| fs::remove_file(path))
            .map_err(|e| Error::io(path, e))
    }

    /// Opens a lock file, making it if there is none.
    pub(crate) fn open_lock(&self, path: &Path) -> Result<File> {
        self.step(Step::OpenLock, path)
            .and_then(|()| {
                let mut options = OpenOptions::new();
                options.create(true).truncate(false).write(true);
                outside::no_link(&mut options);
                options.open(path)
            })
            .map_err(|e| Error::io(path, e))
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

/// Files and directories below one that is gone through, at most.
pub(crate) const MOST_NAMES: usize = 1 << 20;

/// Every file below a directory, in order of their paths. None when there is no directory. What is
/// neither file nor directory is listed as a file, never followed.
///
/// # Errors
/// [`Error::Corrupt`] for more than [`MOST_NAMES`]; [`Error::Io`].
pub(crate) fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let root = dir;
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    let mut names = 0;
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| Error::io(&dir, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(&dir, e))?;
            let kind = entry.file_type().map_err(|e| Error::io(&entry.path(), e))?;
            names += 1;
            if names > MOST_NAMES {
                let problem = format!("more than {MOST_NAMES} files and folders are below it");
                return Err(Error::corrupt(root, problem));
            }
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

/// Reads the regular file `below` a directory, of at most so many bytes.
pub(crate) fn read(dir: &Path, below: &Path, most: u64) -> Result<Vec<u8>> {
    outside::read(dir, below, most).map_err(|e| Error::io(&dir.join(below), e))
}

#[cfg(test)]
pub(crate) mod fault {
    //! A disk that breaks at the n-th step and stays broken, as a crash does.

    use super::{Inject, Step};
    use std::io;
    use std::path::Path;
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
    }

    impl Inject for Fault {
        fn at(&self, step: Step, _: &Path) -> io::Result<()> {
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
mod tests;

//! Locks of a run: two processes never write one folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::RunDir;
use crate::error::{Error, Result};

impl RunDir {
    /// Locks the folder itself for as long as the file is open, so that nothing has to be written before
    /// this process owns the folder. Two processes never write one folder.
    ///
    /// # Errors
    /// [`Error::RunDir`] when another process holds it.
    pub fn lock(&self) -> Result<File> {
        lock(&self.root, &self.root)
    }

    /// Locks `run.json`, where servers look for whether somebody works on the run.
    ///
    /// # Errors
    /// As [`RunDir::lock`].
    pub fn lock_plan(&self) -> Result<File> {
        lock(&self.plan(), &self.root)
    }
}

fn lock(path: &Path, dir: &Path) -> Result<File> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::RunDir {
            dir: dir.to_owned(),
            problem: "another process is working on this run".into(),
        }),
        Err(TryLockError::Error(source)) => Err(Error::io(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.plan(), "{}").unwrap();
        type Take = fn(&RunDir) -> Result<File>;
        for take in [RunDir::lock as Take, RunDir::lock_plan] {
            let held = take(&run).unwrap();
            let text = take(&run).unwrap_err().to_string();
            assert!(text.contains("another process"), "{text}");
            drop(held);
            take(&run).unwrap();
        }
    }
}

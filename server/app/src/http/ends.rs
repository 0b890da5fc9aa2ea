//! Runs that are over, by their reports, or that nobody works on any more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedseal_record::report::State as Progressed;
use fedseal_record::rundir::RunDir;

use super::alive::Alive;
use super::files::Stamp;
use super::report;

/// Runs of which it is remembered whether they are over.
const MOST_RUNS: usize = 4096;

/// Whether runs are over, by their reports: one of many who follow a run reads each version of its report.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    known: Arc<Mutex<HashMap<PathBuf, (Stamp, bool)>>>,
    /// Held while a report is read.
    reading: Arc<Mutex<()>>,
}

impl Ends {
    /// Whether the run's report says that nothing more will come. An unchanged report is not read again.
    pub(super) async fn over(&self, run: &RunDir) -> bool {
        let Some(stamp) = Stamp::at(&run.report()) else {
            return false;
        };
        if let Some(over) = self.known(run, &stamp) {
            return over;
        }
        let (ends, run) = (self.clone(), run.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _one = lock(&ends.reading);
            // Somebody else may have read it meanwhile.
            ends.known(&run, &stamp).unwrap_or_else(|| ends.read(&run))
        });
        read.await.unwrap_or(false)
    }

    fn known(&self, run: &RunDir, stamp: &Stamp) -> Option<bool> {
        let known = lock(&self.known);
        let (last, over) = known.get(&run.root)?;
        (last == stamp).then_some(*over)
    }

    fn read(&self, run: &RunDir) -> bool {
        let Ok(reading) = report::read(run) else {
            return false;
        };
        let shown = reading.shown;
        let over = shown.is_ok_and(|shown| shown.outline.state != Progressed::Running);
        let mut known = lock(&self.known);
        if known.len() >= MOST_RUNS {
            known.clear();
        }
        known.insert(run.root.clone(), (reading.stamp, over));
        over
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody worked on a run when it was looked at last.
#[derive(Default)]
pub(super) struct Working {
    alive: Alive,
    worked_on: bool,
}

impl Working {
    /// Nobody was seen working on it yet.
    pub(super) fn of(alive: Alive) -> Working {
        Working {
            alive,
            worked_on: false,
        }
    }

    /// Whether somebody did, and nobody does now.
    pub(super) async fn stopped(&mut self, run: &RunDir) -> bool {
        let root = run.root.clone();
        let alive = self.alive.clone();
        let now = tokio::task::spawn_blocking(move || alive.worked_on(&root)).await;
        let now = now.unwrap_or(self.worked_on);
        std::mem::replace(&mut self.worked_on, now) && !now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_nobody_works_on_any_more_is_said_to_have_stopped_once() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.plan(), "{}").unwrap();
        let file = std::fs::File::open(run.plan()).unwrap();
        file.lock().unwrap();
        let mut working = Working::default();
        assert!(!working.stopped(&run).await);
        drop(file);
        // Without a list of locks nobody can say.
        let listed = std::path::Path::new("/proc/locks").exists();
        assert_eq!(working.stopped(&run).await, listed);
        assert!(!working.stopped(&run).await);
    }
}

//! Threads that guests run on, kept from one run to the next: making one takes longer than a small
//! guest does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::error::SandboxError;
use crate::runtime::MAX_RUNS;

/// Work of a thread for one run.
type Job = Box<dyn FnOnce() + Send>;

/// Threads whose stacks are large enough for guests. The idle ones wait here; all end with it.
pub(crate) struct Threads {
    stack: usize,
    idle: Mutex<Vec<SyncSender<Job>>>,
}

impl Threads {
    /// `stack`: bytes of each thread's stack.
    pub(crate) fn new(stack: usize) -> Self {
        Self {
            stack,
            idle: Mutex::default(),
        }
    }

    /// Begins a job on an idle thread, or on a new one. Dropping what it returns keeps the thread for
    /// the next job, which waits there until this one has ended.
    pub(crate) fn begin(&self, job: Job) -> Result<Lent<'_>, SandboxError> {
        let jobs = match self.idle().pop() {
            Some(jobs) => jobs,
            None => self.spawn()?,
        };
        jobs.send(job)
            .map_err(|_| SandboxError::Runtime("the guest's thread is gone".into()))?;
        Ok(Lent {
            jobs: Some(jobs),
            home: self,
        })
    }

    fn spawn(&self) -> Result<SyncSender<Job>, SandboxError> {
        let (jobs, to_do) = sync_channel::<Job>(1);
        std::thread::Builder::new()
            .name("guest".into())
            .stack_size(self.stack)
            .spawn(move || {
                for job in to_do {
                    // Whoever waits for the job hears of a panic by its channel; the thread lives on.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })
            .map_err(SandboxError::system("no thread for the guest"))?;
        Ok(jobs)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SyncSender<Job>>> {
        // A list of channels is right after every single step.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread at work.
pub(crate) struct Lent<'a> {
    jobs: Option<SyncSender<Job>>,
    home: &'a Threads,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.home.idle();
        if idle.len() < MAX_RUNS as usize {
            idle.extend(self.jobs.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread::ThreadId;

    /// The thread that a job ran on.
    fn run(threads: &Threads) -> ThreadId {
        let (say, heard) = channel();
        let lent = threads.begin(Box::new(move || {
            say.send(std::thread::current().id()).unwrap();
        }));
        let id = heard.recv().unwrap();
        drop(lent.unwrap());
        id
    }

    #[test]
    fn a_thread_serves_one_job_after_the_other_even_after_a_panic() {
        let threads = Threads::new(1 << 20);
        let first = run(&threads);
        assert_eq!(run(&threads), first);
        let (say, heard) = channel::<()>();
        let lent = threads.begin(Box::new(move || {
            let _say = say;
            panic!("a job's");
        }));
        assert!(heard.recv().is_err());
        drop(lent.unwrap());
        assert_eq!(run(&threads), first);
    }

    #[test]
    fn jobs_at_once_have_threads_of_their_own() {
        let threads = Threads::new(1 << 20);
        let (go, wait) = channel::<()>();
        let lent = threads.begin(Box::new(move || {
            let _ = wait.recv();
        }));
        let second = run(&threads);
        drop(go);
        drop(lent.unwrap());
        assert_ne!(run(&threads), std::thread::current().id());
        assert_eq!(threads.idle().len(), 2);
        drop(threads);
        assert_ne!(second, std::thread::current().id());
    }
}

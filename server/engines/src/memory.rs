//! A queue in this process: for one process with several threads, and the model that the others are tested
//! against. It keeps nothing over a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;

use crate::queue::{Lease, Queue, Taken, bounded};
use crate::{Error, Result};

/// Name of the engine in errors.
const NAME: &str = "the queue in this process";
/// How often a waiting taker looks for leases that ended.
const LOOK: Duration = Duration::from_millis(20);

/// A queue in memory.
#[derive(Debug)]
pub struct Memory {
    lease: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<Digest, Job>,
    free: VecDeque<Digest>,
}

#[derive(Debug)]
struct Job {
    body: Vec<u8>,
    deliveries: u64,
    /// End of its lease; none while nobody has it.
    until: Option<Instant>,
}

impl Memory {
    /// An empty queue that leases for so long.
    pub fn new(lease: Duration) -> Self {
        Memory {
            lease,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Memory {
    fn offer(&self, job: &Digest, body: &[u8]) -> Result<()> {
        bounded(NAME, body)?;
        let mut state = self.lock();
        if !state.jobs.contains_key(job) {
            let entry = Job {
                body: body.to_vec(),
                deliveries: 0,
                until: None,
            };
            state.jobs.insert(*job, entry);
            state.free.push_back(*job);
            self.changed.notify_one();
        }
        Ok(())
    }

    fn take(&self, within: Duration) -> Result<Option<Taken>> {
        let end = Instant::now() + within;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(taken) = state.take(now, self.lease) {
                return Ok(Some(taken));
            }
            if now >= end {
                return Ok(None);
            }
            let waited = self.changed.wait_timeout(state, LOOK.min(end - now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn settle(&self, lease: &str, act: Lease) -> Result<()> {
        let job: Digest = lease.parse().map_err(|_| Error::Refused {
            engine: NAME.to_owned(),
            detail: format!("{lease:?} is no lease"),
        })?;
        let mut state = self.lock();
        match act {
            Lease::Finish => {
                state.jobs.remove(&job);
            }
            Lease::Renew => {
                if let Some(entry) = state.jobs.get_mut(&job) {
                    entry.until = Some(Instant::now() + self.lease);
                }
            }
            Lease::Back => {
                if let Some(entry) = state.jobs.get_mut(&job)
                    && entry.until.take().is_some()
                {
                    state.free.push_front(job);
                    self.changed.notify_one();
                }
            }
        }
        Ok(())
    }

    fn outstanding(&self) -> Result<BTreeSet<Digest>> {
        Ok(self.lock().jobs.keys().copied().collect())
    }
}

impl State {
    fn take(&mut self, now: Instant, lease: Duration) -> Option<Taken> {
        for (job, entry) in &mut self.jobs {
            if entry.until.is_some_and(|until| until < now) {
                entry.until = None;
                self.free.push_front(*job);
            }
        }
        while let Some(job) = self.free.pop_front() {
            if let Some(entry) = self.jobs.get_mut(&job)
                && entry.until.is_none()
            {
                entry.until = Some(now + lease);
                entry.deliveries += 1;
                return Some(Taken {
                    job,
                    body: entry.body.clone(),
                    lease: job.to_string(),
                    seconds: lease.as_secs_f64(),
                    deliveries: entry.deliveries,
                });
            }
        }
        None
    }
}

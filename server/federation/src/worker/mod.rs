//! A worker: a process that does nothing but tasks of runs ([`work`](crate::work)). It takes them, fetches
//! their blobs, executes them, and reports. It keeps nothing but blobs, so it may be killed at any time.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;

use crate::work::task::{Offer, plan_wants};
use crate::{Error, Result};
use hands::{Hands, plan_of};

pub mod hands;
pub mod queued;

/// Wait before the run is asked again after it could not be reached.
const AGAIN: Duration = Duration::from_secs(2);
/// Runs whose model and modules are kept in memory.
const RUNS: usize = 2;

/// The run that a worker works for, wherever it is.
pub trait Coordinator: Sync {
    /// Takes a task; waits a while where there is none.
    ///
    /// # Errors
    /// The run cannot be reached, or refuses.
    fn take(&self) -> Result<Option<Offer>>;
    /// Fetches a blob of the run.
    ///
    /// # Errors
    /// As [`Coordinator::take`]; the bytes need not have the digest.
    fn blob(&self, digest: &Digest) -> Result<Vec<u8>>;
    /// Extends a lease; false where it ended.
    ///
    /// # Errors
    /// As [`Coordinator::take`].
    fn renew(&self, id: &Digest) -> Result<bool>;
    /// Reports a result.
    ///
    /// # Errors
    /// As [`Coordinator::take`].
    fn done(&self, id: &Digest, package: &[u8]) -> Result<()>;
    /// Gives a task back, with the reason where it could not be done.
    ///
    /// # Errors
    /// As [`Coordinator::take`].
    fn give_back(&self, id: &Digest, failure: Option<&str>) -> Result<()>;
}

/// Opens a run that a worker meets for the first time.
pub type OpenRun<'a> = &'a (dyn Fn(Digest, Blobs) -> Result<Hands> + Sync);

/// A worker's blobs and the runs that it has open.
pub struct Worker<'a> {
    blobs: Blobs,
    open: OpenRun<'a>,
    runs: Mutex<HashMap<Digest, Arc<Hands>>>,
    /// One set-up at a time: a model is loaded once.
    opening: Mutex<()>,
}

impl<'a> Worker<'a> {
    /// A worker that keeps its blobs here.
    pub fn new(blobs: Blobs, open: OpenRun<'a>) -> Self {
        Worker {
            blobs,
            open,
            runs: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// Works on so many tasks at once until `stop` is raised; then running tasks are given back. `told` hears
    /// a line about each task and each failure.
    pub fn run(
        &self,
        coordinator: &dyn Coordinator,
        slots: usize,
        stop: &AtomicBool,
        told: &(dyn Fn(&str) + Sync),
    ) {
        std::thread::scope(|scope| {
            for _ in 0..slots.max(1) {
                scope.spawn(|| self.slot(coordinator, stop, told));
            }
            // Tasks that train for minutes hear of a stop within a step.
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
            for hands in locked(&self.runs).values() {
                hands.stop();
            }
        });
    }

    fn slot(&self, coordinator: &dyn Coordinator, stop: &AtomicBool, told: &(dyn Fn(&str) + Sync)) {
        let mut silent = false;
        while !stop.load(Ordering::SeqCst) {
            match coordinator.take() {
                Ok(Some(offer)) => {
                    silent = false;
                    self.one(coordinator, &offer, stop, told);
                }
                Ok(None) => silent = false,
                Err(error) => {
                    // A run that ended or is not begun yet is waited for, and said once.
                    if !silent {
                        told(&format!("cannot take a task: {error}; asking again"));
                    }
                    silent = true;
                    sleep(AGAIN, stop);
                }
            }
        }
    }

    /// Does one task, and keeps its lease meanwhile.
    fn one(
        &self,
        coordinator: &dyn Coordinator,
        offer: &Offer,
        stop: &AtomicBool,
        told: &(dyn Fn(&str) + Sync),
    ) {
        let short = offer.id.short();
        let renewing = |ended: &AtomicBool| {
            while !ended.load(Ordering::SeqCst) {
                sleep(offer.lease / 3, ended);
                // Whoever cannot be reached now may be at the next time.
                if !ended.load(Ordering::SeqCst)
                    && matches!(coordinator.renew(&offer.id), Ok(false))
                {
                    told(&format!("task {short}: somebody else has it by now"));
                    break;
                }
            }
        };
        let result = accompanied(renewing, || self.perform(coordinator, offer));
        let reported = match result {
            Ok(package) => {
                let reported = report(coordinator, &offer.id, &package, stop);
                if reported.is_ok() {
                    told(&format!("task {short}: done"));
                }
                reported
            }
            Err(Error::Interrupted) => coordinator.give_back(&offer.id, None),
            Err(error) => {
                told(&format!("task {short}: {error}"));
                coordinator.give_back(&offer.id, Some(&error.to_string()))
            }
        };
        if let Err(error) = reported {
            told(&format!("task {short}: it cannot be reported: {error}"));
        }
    }

    fn perform(&self, coordinator: &dyn Coordinator, offer: &Offer) -> Result<Vec<u8>> {
        let hands = self.hands(coordinator, &offer.task.plan)?;
        loop {
            let missing = offer.task.wants(hands.plan(), &self.blobs)?;
            if missing.is_empty() {
                break;
            }
            for digest in missing {
                self.fetch(coordinator, &digest)?;
            }
        }
        hands.perform(&offer.task)?.to_bytes()
    }

    fn fetch(&self, coordinator: &dyn Coordinator, digest: &Digest) -> Result<()> {
        if self.blobs.contains(digest) {
            return Ok(());
        }
        let bytes = coordinator.blob(digest)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(Error::mismatch(
                "a blob of the run",
                "came with other bytes",
                digest,
                &found,
            ));
        }
        self.blobs.put(&bytes)?;
        Ok(())
    }

    fn hands(&self, coordinator: &dyn Coordinator, plan: &Digest) -> Result<Arc<Hands>> {
        let _one = locked(&self.opening);
        if let Some(found) = locked(&self.runs).get(plan) {
            return Ok(found.clone());
        }
        self.fetch(coordinator, plan)?;
        for digest in plan_wants(&plan_of(&self.blobs, plan)?, &self.blobs) {
            self.fetch(coordinator, &digest)?;
        }
        let hands = Arc::new((self.open)(*plan, self.blobs.clone())?);
        let mut runs = locked(&self.runs);
        if runs.len() >= RUNS {
            runs.clear();
        }
        runs.insert(*plan, hands.clone());
        Ok(hands)
    }
}

/// Reports a result until it is taken; a result is not lost to a moment without a network.
fn report(
    coordinator: &dyn Coordinator,
    id: &Digest,
    package: &[u8],
    stop: &AtomicBool,
) -> Result<()> {
    /// Tries, [`AGAIN`] apart.
    const TRIES: u32 = 30;
    let mut tries = 0;
    loop {
        match coordinator.done(id, package) {
            Err(Error::Sdk(fedseal_client_sdk::Error::Http { .. }))
                if tries < TRIES && !stop.load(Ordering::SeqCst) =>
            {
                tries += 1;
                sleep(AGAIN, stop);
            }
            other => return other,
        }
    }
}

/// Does `work` while `beside` runs on a thread of its own, which ends when the flag that it gets is raised. A
/// panic in `work` is an error of it: nobody waits for a thread that is not told.
///
/// # Errors
/// Any error of `work`; [`Error::Refused`] for a panic.
pub(crate) fn accompanied<T>(
    beside: impl FnOnce(&AtomicBool) + Send,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flag = &ended;
        scope.spawn(move || beside(flag));
        // What a panic leaves half done is the work's own; what it shares is behind locks.
        let done = catch_unwind(AssertUnwindSafe(work));
        ended.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Error::Refused {
                what: format!("the program failed: {}", text.unwrap_or("no reason given")),
                hint: "it is a fault of fedseal; its standard error says where".into(),
            })
        })
    })
}

/// Sleeps, but for a stop.
pub(crate) fn sleep(time: Duration, stop: &AtomicBool) {
    let step = Duration::from_millis(50);
    let mut left = time;
    while !left.is_zero() && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(step.min(left));
        left = left.saturating_sub(step);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_nobody_waits() {
        let beside = |ended: &AtomicBool| sleep(Duration::from_secs(60), ended);
        let begun = std::time::Instant::now();
        let failed: Result<()> = accompanied(beside, || panic!("row {} is odd", 7));
        let error = failed.unwrap_err().to_string();
        assert!(error.contains("row 7 is odd"), "{error}");
        assert_eq!(accompanied(beside, || Ok(3)).unwrap(), 3);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

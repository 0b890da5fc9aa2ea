//! Work from a queue, with blobs of a store: a run that a worker never speaks to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::queue::{Lease, Queue, Taken};
use fedseal_engines::store::Store;

use super::Coordinator;
use crate::work::claims::{Body, failure_of, of_engine, result_of};
use crate::work::task::Offer;
use crate::{Error, Result};

/// How long a worker waits for a job in one request.
const WAIT: Duration = Duration::from_secs(5);
/// Longest time for which a job's lease is renewed: one that hangs comes back.
pub const DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);
/// Deliveries without a result after which a job is taken for one that kills its workers.
const MOST_DELIVERIES: u64 = 20;
/// Longest reason of a failure, bytes.
const MAX_REASON: usize = 4000;

/// Jobs of a queue, with blobs of a store.
pub struct Queued<'a> {
    queue: &'a dyn Queue,
    store: &'a dyn Store,
    held: Mutex<HashMap<Digest, Held>>,
}

struct Held {
    lease: String,
    attempt: u32,
    seconds: Duration,
    since: Instant,
    /// When the queue answered last about this lease.
    answered: Instant,
}

impl<'a> Queued<'a> {
    /// Works from these engines.
    pub fn new(queue: &'a dyn Queue, store: &'a dyn Store) -> Self {
        Queued {
            queue,
            store,
            held: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the failure of an attempt.
    fn fail(&self, job: &Digest, attempt: u32, reason: &str) -> Result<()> {
        let reason: String = reason.chars().take(MAX_REASON / 4).collect();
        let claimed = self
            .store
            .claim(&failure_of(job, attempt), reason.as_bytes());
        claimed.map_err(of_engine).map(|_| ())
    }

    /// The job of a delivery; none where it needs nobody any more.
    fn opened(&self, taken: &Taken) -> Result<Option<Body>> {
        let fail = |attempt: u32, reason: &str| self.fail(&taken.job, attempt, reason);
        let body: Body = match serde_json::from_slice(&taken.body) {
            Ok(body) => body,
            Err(error) => {
                // Another version may know it; nobody else is kept from trying, and the run hears of it.
                fail(0, &format!("a worker cannot read the job: {error}"))?;
                return Ok(None);
            }
        };
        if body.task.id()? != taken.job {
            fail(
                body.attempt,
                "the job is queued under another name than its own",
            )?;
            return Ok(None);
        }
        // The claims are the truth: a queue that lost an acknowledgement delivers again what is done.
        let done = self.store.claimed(&result_of(&taken.job, body.attempt));
        if done.map_err(of_engine)?.is_some() {
            return Ok(None);
        }
        if taken.deliveries > MOST_DELIVERIES {
            let reason = format!("{} workers took it and none reported", taken.deliveries - 1);
            fail(body.attempt, &reason)?;
            return Ok(None);
        }
        Ok(Some(body))
    }
}

impl Coordinator for Queued<'_> {
    fn take(&self) -> Result<Option<Offer>> {
        let Some(taken) = self.queue.take(WAIT).map_err(of_engine)? else {
            return Ok(None);
        };
        let Some(body) = self.opened(&taken)? else {
            self.queue
                .settle(&taken.lease, Lease::Finish)
                .map_err(of_engine)?;
            return Ok(None);
        };
        let now = Instant::now();
        let seconds = Duration::try_from_secs_f64(taken.seconds).unwrap_or(WAIT);
        let held = Held {
            lease: taken.lease,
            attempt: body.attempt,
            seconds,
            since: now,
            answered: now,
        };
        self.lock().insert(taken.job, held);
        Ok(Some(Offer {
            id: taken.job,
            task: body.task,
            lease: seconds,
        }))
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let found = self.store.get(digest).map_err(of_engine)?;
        found.ok_or_else(|| Error::tampered(format!("blob {digest}"), "is not in the store"))
    }

    fn renew(&self, id: &Digest) -> Result<bool> {
        let (lease, since, answered, seconds) = match self.lock().get(id) {
            Some(held) => (held.lease.clone(), held.since, held.answered, held.seconds),
            None => return Ok(false),
        };
        // Whoever was silent for half a lease may not own it any more: a late renewal extends another's.
        if since.elapsed() > DEADLINE || answered.elapsed() > seconds / 2 {
            return Ok(false);
        }
        self.queue.settle(&lease, Lease::Renew).map_err(of_engine)?;
        if let Some(held) = self.lock().get_mut(id) {
            held.answered = Instant::now();
        }
        Ok(true)
    }

    fn done(&self, id: &Digest, package: &[u8]) -> Result<()> {
        let Some((lease, attempt)) = self
            .lock()
            .get(id)
            .map(|held| (held.lease.clone(), held.attempt))
        else {
            return Ok(());
        };
        // Bytes first, then the claim that names them, then the queue forgets the job.
        let digest = self.store.put(package).map_err(of_engine)?;
        let claim = result_of(id, attempt);
        self.store
            .claim(&claim, digest.to_string().as_bytes())
            .map_err(of_engine)?;
        // Where this is lost, the job comes again, and its claim is found.
        let _ = self.queue.settle(&lease, Lease::Finish);
        self.lock().remove(id);
        Ok(())
    }

    fn give_back(&self, id: &Digest, failure: Option<&str>) -> Result<()> {
        let Some(held) = self.lock().remove(id) else {
            return Ok(());
        };
        match failure {
            Some(reason) => {
                self.fail(id, held.attempt, reason)?;
                self.queue
                    .settle(&held.lease, Lease::Finish)
                    .map_err(of_engine)
            }
            // Handed back late it would go to a third while a second works on it.
            None if held.answered.elapsed() < held.seconds / 2 => self
                .queue
                .settle(&held.lease, Lease::Back)
                .map_err(of_engine),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::task::{Task, Work};
    use fedseal_engines::files::Files;
    use fedseal_engines::memory::Memory;

    fn body(attempt: u32) -> (Digest, Vec<u8>) {
        let task = Task {
            plan: Digest::of(b"plan"),
            work: Work::Measure {
                adapter: Digest::of(b"adapter"),
                requests: 1,
                tasks: 1,
            },
        };
        let id = task.id().unwrap();
        (id, serde_json::to_vec(&Body { task, attempt }).unwrap())
    }

    #[test]
    fn a_result_is_claimed_before_the_queue_forgets_its_job() {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(dir.path()).unwrap();
        let queue = Memory::new(Duration::from_secs(20));
        let queued = Queued::new(&queue, &store);
        let (id, bytes) = body(2);
        queue.offer(&id, &bytes).unwrap();
        let offer = queued.take().unwrap().unwrap();
        assert_eq!(offer.id, id);
        assert!(queued.renew(&id).unwrap());
        queued.done(&id, b"package").unwrap();
        let claim = store.claimed(&result_of(&id, 2)).unwrap().unwrap();
        assert_eq!(claim, Digest::of(b"package").to_string().as_bytes());
        assert!(queue.outstanding().unwrap().is_empty());
        assert!(!queued.renew(&id).unwrap(), "it is nobody's any more");

        // A queue that lost the acknowledgement: nothing is done twice.
        queue.offer(&id, &bytes).unwrap();
        assert!(queued.take().unwrap().is_none());
        assert!(queue.outstanding().unwrap().is_empty());
        // The next attempt is another job.
        queue.offer(&id, &body(3).1).unwrap();
        assert!(queued.take().unwrap().is_some());
        queued.give_back(&id, Some("no memory")).unwrap();
        assert_eq!(
            store.claimed(&failure_of(&id, 3)).unwrap().unwrap(),
            b"no memory"
        );
        assert!(queue.outstanding().unwrap().is_empty());
    }

    #[test]
    fn a_job_that_is_no_job_is_reported_and_leaves_the_queue() {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(dir.path()).unwrap();
        let queue = Memory::new(Duration::from_secs(20));
        let queued = Queued::new(&queue, &store);
        let other = Digest::of(b"other");
        for (bytes, words) in [
            (b"junk".to_vec(), "cannot read"),
            (body(0).1, "another name"),
        ] {
            queue.offer(&other, &bytes).unwrap();
            assert!(queued.take().unwrap().is_none());
            assert!(queue.outstanding().unwrap().is_empty());
            let told = store.claimed(&failure_of(&other, 0)).unwrap().unwrap();
            // The first failure stands.
            assert!(
                String::from_utf8(told).unwrap().contains("cannot read"),
                "{words}"
            );
        }
    }

    #[test]
    fn whoever_stops_hands_back_in_time_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(dir.path()).unwrap();
        let queue = Memory::new(Duration::from_millis(200));
        let queued = Queued::new(&queue, &store);
        let (id, bytes) = body(0);
        queue.offer(&id, &bytes).unwrap();
        queued.take().unwrap().unwrap();
        queued.give_back(&id, None).unwrap();
        // At once, and not after a lease.
        let again = queue.take(Duration::ZERO).unwrap().unwrap();
        assert_eq!(again.deliveries, 2);
        queue.settle(&again.lease, Lease::Back).unwrap();

        queued.take().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(120));
        assert!(
            !queued.renew(&id).unwrap(),
            "it was silent for half a lease"
        );
        queued.give_back(&id, None).unwrap();
        assert!(
            queue.take(Duration::ZERO).unwrap().is_none(),
            "the lease ends by itself"
        );
    }
}

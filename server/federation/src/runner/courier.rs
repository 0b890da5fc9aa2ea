//! Carries a run's jobs to a queue, and their results from a store back to the run.
//!
//! The courier is one more worker of the [`board`](crate::work::board): it is lent jobs, uploads what they need, offers
//! them to the queue, and renews their leases for as long as it waits. A job that has left the queue has a result
//! or a failure in the store, as a claim that the first worker set; one that left without either (a queue that
//! was emptied) is offered again. The claims are the truth: a job is looked up there before it is offered, so a
//! run that goes on after a kill finds what was finished meanwhile, and nothing is done twice that has a result.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::queue::Queue;
use fedseal_engines::store::Store;

use super::Exchange;
use crate::work::claims::{Body, failure_of, of_engine, result_of};
use crate::work::task::Offer;
use crate::{Error, Result};

/// The courier's name on the board.
const NAME: &str = "the queue";
/// Jobs that are in the queue at once, most, where this process does none itself.
pub const MOST: usize = 1024;
/// Jobs that are in the queue where this process does some: what is in the queue is not done here.
pub const SHARED: usize = 16;
/// How often the queue is asked what is left in it.
const LOOK: Duration = Duration::from_millis(200);
/// Wait before an engine that failed is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries jobs of one run.
pub struct Courier<'a> {
    exchange: &'a Exchange,
    queue: &'a dyn Queue,
    store: &'a dyn Store,
    most: usize,
    /// Blobs that are in the store already.
    sent: HashSet<Digest>,
    open: HashMap<Digest, Waited>,
    /// Attempts of jobs that came back.
    attempts: HashMap<Digest, u32>,
}

struct Waited {
    offer: Offer,
    renewed: Instant,
}

impl<'a> Courier<'a> {
    /// Carries for a run, with at most so many jobs in the queue at once.
    pub fn new(
        exchange: &'a Exchange,
        queue: &'a dyn Queue,
        store: &'a dyn Store,
        most: usize,
    ) -> Self {
        Courier {
            exchange,
            queue,
            store,
            most: most.max(1),
            sent: HashSet::new(),
            open: HashMap::new(),
            attempts: HashMap::new(),
        }
    }

    /// Carries until `stop` is raised. `told` hears when an engine fails, and when it works again.
    pub fn run(mut self, stop: &AtomicBool, told: &dyn Fn(&str)) {
        let mut failing = None;
        while !stop.load(Ordering::SeqCst) {
            // Renewed first: an engine that hangs must not cost a lease.
            self.renew();
            match self.step() {
                Ok(()) => {
                    if failing.take().is_some() {
                        told("queue and store work again");
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if failing.as_ref() != Some(&text) {
                        told(&format!("{text}; trying again"));
                    }
                    failing = Some(text);
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Takes jobs while there are some, then looks what has come back.
    fn step(&mut self) -> Result<()> {
        let mut wait = match self.open.is_empty() {
            true => AGAIN,
            false => LOOK,
        };
        while self.open.len() < self.most
            && let Some(offer) = self.exchange.take(NAME, wait)
        {
            wait = Duration::ZERO;
            let id = offer.id;
            let waited = Waited {
                offer,
                renewed: Instant::now(),
            };
            self.open.insert(id, waited);
            // A failure is passing: what is open and not in the queue is offered again below.
            self.hand_over(&id)?;
        }
        if self.open.len() >= self.most {
            std::thread::sleep(LOOK);
        }
        if !self.open.is_empty() {
            self.look()?;
        }
        Ok(())
    }

    fn attempt(&self, job: &Digest) -> u32 {
        self.attempts.get(job).copied().unwrap_or(0)
    }

    /// Offers a job, unless it has a result.
    fn hand_over(&mut self, job: &Digest) -> Result<()> {
        if self.collect(job)? {
            return Ok(());
        }
        let Some(waited) = self.open.get(job) else {
            return Ok(());
        };
        for digest in self.exchange.takes(&waited.offer.task)? {
            if !self.sent.contains(&digest) {
                let bytes = self.exchange.blob(&digest)?;
                self.store.put(&bytes).map_err(of_engine)?;
                self.sent.insert(digest);
            }
        }
        let body = serde_json::to_vec(&Body {
            task: waited.offer.task.clone(),
            attempt: self.attempt(job),
        })
        .map_err(|error| Error::Model(error.into()))?;
        self.queue.offer(job, &body).map_err(of_engine)
    }

    /// Takes in the results of jobs that have left the queue.
    fn look(&mut self) -> Result<()> {
        let left = self.queue.outstanding().map_err(of_engine)?;
        let gone: Vec<Digest> = self
            .open
            .keys()
            .filter(|job| !left.contains(job))
            .copied()
            .collect();
        for job in gone {
            self.hand_over(&job)?;
        }
        Ok(())
    }

    /// Takes in what a worker claimed for a job; false where nothing is claimed.
    fn collect(&mut self, job: &Digest) -> Result<bool> {
        let attempt = self.attempt(job);
        let result = self.store.claimed(&result_of(job, attempt));
        if let Some(claim) = result.map_err(of_engine)? {
            // An engine that fails here is asked again; a package that is wrong is the worker's fault.
            let taken = match self.package(&claim).map_err(of_engine)? {
                Ok(package) => self
                    .exchange
                    .done(NAME, job, &package)
                    .map(|_| ())
                    .map_err(|error| error.to_string()),
                Err(problem) => Err(problem),
            };
            self.open.remove(job);
            if let Err(problem) = taken {
                self.came_back(job, &problem);
            }
            return Ok(true);
        }
        let failure = self.store.claimed(&failure_of(job, attempt));
        if let Some(reason) = failure.map_err(of_engine)? {
            self.open.remove(job);
            self.came_back(job, &String::from_utf8_lossy(&reason));
            return Ok(true);
        }
        Ok(false)
    }

    /// The package that a claim names, or what is wrong with it.
    fn package(
        &self,
        claim: &[u8],
    ) -> fedseal_engines::Result<std::result::Result<Vec<u8>, String>> {
        let named = std::str::from_utf8(claim)
            .ok()
            .and_then(|text| text.parse().ok());
        let named: Option<Digest> = named;
        let Some(digest) = named else {
            return Ok(Err("its claim names no package".into()));
        };
        match self.store.get(&digest) {
            Ok(Some(bytes)) => Ok(Ok(bytes)),
            Ok(None) => Ok(Err(format!("the store has no package {digest}"))),
            Err(corrupt @ fedseal_engines::Error::Corrupt { .. }) => Ok(Err(corrupt.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Gives a job back that could not be done, or whose result is not its own; the next attempt is another one.
    fn came_back(&mut self, job: &Digest, reason: &str) {
        *self.attempts.entry(*job).or_default() += 1;
        self.exchange.give_back(NAME, job, Some(reason));
    }

    /// Extends the leases of jobs that are waited for; drops those that somebody else has.
    fn renew(&mut self) {
        let every = self.exchange.lease() / 3;
        let exchange = self.exchange;
        self.open.retain(|job, waited| {
            if waited.renewed.elapsed() < every {
                return true;
            }
            waited.renewed = Instant::now();
            exchange.renew(NAME, job)
        });
    }
}

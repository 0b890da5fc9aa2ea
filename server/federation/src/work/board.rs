//! Jobs of one run that threads of this process and other processes take. A lent job comes back when its
//! lease ends without a result; each job's first result counts, and no other.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;

use super::hear::{TICK, hear};
use crate::Result;

/// Executions of a job that may fail elsewhere before the run fails.
pub const ATTEMPTS: u32 = 3;

/// A board of jobs `J` with results `R`.
pub struct Board<J, R> {
    state: Mutex<State<J, R>>,
    changed: Condvar,
    lease: Duration,
}

struct State<J, R> {
    open: HashMap<Digest, Entry<J>>,
    /// Jobs that nobody has, in their order; some may be done meanwhile.
    free: VecDeque<Digest>,
    /// Jobs of this batch that have a result.
    done: HashSet<Digest>,
    results: Option<Sender<R>>,
    seen: BTreeMap<String, Seen>,
    /// Leases that ended without a result.
    ended: u64,
}

struct Entry<J> {
    job: J,
    held: Held,
    failed: u32,
}

enum Held {
    Free,
    Here,
    Lent { to: String, until: Instant },
}

/// A worker as the board knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Results of its that counted.
    pub done: u64,
    /// Jobs that it could not do.
    pub failed: u64,
}

/// How many jobs without a result are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nobody has them.
    pub free: usize,
    /// This process has them.
    pub here: usize,
    /// Workers have them.
    pub lent: usize,
    /// Leases that ended without a result, since the board was made.
    pub ended: u64,
}

/// Fate of a delivered result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is the job's result.
    Taken,
    /// The job had a result already.
    Twice,
    /// No job of this name is open.
    Unknown,
}

impl<J: Clone + Send, R: Send> Board<J, R> {
    /// An empty board that lends for so long.
    pub fn new(lease: Duration) -> Self {
        Board {
            state: Mutex::new(State {
                open: HashMap::new(),
                free: VecDeque::new(),
                done: HashSet::new(),
                results: None,
                seen: BTreeMap::new(),
                ended: 0,
            }),
            changed: Condvar::new(),
            lease,
        }
    }

    /// How long a job is lent.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        let locked = self.state.lock();
        locked.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State<J, R>>,
        most: Duration,
    ) -> MutexGuard<'a, State<J, R>> {
        let waited = self.changed.wait_timeout(state, most);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// Has every job done: by up to `here` threads of this process, and by whoever takes jobs. Otherwise as
    /// [`run_jobs`](crate::runner::pool::run_jobs). Jobs have different names.
    ///
    /// # Errors
    /// Any error that `done` returns; [`crate::Error::Interrupted`] after a break.
    pub fn run(
        &self,
        here: usize,
        jobs: Vec<(Digest, J)>,
        cancel: &AtomicBool,
        work: impl Fn(J) -> R + Sync,
        done: impl FnMut(Vec<R>) -> Result<()>,
        tick: impl FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        let (send, receive) = channel();
        let total = self.open(jobs, send.clone());
        let here = here.min(total);
        std::thread::scope(|scope| {
            for _ in 0..here {
                let (send, work) = (send.clone(), &work);
                scope.spawn(move || {
                    while let Some((id, job)) = self.take_here(cancel) {
                        let result = work(job);
                        // Somebody to whom it was lent before may have been first.
                        if self.finish(&id) && send.send(result).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            // The board itself holds a sender, so this ends with the last result.
            let heard = hear(&receive, total, done, tick);
            if heard.is_err() {
                cancel.store(true, Ordering::SeqCst);
            }
            self.close();
            heard
        })
    }

    fn open(&self, jobs: Vec<(Digest, J)>, results: Sender<R>) -> usize {
        let mut state = self.lock();
        state.free = jobs.iter().map(|(id, _)| *id).collect();
        state.done.clear();
        state.open = jobs
            .into_iter()
            .map(|(id, job)| {
                let entry = Entry {
                    job,
                    held: Held::Free,
                    failed: 0,
                };
                (id, entry)
            })
            .collect();
        state.results = Some(results);
        let count = state.open.len();
        drop(state);
        self.changed.notify_all();
        count
    }

    fn close(&self) {
        let mut state = self.lock();
        state.open.clear();
        state.free.clear();
        state.results = None;
        drop(state);
        self.changed.notify_all();
    }

    fn take_here(&self, cancel: &AtomicBool) -> Option<(Digest, J)> {
        let mut state = self.lock();
        loop {
            if cancel.load(Ordering::SeqCst) || state.open.is_empty() {
                return None;
            }
            if let Some(taken) = state.take(Held::Here) {
                return Some(taken);
            }
            state = self.wait(state, TICK);
        }
    }

    /// Marks a job that was done here; false where it has a result already.
    fn finish(&self, id: &Digest) -> bool {
        let mut state = self.lock();
        let first = state.open.remove(id).is_some();
        state.done.insert(*id);
        first
    }

    /// Lends a job, within this time; none where there is none.
    pub fn lend(&self, worker: &str, within: Duration) -> Option<(Digest, J)> {
        let end = Instant::now() + within;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            state.saw(worker);
            let held = Held::Lent {
                to: worker.to_owned(),
                until: now + self.lease,
            };
            if let Some(taken) = state.take(held) {
                return Some(taken);
            }
            if now >= end {
                return None;
            }
            state = self.wait(state, TICK.min(end - now));
        }
    }

    /// Extends a lease; false where the worker does not have the job any more.
    pub fn renew(&self, worker: &str, id: &Digest) -> bool {
        let mut state = self.lock();
        state.saw(worker);
        match state.open.get_mut(id).map(|entry| &mut entry.held) {
            Some(Held::Lent { to, until }) if to == worker => {
                *until = Instant::now() + self.lease;
                true
            }
            _ => false,
        }
    }

    /// An open job, which a result is held against.
    pub fn job(&self, id: &Digest) -> Option<J> {
        self.lock().open.get(id).map(|entry| entry.job.clone())
    }

    /// Whether a job of this batch has a result.
    pub fn is_done(&self, id: &Digest) -> bool {
        self.lock().done.contains(id)
    }

    /// Takes a job's result, of whoever is first.
    pub fn deliver(&self, worker: &str, id: &Digest, result: R) -> Delivered {
        let mut state = self.lock();
        state.saw(worker);
        if state.done.contains(id) {
            return Delivered::Twice;
        }
        let Some(results) = state.results.clone() else {
            return Delivered::Unknown;
        };
        if state.open.remove(id).is_none() {
            return Delivered::Unknown;
        }
        state.done.insert(*id);
        if let Some(seen) = state.seen.get_mut(worker) {
            seen.done += 1;
        }
        // The run may have been stopped just now.
        match results.send(result) {
            Ok(()) => Delivered::Taken,
            Err(_) => Delivered::Unknown,
        }
    }

    /// Gives a job back that the worker could not do, or did not get to. Where it `failed` for the last
    /// time ([`ATTEMPTS`]), true: its result is then the failure.
    pub fn give_back(&self, worker: &str, id: &Digest, failed: bool) -> bool {
        let mut state = self.lock();
        state.saw(worker);
        let Some(entry) = state.open.get_mut(id) else {
            return false;
        };
        match &entry.held {
            Held::Lent { to, .. } if to == worker => {}
            // Its lease ended, and somebody else may have it.
            _ => return false,
        }
        entry.held = Held::Free;
        entry.failed += u32::from(failed);
        let last = entry.failed >= ATTEMPTS;
        state.free.push_front(*id);
        if failed && let Some(seen) = state.seen.get_mut(worker) {
            seen.failed += 1;
        }
        drop(state);
        self.changed.notify_all();
        last
    }

    /// How many jobs are where.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let mut counts = Counts {
            ended: state.ended,
            ..Counts::default()
        };
        for entry in state.open.values() {
            match entry.held {
                Held::Free => counts.free += 1,
                Held::Here => counts.here += 1,
                Held::Lent { .. } => counts.lent += 1,
            }
        }
        counts
    }

    /// The workers that ever asked.
    pub fn workers(&self) -> BTreeMap<String, Seen> {
        self.lock().seen.clone()
    }
}

impl<J: Clone, R> State<J, R> {
    fn saw(&mut self, worker: &str) {
        self.seen.entry(worker.to_owned()).or_default();
    }

    /// Takes the next job that nobody has; those come first whose lease has ended.
    fn take(&mut self, held: Held) -> Option<(Digest, J)> {
        let now = Instant::now();
        for (id, entry) in &mut self.open {
            if matches!(&entry.held, Held::Lent { until, .. } if *until < now) {
                entry.held = Held::Free;
                self.free.push_front(*id);
                self.ended += 1;
            }
        }
        while let Some(id) = self.free.pop_front() {
            if let Some(entry) = self.open.get_mut(&id)
                && matches!(entry.held, Held::Free)
            {
                entry.held = held;
                return Some((id, entry.job.clone()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn jobs(count: u8) -> Vec<(Digest, u8)> {
        (0..count).map(|n| (Digest::of(&[n]), n)).collect()
    }

    /// Runs jobs beside what `others` does, and gives the results in order.
    fn run(
        board: &Board<u8, u8>,
        here: usize,
        count: u8,
        others: impl FnOnce() + Send,
    ) -> (Result<()>, Vec<u8>) {
        let cancel = AtomicBool::new(false);
        let mut results = Vec::new();
        let ended = std::thread::scope(|scope| {
            scope.spawn(others);
            board.run(
                here,
                jobs(count),
                &cancel,
                |n| n,
                |batch| {
                    results.extend(batch);
                    Ok(())
                },
                || ControlFlow::Continue(()),
            )
        });
        results.sort_unstable();
        (ended, results)
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn every_job_has_one_result_whoever_does_it() {
        let board = Board::new(SOON);
        let other = || {
            while let Some((id, n)) = board.lend("w", Duration::from_millis(300)) {
                assert_eq!(board.deliver("w", &id, n), Delivered::Taken);
                assert_eq!(board.deliver("w", &id, n), Delivered::Twice);
            }
        };
        for here in [0, 2] {
            let (ended, results) = run(&board, here, 200, other);
            ended.unwrap();
            assert_eq!(results, (0..200).collect::<Vec<u8>>());
        }
        assert!(board.workers()["w"].done >= 200);
        let stale = Digest::of(&[7]);
        assert_eq!(
            board.deliver("w", &Digest::of(b"no job"), 1),
            Delivered::Unknown
        );
        assert_eq!(board.job(&stale), None);
    }

    #[test]
    fn a_job_comes_back_when_its_lease_ends() {
        let board = Board::new(Duration::from_millis(50));
        let dead = || {
            let taken = board.lend("dead", SOON).unwrap();
            // Its late result is one too many.
            std::thread::sleep(Duration::from_millis(400));
            assert!(!board.renew("dead", &taken.0));
            assert_ne!(board.deliver("dead", &taken.0, 99), Delivered::Taken);
        };
        let (ended, results) = run(&board, 0, 3, || {
            std::thread::scope(|scope| {
                scope.spawn(dead);
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(150));
                    while let Some((id, n)) = board.lend("alive", Duration::from_millis(300)) {
                        board.deliver("alive", &id, n);
                    }
                });
            });
        });
        ended.unwrap();
        assert_eq!(results, [0, 1, 2]);
        let counts = board.counts();
        assert!(counts.ended >= 1, "{counts:?}");
        assert_eq!((counts.free, counts.here, counts.lent), (0, 0, 0));
    }

    #[test]
    fn a_renewed_lease_does_not_end() {
        let board = Board::new(Duration::from_millis(200));
        let slow = || {
            let (id, n) = board.lend("slow", SOON).unwrap();
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(50));
                assert!(board.renew("slow", &id));
                assert!(!board.renew("other", &id), "only its holder renews a lease");
                assert_eq!(board.lend("other", Duration::ZERO), None);
            }
            assert_eq!(board.deliver("slow", &id, n), Delivered::Taken);
        };
        run(&board, 0, 1, slow).0.unwrap();
    }

    #[test]
    fn what_is_given_back_is_lent_again_and_fails_for_good_at_last() {
        let board = Board::new(SOON);
        let other = || {
            let (id, _) = board.lend("w", SOON).unwrap();
            assert!(!board.give_back("w", &id, false), "it was not tried");
            for attempt in 1..=ATTEMPTS {
                assert_eq!(board.lend("w", SOON).unwrap().0, id);
                assert_eq!(board.give_back("w", &id, true), attempt == ATTEMPTS);
            }
            assert_eq!(board.deliver("w", &id, 7), Delivered::Taken);
        };
        assert_eq!(run(&board, 0, 1, other).1, [7]);
        assert_eq!(board.workers()["w"].failed, u64::from(ATTEMPTS));
    }

    #[test]
    fn a_break_ends_the_wait_for_others() {
        let board: Board<u8, u8> = Board::new(SOON);
        let cancel = AtomicBool::new(false);
        let nothing = |_: Vec<u8>| Ok(());
        let stopped = board.run(
            0,
            jobs(2),
            &cancel,
            |n| n,
            nothing,
            || ControlFlow::Break(()),
        );
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert!(cancel.load(Ordering::SeqCst));
        assert_eq!(
            board.lend("w", Duration::ZERO),
            None,
            "nothing is lent after it"
        );
        let failed = |_: Vec<u8>| Err(Error::Data("full".into()));
        cancel.store(false, Ordering::SeqCst);
        let go_on = || ControlFlow::Continue(());
        let ended = board.run(1, jobs(9), &cancel, |n| n, failed, go_on);
        assert_eq!(ended.unwrap_err().to_string(), "data: full");
        board
            .run(1, Vec::new(), &cancel, |n| n, nothing, go_on)
            .unwrap();
    }
}

//! Threads that wait actively for the next small piece of work.

use std::{
    cell::UnsafeCell,
    hint,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::*},
    thread,
};

use super::{Over, over};

/// Fewest elementary operations for which handing a part over saves more than it costs.
pub(super) const WORTH_A_SPLIT: usize = 15_000;

/// Turns of waiting before a thread yields its core: about 50 microseconds.
const PATIENCE: u32 = 2_000;

/// A leader's piece of work, and the helpers that take parts of it.
///
/// Helpers are free to come late or never, so a team can neither wait for a busy pool nor block it:
/// the leader does every part that no helper took, and waits only for running parts. `job` is
/// written only while `open` is false and `inside` is 0. A helper reads it only after it has
/// counted itself in and then seen `open`.
pub(super) struct Team {
    job: UnsafeCell<Job>,
    open: AtomicBool,
    done: AtomicBool,
    /// Number of the piece of work.
    turn: AtomicUsize,
    /// First item that is not taken yet.
    next: AtomicUsize,
    /// Helpers that may be looking at the job.
    inside: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(Range<usize>) + Sync),
    count: usize,
    grain: usize,
}

// SAFETY: `job` is guarded by the protocol above; the closure behind it is `Sync` and lives until
// the leader has closed the job and seen nobody inside.
unsafe impl Sync for Team {}

fn idle(_: Range<usize>) {}

/// Runs `work` while the other threads of the pool wait actively for parts of it.
///
/// Meant for chains of small pieces of work; a pool of one thread behaves as without a team.
pub fn with_team<R>(work: impl FnOnce() -> R) -> R {
    let threads = rayon::current_num_threads();
    if threads == 1 || super::in_team() {
        return work();
    }
    let team = Team {
        job: UnsafeCell::new(Job {
            work: &idle,
            count: 0,
            grain: 1,
        }),
        open: AtomicBool::new(false),
        done: AtomicBool::new(false),
        turn: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
        inside: AtomicUsize::new(0),
    };
    /// Dismisses the helpers, also when the work panics.
    struct Done<'a>(&'a Team);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.done.store(true, SeqCst);
        }
    }
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| team.help());
        }
        let _done = Done(&team);
        over(Over::Team(&team), work)
    })
}

impl Team {
    /// Runs work on `0..count` in ranges of `grain`.
    pub(super) fn for_ranges(
        &self,
        count: usize,
        grain: usize,
        work: &(dyn Fn(Range<usize>) + Sync),
    ) {
        if count <= grain {
            return over(Over::Nobody, || work(0..count));
        }
        // SAFETY: only the lifetime changes; `Closed` below keeps the closure from being used
        // after this call.
        let work: &'static (dyn Fn(Range<usize>) + Sync) = unsafe { std::mem::transmute(work) };
        let job = Job { work, count, grain };
        // SAFETY: no job is open and nobody is inside.
        unsafe { *self.job.get() = job };
        self.next.store(0, Relaxed);
        self.turn.fetch_add(1, Relaxed);
        self.open.store(true, SeqCst);
        /// Closes the job and waits for the running parts, also when a part panics.
        struct Closed<'a>(&'a Team);
        impl Drop for Closed<'_> {
            fn drop(&mut self) {
                self.0.open.store(false, SeqCst);
                let mut wait = Wait::default();
                while self.0.inside.load(SeqCst) != 0 {
                    wait.turn();
                }
            }
        }
        let _closed = Closed(self);
        over(Over::Nobody, || self.take_parts(job));
    }

    fn take_parts(&self, job: Job) {
        loop {
            let from = self.next.fetch_add(job.grain, Relaxed);
            if from >= job.count {
                return;
            }
            // SAFETY: the job is open, or its leader waits for this thread.
            unsafe { (*job.work)(from..job.count.min(from + job.grain)) };
        }
    }

    /// Loop of a helper thread.
    fn help(&self) {
        struct Leave<'a>(&'a Team);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.inside.fetch_sub(1, SeqCst);
            }
        }
        let mut last = 0;
        let mut wait = Wait::default();
        while !self.done.load(Acquire) {
            if self.open.load(Acquire) && self.turn.load(Relaxed) != last {
                self.inside.fetch_add(1, SeqCst);
                let _leave = Leave(self);
                if self.open.load(SeqCst) {
                    last = self.turn.load(Relaxed);
                    // SAFETY: counted in, and open since: the leader will not change it.
                    let job = unsafe { *self.job.get() };
                    over(Over::Nobody, || self.take_parts(job));
                    wait = Wait::default();
                }
            }
            wait.turn();
        }
    }
}

#[derive(Default)]
struct Wait(u32);

impl Wait {
    fn turn(&mut self) {
        self.0 = self.0.saturating_add(1);
        match self.0 < PATIENCE {
            true => hint::spin_loop(),
            false => thread::yield_now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::for_ranges;
    use std::sync::atomic::AtomicU64;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    }

    #[test]
    fn every_item_is_done_once_in_every_piece() {
        for threads in [1, 2, 4] {
            pool(threads).install(|| {
                with_team(|| {
                    for round in 0..2000 {
                        let items: Vec<AtomicU64> = (0..37).map(|_| AtomicU64::new(0)).collect();
                        for_ranges(items.len(), 1 << 20, &|range| {
                            for i in range {
                                items[i].fetch_add(round, Relaxed);
                            }
                        });
                        assert!(items.iter().all(|item| item.load(Relaxed) == round));
                    }
                });
            });
        }
    }

    #[test]
    fn teams_of_one_pool_do_not_wait_for_each_other() {
        // Both threads lead a separate team, so there are no helpers.
        let pool = pool(2);
        let sum = AtomicU64::new(0);
        pool.scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|_| {
                    with_team(|| {
                        for _ in 0..100 {
                            for_ranges(8, 1 << 20, &|range| {
                                // Work inside a part is not split again.
                                for_ranges(range.len(), 1 << 20, &|inner| {
                                    sum.fetch_add(inner.len() as u64, Relaxed);
                                });
                            });
                        }
                    });
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 100 * 8);
    }

    #[test]
    fn a_panic_reaches_the_leader() {
        let pool = pool(2);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.install(|| {
                with_team(|| {
                    for_ranges(64, 1 << 20, &|range| {
                        assert!(range.start < 32, "a part fails")
                    });
                });
            });
        }));
        assert!(result.is_err());
        assert!(pool.install(|| with_team(|| !rayon::current_num_threads().is_multiple_of(3))));
    }
}

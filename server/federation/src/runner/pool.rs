//! Executes independent jobs in parallel, and hears a stop meanwhile.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use crate::Result;
use crate::work::hear::hear;

/// Runs every job on up to `workers` threads and hands results to `done` on this thread as they
/// come. Results that came soon after one another, or while `done` was busy, are handed over together, so
/// that they share slow disk operations. When `done` fails or `tick` breaks, `cancel` is raised (jobs look at
/// it and stop early), no further job is begun, and the call returns once the running ones ended.
///
/// # Errors
/// Any error that `done` returns; [`crate::Error::Interrupted`] after a break.
pub fn run_jobs<J: Send, R: Send>(
    workers: usize,
    jobs: Vec<J>,
    cancel: &AtomicBool,
    work: impl Fn(J) -> R + Sync,
    done: impl FnMut(Vec<R>) -> Result<()>,
    tick: impl FnMut() -> ControlFlow<()>,
) -> Result<()> {
    run_by(
        workers,
        jobs,
        cancel,
        |hands| {
            hands.each(&work);
            Ok(())
        },
        done,
        tick,
    )
}

/// Hands of a thread: it takes jobs and gives results.
pub(super) struct Hands<'a, J, R> {
    take: &'a (dyn Fn() -> Option<J> + Sync),
    give: Sender<R>,
}

impl<J, R> Hands<'_, J, R> {
    /// Does jobs until there is none.
    pub(super) fn each(&self, mut work: impl FnMut(J) -> R) {
        while let Some(job) = (self.take)() {
            if self.give.send(work(job)).is_err() {
                break;
            }
        }
    }
}

/// As [`run_jobs`], where `thread` is what each thread does; it calls [`Hands::each`].
///
/// # Errors
/// As [`run_jobs`]; an error of a thread, where jobs are left undone by it.
pub(super) fn run_by<J: Send, R: Send>(
    workers: usize,
    jobs: Vec<J>,
    cancel: &AtomicBool,
    thread: impl Fn(&Hands<'_, J, R>) -> Result<()> + Sync,
    mut done: impl FnMut(Vec<R>) -> Result<()>,
    tick: impl FnMut() -> ControlFlow<()>,
) -> Result<()> {
    let total = jobs.len();
    let workers = workers.max(1).min(total);
    let queue = Mutex::new(VecDeque::from(jobs));
    let take = || {
        if cancel.load(Ordering::SeqCst) {
            return None;
        }
        queue
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .pop_front()
    };
    let mut came = 0;
    std::thread::scope(|scope| {
        let (send, receive) = channel();
        let mut threads = Vec::with_capacity(workers);
        for _ in 0..workers {
            let hands = Hands {
                take: &take,
                give: send.clone(),
            };
            let thread = &thread;
            threads.push(scope.spawn(move || thread(&hands)));
        }
        drop(send);
        let taken = |batch: Vec<R>| {
            came += batch.len();
            done(batch)
        };
        let heard = hear(&receive, total, taken, tick);
        if heard.is_err() {
            cancel.store(true, Ordering::SeqCst);
        }
        let mut ended = Ok(());
        for thread in threads {
            let end = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            ended = ended.and(end);
        }
        heard?;
        // Jobs that one thread could not do, others did.
        match came < total {
            true => ended,
            false => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::Error;
    use crate::work::hear::BATCH;

    #[test]
    fn every_job_is_done_once() {
        let cancel = AtomicBool::new(false);
        let mut results = Vec::new();
        run_jobs(
            3,
            (0..100).collect(),
            &cancel,
            |n: i32| n * n,
            |batch| {
                results.extend(batch);
                Ok(())
            },
            || ControlFlow::Continue(()),
        )
        .unwrap();
        results.sort_unstable();
        assert_eq!(results, (0..100).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn what_comes_while_the_last_is_taken_in_comes_together() {
        let cancel = AtomicBool::new(false);
        let mut sizes = Vec::new();
        let result = run_jobs(
            1,
            (0..3000).collect(),
            &cancel,
            |n: i32| n,
            |batch| {
                std::thread::sleep(Duration::from_millis(20));
                sizes.push(batch.len());
                Ok(())
            },
            || ControlFlow::Continue(()),
        );
        result.unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), 3000);
        assert!(sizes.iter().all(|size| *size <= BATCH), "{sizes:?}");
        assert!(sizes.len() < 3000, "{sizes:?}");
    }

    #[test]
    fn quick_results_come_together() {
        let mut sizes = Vec::new();
        run_jobs(
            1,
            (0..1000).collect(),
            &AtomicBool::new(false),
            |n: i32| n,
            |batch| {
                sizes.push(batch.len());
                Ok(())
            },
            || ControlFlow::Continue(()),
        )
        .unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), 1000);
        // One by one they would be hundreds.
        assert!(sizes.len() < 100, "{sizes:?}");
    }

    #[test]
    fn a_thread_that_cannot_begin_fails_what_nobody_else_does() {
        /// Results that came, and the end, where these threads cannot begin.
        fn ended(fails: fn(usize) -> bool) -> (usize, std::result::Result<(), String>) {
            let begun = AtomicUsize::new(0);
            let mut came = 0;
            let ended = run_by(
                2,
                (0..10).collect(),
                &AtomicBool::new(false),
                |hands: &Hands<'_, i32, i32>| {
                    if fails(begun.fetch_add(1, Ordering::SeqCst)) {
                        return Err(Error::Data("no thread".into()));
                    }
                    hands.each(|n| n);
                    Ok(())
                },
                |batch| {
                    came += batch.len();
                    Ok(())
                },
                || ControlFlow::Continue(()),
            );
            (came, ended.map_err(|error| error.to_string()))
        }
        assert_eq!(ended(|number| number == 0), (10, Ok(())));
        assert_eq!(ended(|_| true), (0, Err("data: no thread".to_owned())));
    }

    #[test]
    fn a_failure_stops_the_rest() {
        let cancel = AtomicBool::new(false);
        let mut count = 0;
        let error = run_jobs(
            1,
            (0..1000).collect(),
            &cancel,
            |n: i32| {
                std::thread::sleep(Duration::from_millis(1));
                n
            },
            |_| {
                count += 1;
                Err(Error::Data("full".into()))
            },
            || ControlFlow::Continue(()),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "data: full");
        assert_eq!(count, 1);
    }

    #[test]
    fn a_break_interrupts() {
        let cancel = AtomicBool::new(false);
        let slow = |_: i32| {
            while !cancel.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let error = run_jobs(
            2,
            vec![1, 2, 3],
            &cancel,
            slow,
            |_| Ok(()),
            || ControlFlow::Break(()),
        )
        .unwrap_err();
        assert!(matches!(error, Error::Interrupted));
    }

    #[test]
    fn no_job_is_fine() {
        let cancel = AtomicBool::new(false);
        run_jobs(
            2,
            Vec::<i32>::new(),
            &cancel,
            |n| n,
            |_| Ok(()),
            || ControlFlow::Break(()),
        )
        .unwrap();
    }
}

//! The contract of a queue, as tests.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::queue::{Lease, MAX_BODY, Queue};

use crate::SHORT;

/// Makes an empty queue with this lease.
pub(crate) type Make<'a> = &'a dyn Fn(Duration) -> Box<dyn Queue>;

const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(10);

fn job(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Every part of the contract.
pub(crate) fn holds(make: Make<'_>) {
    a_job_is_queued_once(make(LONG).as_ref());
    a_lease_that_ends_frees_its_job(make(SHORT).as_ref());
    a_renewed_lease_does_not_end(make(SHORT).as_ref());
    a_job_handed_back_is_free_at_once(make(LONG).as_ref());
    a_finished_job_may_be_offered_again(make(LONG).as_ref());
    each_job_goes_to_one_of_many(make(LONG).as_ref());
    a_body_has_a_bound(make(LONG).as_ref());
}

fn a_job_is_queued_once(queue: &dyn Queue) {
    assert!(queue.take(NOW).unwrap().is_none());
    queue.offer(&job("a"), b"first").unwrap();
    queue.offer(&job("a"), b"second").unwrap();
    queue.offer(&job("b"), b"other").unwrap();
    assert_eq!(
        queue.outstanding().unwrap(),
        BTreeSet::from([job("a"), job("b")])
    );
    let taken = queue.take(SOON).unwrap().unwrap();
    assert_eq!(
        (taken.job, &taken.body[..]),
        (job("a"), &b"first"[..]),
        "the oldest, as it was first"
    );
    assert_eq!(taken.deliveries, 1);
    // Offered while it is leased: it is not there twice.
    queue.offer(&job("a"), b"third").unwrap();
    let other = queue.take(SOON).unwrap().unwrap();
    assert_eq!(other.job, job("b"));
    assert!(queue.take(NOW).unwrap().is_none());
    assert_eq!(
        queue.outstanding().unwrap().len(),
        2,
        "leased jobs are outstanding"
    );
    queue.settle(&taken.lease, Lease::Finish).unwrap();
    queue.settle(&taken.lease, Lease::Finish).unwrap();
    queue.settle(&other.lease, Lease::Finish).unwrap();
    assert!(queue.outstanding().unwrap().is_empty());
}

fn a_lease_that_ends_frees_its_job(queue: &dyn Queue) {
    queue.offer(&job("a"), b"body").unwrap();
    let dead = queue.take(SOON).unwrap().unwrap();
    assert!(queue.take(SHORT / 4).unwrap().is_none(), "it is leased");
    let second = queue.take(SOON).unwrap().unwrap();
    assert_eq!((second.job, second.body), (dead.job, dead.body));
    assert_eq!(second.deliveries, 2);
    // Whoever is late finishes it for everybody: its result is the same.
    queue.settle(&dead.lease, Lease::Finish).unwrap();
    assert!(queue.outstanding().unwrap().is_empty());
    std::thread::sleep(SHORT + SHORT / 2);
    assert!(queue.take(NOW).unwrap().is_none());
}

fn a_renewed_lease_does_not_end(queue: &dyn Queue) {
    queue.offer(&job("a"), b"").unwrap();
    let taken = queue.take(SOON).unwrap().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < SHORT * 2 {
        queue.settle(&taken.lease, Lease::Renew).unwrap();
        assert!(queue.take(SHORT / 5).unwrap().is_none());
    }
    queue.settle(&taken.lease, Lease::Finish).unwrap();
}

fn a_job_handed_back_is_free_at_once(queue: &dyn Queue) {
    queue.offer(&job("a"), b"").unwrap();
    let taken = queue.take(SOON).unwrap().unwrap();
    queue.settle(&taken.lease, Lease::Back).unwrap();
    let again = queue.take(SOON).unwrap().unwrap();
    assert_eq!((again.job, again.deliveries), (job("a"), 2));
    queue.settle(&again.lease, Lease::Finish).unwrap();
}

/// A window in which equal ids are dropped would swallow it.
fn a_finished_job_may_be_offered_again(queue: &dyn Queue) {
    for attempt in [b"0", b"1"] {
        queue.offer(&job("a"), attempt).unwrap();
        let taken = queue.take(SOON).unwrap().unwrap();
        assert_eq!((&taken.body[..], taken.deliveries), (&attempt[..], 1));
        queue.settle(&taken.lease, Lease::Finish).unwrap();
    }
}

fn each_job_goes_to_one_of_many(queue: &dyn Queue) {
    let jobs: BTreeSet<Digest> = (0..40).map(|n| job(&n.to_string())).collect();
    let taken: Vec<Digest> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    while let Some(taken) = queue.take(Duration::from_secs(2)).unwrap() {
                        own.push(taken.job);
                        queue.settle(&taken.lease, Lease::Finish).unwrap();
                    }
                    own
                })
            })
            .collect();
        for job in &jobs {
            queue.offer(job, b"").unwrap();
        }
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(taken.len(), jobs.len(), "none twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), jobs);
}

fn a_body_has_a_bound(queue: &dyn Queue) {
    queue.offer(&job("most"), &vec![7; MAX_BODY]).unwrap();
    assert!(queue.offer(&job("more"), &vec![7; MAX_BODY + 1]).is_err());
    let taken = queue.take(SOON).unwrap().unwrap();
    assert_eq!(taken.body.len(), MAX_BODY);
    queue.settle(&taken.lease, Lease::Finish).unwrap();
    assert!(queue.settle("no lease", Lease::Finish).is_err());
}

//! Runs whose jobs are done by workers with nothing but blobs: the same bits as alone, whatever happens to a
//! worker, and nothing of a result that is not the task's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;
use fedseal_data::TaskData;
use fedseal_data::world::World;
use fedseal_federation::lab::Lab;
use fedseal_federation::runner::{Exchange, Run};
use fedseal_federation::work::board::Delivered;
use fedseal_federation::work::package::{Outcome, Package};
use fedseal_federation::work::task::{Offer, Work};
use fedseal_federation::worker::hands::Hands;
use fedseal_federation::worker::{Coordinator, Worker};
use fedseal_federation::{Error, Result};
use fedseal_ledger::Blobs;
use fedseal_record::events::Event;
use fedseal_record::report::Report;
use fedseal_record::verify::verify;
use fedseal_rules::admission::CheckConfig;
use fedseal_rules::experiment::Experiment;

use crate::double::{Double, create_from, experiment, options, resume};

/// A run in this process, as a worker meets it.
struct Near<'a> {
    exchange: &'a Exchange,
    name: &'static str,
    /// Tasks that it takes and never reports.
    lost: AtomicUsize,
}

impl<'a> Near<'a> {
    fn new(exchange: &'a Exchange, name: &'static str) -> Self {
        Near {
            exchange,
            name,
            lost: AtomicUsize::new(0),
        }
    }
}

impl Coordinator for Near<'_> {
    fn take(&self) -> Result<Option<Offer>> {
        let within = Duration::from_millis(50);
        let less = |lost: usize| lost.checked_sub(1);
        let loses = self
            .lost
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        let taken = self.exchange.take(self.name, within);
        if loses.is_err() {
            return Ok(taken);
        }
        // Two of its threads ask at once, and one of them may have got nothing to lose.
        if taken.is_none() {
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
        Ok(None)
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.exchange.blob(digest)
    }

    fn renew(&self, id: &Digest) -> Result<bool> {
        Ok(self.exchange.renew(self.name, id))
    }

    fn done(&self, id: &Digest, package: &[u8]) -> Result<()> {
        self.exchange.done(self.name, id, package).map(drop)
    }

    fn give_back(&self, id: &Digest, failure: Option<&str>) -> Result<()> {
        self.exchange.give_back(self.name, id, failure);
        Ok(())
    }
}

/// Opens a run as a worker does.
fn hands(salt: u32) -> impl Fn(Digest, Blobs) -> Result<Hands> {
    move |plan, blobs| {
        let lab = |_: &Experiment| -> Result<Arc<dyn Lab>> {
            Ok(Arc::new(Double {
                salt,
                ..Double::new()
            }))
        };
        let data = |_: &Experiment| -> Result<Arc<dyn TaskData>> { Ok(Arc::new(World::new())) };
        Hands::open(plan, blobs, lab, data, None)
    }
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every kind of job: updates, replays that a check demands, probes, measures and a repair.
fn busy() -> Experiment {
    let mut busy = experiment();
    busy.admission.provenance = Some(vec![CheckConfig {
        effect: "replay".into(),
        ..CheckConfig::new("norm").with("max_ratio", 0.0)
    }]);
    busy
}

fn adapters(report: &Report) -> BTreeMap<String, Digest> {
    let arms = report.arms.iter();
    arms.map(|arm| (arm.id.clone(), arm.final_adapter.unwrap()))
        .collect()
}

/// Executes a run with workers beside it.
fn execute(run: &mut Run, near: &[Near<'_>], folder: &Path, salt: u32) -> Result<Report> {
    let stop = AtomicBool::new(false);
    let open = hands(salt);
    std::thread::scope(|scope| {
        for worker in near {
            let (stop, open) = (&stop, &open);
            scope.spawn(move || {
                let blobs = Blobs::open(folder.join(worker.name)).unwrap();
                Worker::new(blobs, open).run(worker, 2, stop, &|_| {});
            });
        }
        let report = run.execute(&mut go_on);
        stop.store(true, Ordering::SeqCst);
        report
    })
}

fn alone(experiment: Experiment) -> BTreeMap<String, Digest> {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let mut run = create_from(&place, &options(dir.path()), Double::new(), experiment).unwrap();
    adapters(&run.execute(&mut go_on).unwrap())
}

#[test]
fn workers_alone_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let mut run = create_from(&place, &options(dir.path()), Double::new(), busy()).unwrap();
    let exchange = run.lend(Duration::from_secs(30), false).unwrap();
    let near = [Near::new(&exchange, "one"), Near::new(&exchange, "two")];
    let report = execute(&mut run, &near, dir.path(), 0).unwrap();
    assert_eq!(adapters(&report), alone(busy()));
    let done: u64 = exchange.workers().values().map(|seen| seen.done).sum();
    assert!(done > 20, "{done} tasks were done by workers");
    drop(run);
    verify(&place).unwrap();
}

#[test]
fn a_worker_that_dies_costs_time_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let mut run = create_from(&place, &options(dir.path()), Double::new(), busy()).unwrap();
    let exchange = run.lend(Duration::from_millis(200), false).unwrap();
    let near = [Near::new(&exchange, "dying"), Near::new(&exchange, "well")];
    near[0].lost.store(5, Ordering::SeqCst);
    let report = execute(&mut run, &near, dir.path(), 0).unwrap();
    assert_eq!(adapters(&report), alone(busy()));
    assert_eq!(
        near[0].lost.load(Ordering::SeqCst),
        0,
        "five tasks were lost"
    );
    drop(run);
    verify(&place).unwrap();
}

#[test]
fn a_stopped_run_goes_on_without_its_workers() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let options = options(dir.path());
    let mut run = create_from(&place, &options, Double::new(), busy()).unwrap();
    let exchange = run.lend(Duration::from_secs(30), false).unwrap();
    let near = Near::new(&exchange, "one");
    let stop = AtomicBool::new(false);
    let open = hands(0);
    let stopped = std::thread::scope(|scope| {
        scope.spawn(|| {
            let blobs = Blobs::open(dir.path().join("one")).unwrap();
            Worker::new(blobs, &open).run(&near, 1, &stop, &|_| {});
        });
        let mut updates = 0;
        let stopped = run.execute(&mut |event: &Event| {
            updates += u32::from(matches!(event, Event::Update { .. }));
            match updates {
                0..4 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        stop.store(true, Ordering::SeqCst);
        stopped
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(exchange.take("one", Duration::ZERO), None);
    drop((exchange, run));
    let mut run = resume(&place, &options, Double::new()).unwrap();
    assert_eq!(adapters(&run.execute(&mut go_on).unwrap()), alone(busy()));
}

#[test]
fn another_engine_is_refused_and_its_reason_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let mut run = create_from(&place, &options(dir.path()), Double::new(), busy()).unwrap();
    let exchange = run.lend(Duration::from_secs(30), false).unwrap();
    let near = [Near::new(&exchange, "other")];
    let error = execute(&mut run, &near, dir.path(), 7)
        .unwrap_err()
        .to_string();
    assert!(error.contains("worker other says: "), "{error}");
    assert!(error.contains("made by engine `double 0`"), "{error}");
}

/// Takes the first task of a kind while the run waits, and gives it with the result that is right.
fn first(exchange: &Exchange, folder: &Path, kind: fn(&Work) -> bool) -> (Offer, Package) {
    let blobs = Blobs::open(folder.join("first")).unwrap();
    let mut opened = None;
    loop {
        let offer = exchange.take("honest", Duration::from_secs(20)).unwrap();
        let hands = opened.get_or_insert_with(|| {
            for digest in exchange_blobs(exchange, &offer, &blobs) {
                blobs.put(&exchange.blob(&digest).unwrap()).unwrap();
            }
            hands(0)(offer.task.plan, blobs.clone()).unwrap()
        });
        loop {
            let missing = offer.task.wants(hands.plan(), &blobs).unwrap();
            if missing.is_empty() {
                break;
            }
            for digest in missing {
                blobs.put(&exchange.blob(&digest).unwrap()).unwrap();
            }
        }
        let package = hands.perform(&offer.task).unwrap();
        if kind(&offer.task.work) {
            return (offer, package);
        }
        let bytes = package.to_bytes().unwrap();
        exchange.done("honest", &offer.id, &bytes).unwrap();
    }
}

/// The plan's blobs, the plan's own put first.
fn exchange_blobs(exchange: &Exchange, offer: &Offer, blobs: &Blobs) -> Vec<Digest> {
    use fedseal_federation::work::task::plan_wants;
    use fedseal_federation::worker::hands::plan_of;
    let plan = exchange.blob(&offer.task.plan).unwrap();
    blobs.put(&plan).unwrap();
    plan_wants(&plan_of(blobs, &offer.task.plan).unwrap(), blobs)
}

/// Runs `busy` with lent jobs; `lie` meets the first task of a kind, and the rest is done well.
fn with_a_liar(kind: fn(&Work) -> bool, lie: impl FnOnce(&Exchange, &Offer, Package) + Send) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let mut run = create_from(&place, &options(dir.path()), Double::new(), busy()).unwrap();
    let exchange = run.lend(Duration::from_secs(30), false).unwrap();
    let stop = AtomicBool::new(false);
    let open = hands(0);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (offer, package) = first(&exchange, dir.path(), kind);
            lie(&exchange, &offer, package);
            let blobs = Blobs::open(dir.path().join("rest")).unwrap();
            let near = Near::new(&exchange, "rest");
            Worker::new(blobs, &open).run(&near, 1, &stop, &|_| {});
        });
        let report = run.execute(&mut go_on);
        stop.store(true, Ordering::SeqCst);
        report.unwrap()
    });
    assert_eq!(adapters(&report), alone(busy()));
    drop(run);
    verify(&place).unwrap();
}

fn refused(exchange: &Exchange, offer: &Offer, package: &Package, words: &str) {
    let bytes = package.to_bytes().unwrap();
    let error = exchange.done("liar", &offer.id, &bytes).unwrap_err();
    assert!(error.to_string().contains(words), "{words}: {error}");
}

#[test]
fn a_statement_that_is_not_the_tasks_is_not_signed() {
    with_a_liar(
        |work| matches!(work, Work::Update(_)),
        |exchange, offer, good| {
            let Outcome::Update { predicate, log } = good.outcome.clone() else {
                panic!("{:?}", good.outcome);
            };
            let with = |change: &dyn Fn(&mut fedseal_client_sdk::attestation::UpdatePredicate)| {
                let mut other = predicate.clone();
                change(&mut other);
                Package {
                    outcome: Outcome::Update {
                        predicate: other,
                        log: log.clone(),
                    },
                    blobs: good.blobs.clone(),
                }
            };
            let refused = |package: Package, words| refused(exchange, offer, &package, words);
            refused(with(&|it| it.client = "client-99".into()), "client");
            refused(with(&|it| it.module = Digest::of(b"other")), "module");
            refused(
                with(&|it| it.global = Digest::of(b"other")),
                "global adapter",
            );
            refused(with(&|it| it.engine = "other".into()), "engine");
            refused(with(&|it| it.update = None), "neither");
            refused(
                with(&|it| it.update = Some(Digest::of(b"x"))),
                "lacks the blob",
            );
            refused(
                with(&|it| it.transcript.blob = Digest::of(b"x")),
                "lacks the blob",
            );
            let other = Package::new(Outcome::Probe {
                refusal: 0,
                loss: 0,
                requests: Vec::new(),
                tasks: Vec::new(),
            });
            refused(other, "another kind");
            let bytes = good.to_bytes().unwrap();
            let taken = exchange.done("honest", &offer.id, &bytes).unwrap();
            assert_eq!(taken, Delivered::Taken);
        },
    );
}

#[test]
fn answers_to_other_prompts_are_refused() {
    with_a_liar(
        |work| matches!(work, Work::Measure { .. }),
        |exchange, offer, good| {
            let Outcome::Measure { result } = good.outcome else {
                panic!("{:?}", good.outcome);
            };
            let text = String::from_utf8(good.blobs[&result].clone()).unwrap();
            let (before, after) = text.split_once("\"prompt\":\"").unwrap();
            let other = format!("{before}\"prompt\":\"Another: {after}").into_bytes();
            let mut package = Package::new(Outcome::Measure {
                result: Digest::of(&other),
            });
            package.put(other);
            refused(exchange, offer, &package, "other prompts");
            // It comes back when its lease ends, or is given back.
            exchange.give_back("honest", &offer.id, None);
        },
    );
}

#[test]
fn a_repair_of_another_shape_is_refused() {
    with_a_liar(
        |work| matches!(work, Work::Defend { .. }),
        |exchange, offer, good| {
            let Outcome::Defend { data, .. } = good.outcome else {
                panic!("{:?}", good.outcome);
            };
            let mut package = Package::new(Outcome::Defend {
                adapter: data,
                data,
            });
            package.put(good.blobs[&data].clone());
            refused(exchange, offer, &package, "a result");
            exchange.give_back("honest", &offer.id, None);
        },
    );
}

//! Federations of nodes in one process: the same bits as alone, whoever dies; nodes that deliver nothing, that
//! lie, and a coordinator that shows two histories.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fedseal_client_sdk as sdk;
use fedseal_client_sdk::attestation::{self, UpdatePredicate};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::{PublicKey, SigningKey, TrustStore};
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_client_sdk::tlog::{
    Checkpoint, Fork, KeyKind, ProofFile, VerifierKey, add_signatures, cosign,
};
use fedseal_federation::coordinator::books::Books;
use fedseal_federation::coordinator::ended::Ended;
use fedseal_federation::lab::Lab;
use fedseal_federation::node::deeds::{self, Deed};
use fedseal_federation::node::link::Link;
use fedseal_federation::node::{CACHE_BYTES, Node, Own, Shard, resolved};
use fedseal_federation::own::How;
use fedseal_federation::protocol::{Enrol, Enrolled, Invitation, Next};
use fedseal_federation::runner::{Gathering, Options, Run, load_data};
use fedseal_federation::work::desk::Fate;
use fedseal_federation::work::package::{Outcome, Package};
use fedseal_federation::{Error, Result};
use fedseal_ledger::{Log, LogReader, Remote};
use fedseal_record::events::Event as Told;
use fedseal_record::explain::explain;
use fedseal_record::export;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::rundir::RunDir;
use fedseal_record::verify::verify;
use fedseal_rules::experiment::{Experiment, read_site_text};
use fedseal_rules::lifecycle::{Event, Phase};

use crate::double::{Double, options};
use crate::revoked::revoke;

const NAMES: [&str; 3] = ["north", "south", "east"];
const ROUNDS: usize = 3;
/// Longest wait for nodes that have heard that it is over.
const LONG: Duration = Duration::from_secs(20);

const COMMON: &str = r#"
    seeds = [3]
    arms = ["clean", "fedavg", "provenance"]
    [training]
    local_steps = 2
    learning_rate = 1e-3
    [lora]
    rank = 2
    [evaluation]
    prompts = 6
    tasks = 5
    every = 0
    round_prompts = 0
    round_tasks = 0
    [canaries]
    sealed = 4
    per_round = 2
    [federation]
    rounds = 3
    sampled = 3
"#;

const RULES: &str = r#"
    [[allow]]
    name = "alice's"
    signers = ["alice"]
    shards = ["*"]
    [allow.limits]
    host_calls = 500
"#;

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.jsonl"))
}

/// An experiment with these clients, whose shards are here or at nodes with these settings.
fn experiment(nodes: Option<&str>) -> Experiment {
    let mut text = COMMON.to_owned();
    if let Some(nodes) = nodes {
        text += &format!("[federation.nodes]\n{nodes}\n");
    }
    for name in NAMES {
        text += &format!("[[clients]]\nname = \"{name}\"\n");
        if nodes.is_none() {
            text += &format!("shard = \"{name}.jsonl\"\n");
        }
    }
    Experiment::parse(&text, "nodes.toml").unwrap()
}

/// A folder with keys, modules and the shards.
fn place(dir: &Path) -> Options {
    for (n, name) in NAMES.iter().enumerate() {
        let rows: String = (0..8)
            .map(|i| {
                format!("{{\"prompt\": \"Ask {name} {i}\", \"response\": \"There is {n}.\"}}\n")
            })
            .collect();
        fs::write(file(dir, name), rows).unwrap();
    }
    Options {
        files: dir.to_owned(),
        ..options(dir)
    }
}

fn adapters(report: &Report) -> BTreeMap<String, Digest> {
    let arms = report.arms.iter();
    arms.map(|arm| (arm.id.clone(), arm.final_adapter.unwrap()))
        .collect()
}

/// The final adapters of one process that has all shards.
fn alone() -> BTreeMap<String, Digest> {
    let dir = tempfile::tempdir().unwrap();
    let (options, experiment) = (place(dir.path()), experiment(None));
    let data = load_data(&experiment, &options).unwrap();
    let lab = Arc::new(Double::new());
    let place = dir.path().join("run");
    let run = Run::create_with(&place, experiment, &options, lab, "double", data);
    let report = run.unwrap().execute(&mut |_| ControlFlow::Continue(()));
    adapters(&report.unwrap())
}

/// A coordinator in this process.
struct Here {
    dir: PathBuf,
    books: Books,
    phase: Mutex<Phase>,
    gathering: Mutex<Option<Arc<Gathering>>>,
    /// Folder that has the log as nodes see it.
    log: Mutex<PathBuf>,
}

impl Here {
    fn new(dir: &Path, settings: &str) -> Here {
        let books = Books::open(dir.join("books")).unwrap();
        let coordinator = SigningKey::load_or_create(dir.join("keys/node.pem")).unwrap();
        let text = experiment(Some(settings)).to_toml().unwrap();
        books
            .create("run", &text, None, coordinator.public())
            .unwrap();
        Here {
            dir: dir.to_owned(),
            books,
            phase: Mutex::new(Phase::Enrolling),
            gathering: Mutex::default(),
            log: Mutex::new(dir.join("run/log")),
        }
    }

    fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    fn gathering(&self) -> Result<Arc<Gathering>> {
        let gathering = self.gathering.lock().unwrap().clone();
        gathering.ok_or_else(|| {
            Error::Sdk(sdk::Error::Http {
                url: "here".into(),
                detail: "the coordinator is down".into(),
            })
        })
    }

    /// Executes as far as `stop` says: begun anew or gone on with.
    fn conduct(&self, options: &Options, stop: &dyn Fn(&Told) -> bool) -> Result<Report> {
        let federation = self.books.read("run").unwrap();
        let experiment = self.books.experiment(&federation).unwrap();
        let members = federation.members.iter();
        let options = Options {
            enrolled: members
                .map(|(name, joined)| (name.clone(), joined.member.clone()))
                .collect(),
            ..options.clone()
        };
        let data = load_data(&experiment, &options)?;
        let lab = Arc::new(Double::new());
        let mut run = match RunDir::new(self.run()).plan().exists() {
            true => Run::resume_with(self.run(), &options, lab, data)?,
            false => Run::create_with(self.run(), experiment, &options, lab, "double", data)?,
        };
        let gathering = run.gather(|| ())?;
        *self.gathering.lock().unwrap() = Some(Arc::new(gathering));
        let report = run.execute(&mut |event| match stop(event) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        *self.gathering.lock().unwrap() = None;
        report
    }

    fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap() = phase;
    }

    /// Waits until every client has enrolled, and starts.
    fn start(&self) {
        let begun = Instant::now();
        while self.books.event("run", Event::Start, None).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody enrols");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.set(Phase::Running);
    }
}

/// A log's folder, as it looks from elsewhere.
struct Folder(PathBuf);

impl Remote for Folder {
    fn get(&self, path: &str) -> fedseal_ledger::Result<Option<Vec<u8>>> {
        Ok(fs::read(self.0.join(path)).ok())
    }
}

/// Changes what is delivered, or says what becomes of it.
type Deliver<'a> = &'a (dyn Fn(&Gathering, &PublicKey, &Digest, &[u8]) -> Result<Fate> + Sync);

/// The coordinator as one node reaches it.
struct Near<'a> {
    here: &'a Here,
    key: PublicKey,
    deliver: Option<Deliver<'a>>,
}

impl Link for Near<'_> {
    fn enrol(&self, request: &Enrol) -> Result<Enrolled> {
        self.here.books.enrol("run", self.key, request)
    }

    fn next(&self) -> Result<Next> {
        std::thread::sleep(Duration::from_millis(10));
        let phase = *self.here.phase.lock().unwrap();
        let gathering = self.here.gathering.lock().unwrap().clone();
        let Some(gathering) = gathering else {
            let plan = fs::read(self.here.run().join("run.json")).ok();
            let plan = plan.map(|bytes| Digest::of(&bytes));
            return Ok(Next::Idle { phase, plan });
        };
        let plan = gathering.plan();
        Ok(match gathering.offer(&self.key)? {
            Some(job) => Next::Job {
                plan,
                job: Box::new(job),
            },
            None => Next::Idle {
                phase,
                plan: Some(plan),
            },
        })
    }

    fn piece(&self, digest: &Digest, from: u64, most: u64) -> Result<Vec<u8>> {
        if *self.here.phase.lock().unwrap() == Phase::Finished {
            let ended = Ended::read(&RunDir::new(self.here.run()))?;
            return Ok(ended.blob(digest)?.read(from, most).unwrap());
        }
        let gathering = self.here.gathering()?;
        let blob = gathering.blob(digest)?;
        // Pieces of a blob come from one that was hashed once.
        assert!(Arc::ptr_eq(&blob, &gathering.blob(digest)?));
        Ok(blob.read(from, most).unwrap())
    }

    fn deliver(&self, key: &Digest, package: &[u8]) -> Result<Fate> {
        let gathering = self.here.gathering()?;
        match self.deliver {
            Some(deliver) => deliver(&gathering, &self.key, key, package),
            None => gathering.deliver(&self.key, key, package),
        }
    }

    fn refuse(&self, key: &Digest, reason: &str) -> Result<()> {
        self.here.gathering()?.refuse(&self.key, key, reason);
        Ok(())
    }

    fn log(&self) -> Arc<dyn Remote> {
        Arc::new(Folder(self.here.log.lock().unwrap().clone()))
    }

    fn cosign(&self, note: &str) -> Result<()> {
        let log = log_of(self.here);
        self.here.books.cosign("run", &log, self.key, note)
    }

    fn cosigned(&self) -> Result<Vec<String>> {
        self.here.books.cosigned("run")
    }
}

/// The key of the run's log.
fn log_of(here: &Here) -> VerifierKey {
    let plan = RunDir::new(here.run()).read_plan().unwrap();
    VerifierKey::new(&plan.origin, KeyKind::Log, plan.node).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(Digest::of(name.as_bytes()).0)
}

fn state(here: &Here, name: &str) -> PathBuf {
    here.dir.join(format!("node-{name}"))
}

/// Opens a node's folder and works until the federation is over.
fn work(
    here: &Here,
    name: &str,
    rules: &str,
    invitation: &Invitation,
    deliver: Option<Deliver<'_>>,
    stop: &AtomicBool,
) -> Result<()> {
    let trusted = TrustStore::load(here.dir.join("keys/trusted.toml")).unwrap();
    let path = file(&here.dir, name).display().to_string();
    let own = Own {
        dir: state(here, name),
        key: key(name),
        shards: vec![Shard::read(name, &[path], How::default())?],
        rules: resolved(read_site_text(rules, "site.toml")?, &trusted)?,
        cache_bytes: CACHE_BYTES,
    };
    let near = Near {
        here,
        key: key(name).public(),
        deliver,
    };
    let lab = |_: &Experiment| -> Result<Arc<dyn Lab>> { Ok(Arc::new(Double::new())) };
    let told = |_: &str| {};
    let mut node = Node::open(own, Some(invitation), &near, &lab, None, stop, &told)?;
    node.run(stop)
}

/// Has these nodes at work while `conduct` runs; ends them when it is over.
fn with_nodes<T>(
    here: &Here,
    nodes: &[(&'static str, Option<Deliver<'_>>)],
    conduct: impl FnOnce() -> T,
) -> T {
    let invitations: BTreeMap<&str, Invitation> = NAMES
        .iter()
        .map(|name| {
            let client = Some((*name).to_owned());
            (*name, here.books.invite("run", client).unwrap())
        })
        .collect();
    // Who enrols and then does nothing.
    for name in NAMES {
        if nodes.iter().all(|(working, _)| *working != name) {
            let stop = AtomicBool::new(true);
            work(here, name, RULES, &invitations[name], None, &stop).unwrap();
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working: Vec<_> = nodes
            .iter()
            .map(|(name, deliver)| {
                let (stop, invitation) = (&stop, &invitations[name]);
                scope.spawn(move || work(here, name, RULES, invitation, *deliver, stop).unwrap())
            })
            .collect();
        here.start();
        let done = conduct();
        here.set(Phase::Finished);
        // Each hears that it is over; one that waits for something else is stopped.
        let begun = Instant::now();
        while !working.iter().all(|node| node.is_finished()) && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::SeqCst);
        done
    })
}

fn honest() -> Vec<(&'static str, Option<Deliver<'static>>)> {
    NAMES.iter().map(|name| (*name, None)).collect()
}

fn never(_: &Told) -> bool {
    false
}

/// Jobs that a node executed, those it sent with what became of them, and checkpoints that it cosigned.
fn deeds_of(here: &Here, name: &str) -> (Vec<Digest>, Vec<Fate>, usize) {
    let all = deeds::read(&state(here, name).join("log"), &key(name).public()).unwrap();
    let executed = all.iter().filter_map(|deed| match deed {
        Deed::Executed { job, .. } => Some(*job),
        _ => None,
    });
    let sent = all.iter().filter_map(|deed| match deed {
        Deed::Sent { fate, .. } => Some(*fate),
        _ => None,
    });
    let cosigned = all
        .iter()
        .filter(|deed| matches!(deed, Deed::Cosigned { .. }));
    (executed.collect(), sent.collect(), cosigned.count())
}

/// Every node has what the federation ended with, and a proof that holds without the coordinator.
fn each_has_the_last_adapters(here: &Here, report: &Report) {
    let plan = RunDir::new(here.run()).read_plan().unwrap();
    let mut last = adapters(report);
    // Nothing was made for the base.
    last.remove("base").unwrap();
    for name in NAMES {
        let folder = state(here, name).join("final");
        for (arm, adapter) in last.clone() {
            let bytes = fs::read(folder.join(format!("{arm}.safetensors"))).unwrap();
            assert_eq!(Digest::of(&bytes), adapter, "{name}: {arm}");
            let proof = fs::read_to_string(folder.join(format!("{arm}.tlog-proof"))).unwrap();
            let proof = ProofFile::parse(&proof).unwrap();
            let entry = proof.extra.clone().unwrap();
            proof.verify(&entry, &plan.origin, &plan.node).unwrap();
            let record = Record::from_bytes(&entry).unwrap();
            assert_eq!(export::made(&record), Some((arm.as_str(), adapter)));
        }
        let all = deeds::read(&state(here, name).join("log"), &key(name).public()).unwrap();
        let received = all
            .iter()
            .filter(|deed| matches!(deed, Deed::Received { .. }));
        assert_eq!(received.count(), last.len());
    }
}

#[test]
fn nodes_give_the_bits_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    let report = with_nodes(&here, &honest(), || here.conduct(&options, &never)).unwrap();
    assert_eq!(adapters(&report), alone());
    let checked = verify(here.run()).unwrap();
    assert!(checked.updates >= (ROUNDS * NAMES.len()) as u64);
    assert_eq!((checked.attested, checked.absent), (checked.updates, 0));
    each_has_the_last_adapters(&here, &report);

    // No row of a shard is in anything that the coordinator has.
    let run = OpenRun::read(here.run()).unwrap();
    for planned in &run.plan.clients {
        assert!(planned.node && !run.blobs.contains(&planned.honest.shard));
        assert_eq!(planned.key, key(planned.client.as_str()).public());
    }
    let update = run.state.updates.values().next().unwrap();
    let told = explain(here.run(), &update.attestation.to_string()).unwrap();
    let told = told.sentences.join("\n");
    let signer = key(update.client.as_str()).public().key_id();
    let rests = format!("rests on the word of node {signer} alone");
    assert!(told.contains(&rests), "{told}");
    for name in NAMES {
        let (executed, sent, cosigned) = deeds_of(&here, name);
        assert!(executed.len() >= ROUNDS && cosigned >= ROUNDS, "{name}");
        assert!(sent.iter().all(|fate| *fate == Fate::Recorded), "{sent:?}");
    }
    // All have seen the last checkpoint, which goes round once, and before the log was closed.
    let notes = here.books.cosigned("run").unwrap();
    let [last] = &notes[..] else {
        panic!("nodes stand at several checkpoints");
    };
    let shown = || fs::read_to_string(here.run().join("log/checkpoint")).unwrap();
    let lines = || shown().matches("fedseal-node-").count();
    let checkpoint = |note: &str| Checkpoint::parse(note).unwrap();
    assert_eq!(checkpoint(last), checkpoint(&shown()));
    assert_eq!(lines(), 0);
    for _ in 0..2 {
        here.books
            .attach("run", &RunDir::new(here.run()), None)
            .unwrap();
        assert_eq!(lines(), NAMES.len());
    }
    verify(here.run()).unwrap();

    // Lines of others, and more than one of its own, go no further.
    let (north, stranger) = (key("north"), key("stranger"));
    let by = |key: &SigningKey, time| {
        let name = fedseal_federation::protocol::witness_name(&key.public());
        cosign(&shown(), &name, key, time).unwrap()
    };
    let many: String = (0..100).map(|time| by(&north, time)).collect();
    let note = add_signatures(&shown(), &(many + &by(&stranger, 1))).unwrap();
    let log = log_of(&here);
    here.books
        .cosign("run", &log, north.public(), &note)
        .unwrap();
    let notes = here.books.cosigned("run").unwrap();
    let [kept] = &notes[..] else {
        panic!("another checkpoint");
    };
    assert!(kept.len() < 1000, "{kept}");
    let none = here
        .books
        .cosign("run", &log, key("absent").public(), &note);
    assert!(none.unwrap_err().to_string().contains("no line of this"));
}

#[test]
fn a_coordinator_that_dies_in_every_round_trains_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    let report = with_nodes(&here, &honest(), || {
        for _ in 0..2 * ROUNDS {
            // It ends after the first update that it logged.
            let stop = AtomicBool::new(false);
            let first = |event: &Told| {
                let seen = matches!(event, Told::Update { .. });
                stop.fetch_or(seen, Ordering::SeqCst) || seen
            };
            match here.conduct(&options, &first) {
                Err(Error::Interrupted) => {}
                other => return other,
            }
        }
        here.conduct(&options, &never)
    });
    assert_eq!(adapters(&report.unwrap()), alone());
    let checked = verify(here.run()).unwrap();
    assert_eq!((checked.attested, checked.absent), (checked.updates, 0));
    for name in NAMES {
        let (mut executed, ..) = deeds_of(&here, name);
        let all = executed.len();
        executed.sort();
        executed.dedup();
        assert_eq!(executed.len(), all, "{name} trained something twice");
    }
}

#[test]
fn a_node_whose_key_is_revoked_counts_no_more_and_the_rounds_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60\nleast_updates = 2");
    let east = key("east").public();
    let report = with_nodes(&here, &honest(), || {
        here.conduct(&options, &|event| {
            if matches!(event, Told::Round { round: 0, .. }) {
                let gathering = here.gathering().unwrap();
                gathering.revoke(&east, "the disk was stolen");
            }
            false
        })
    });
    let report = report.unwrap();
    let checked = verify(here.run()).unwrap();
    assert!(checked.absent > 0 && checked.attested > checked.absent);
    let log = OpenRun::read(here.run()).unwrap().log.entries().unwrap();
    let revoked = log.iter().filter(|entry| {
        let record = Record::from_bytes(entry).unwrap();
        matches!(record, Record::KeyRevoked { key, .. } if key == east)
    });
    assert_eq!(revoked.count(), 1);
    for arm in &report.arms {
        for round in arm.rounds.iter().skip(1) {
            let gone = round.clients.iter().find(|it| it.client == "east").unwrap();
            let fact = &gone.verdict.as_ref().unwrap().fact;
            assert!(fact.contains("the disk was stolen"), "{fact}");
        }
    }
}

#[test]
fn an_author_whose_key_is_revoked_in_a_round_counts_no_more_from_the_next_one_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    // In the middle of the second round: one arm has its updates, the others have not.
    let report = with_nodes(&here, &honest(), || {
        here.conduct(&options, &|event| {
            if matches!(event, Told::Round { arm, round: 1, .. } if arm == "clean") {
                revoke(&options);
            }
            false
        })
    });
    let report = report.unwrap();
    let checked = verify(here.run()).unwrap();
    assert_eq!((checked.attested, checked.absent), (checked.updates, 0));

    let run = OpenRun::read(here.run()).unwrap();
    let entries = run.log.entries().unwrap();
    let records: Vec<Record> = entries
        .iter()
        .map(|entry| Record::from_bytes(entry).unwrap())
        .collect();
    let author = run.plan.modules[0].signer;
    let places = records.iter().enumerate();
    let revoked: Vec<usize> = places
        .filter(|(_, record)| matches!(record, Record::KeyRevoked { key, .. } if *key == author))
        .map(|(at, _)| at)
        .collect();
    let [at] = revoked[..] else {
        panic!("revoked at {revoked:?}");
    };
    // The last round begins after it, whose updates nodes made and nobody counts.
    let next = at + 1;
    assert!(
        matches!(&records[next], Record::RoundOpened { round, .. } if round.0 == 2),
        "{:?}",
        records[next]
    );
    let (mut before, mut after) = (0, 0);
    let mut globals: BTreeMap<&str, Vec<Digest>> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        match record {
            Record::Verdict {
                round,
                check,
                fact,
                effect,
                ..
            } if round.0 == 2 => {
                assert_eq!(
                    (*effect, check.as_str()),
                    (Effect::Reject, "revoked"),
                    "{fact}"
                );
                assert!(fact.contains(&format!("log entry {at}")), "{fact}");
                after += 1;
            }
            Record::Verdict { check, .. } => {
                assert!(place < at && check != "revoked", "{check}");
                before += 1;
            }
            Record::Aggregated { arm, global, .. } => {
                globals.entry(arm).or_default().push(*global);
            }
            _ => {}
        }
    }
    let arms = globals.len();
    assert_eq!(
        (before, after),
        (2 * arms * NAMES.len(), arms * NAMES.len())
    );
    for (arm, globals) in &globals {
        assert_eq!(globals[1], globals[2], "{arm}");
    }
    assert_ne!(globals["clean"][0], globals["clean"][1]);

    // Each node keeps what it finished, and ends with what counted.
    let logged: Vec<Digest> = run
        .state
        .updates
        .values()
        .map(|it| it.attestation)
        .collect();
    for name in NAMES {
        let all = deeds::read(&state(&here, name).join("log"), &key(name).public()).unwrap();
        let finished: Vec<&Digest> = all
            .iter()
            .filter_map(|deed| match deed {
                Deed::Executed { attestation, .. } => Some(attestation),
                _ => None,
            })
            .collect();
        assert!(finished.len() >= ROUNDS, "{name}");
        assert!(finished.iter().all(|made| logged.contains(made)), "{name}");
        let (_, sent, _) = deeds_of(&here, name);
        assert_eq!(sent, vec![Fate::Recorded; finished.len()], "{name}");
    }
    each_has_the_last_adapters(&here, &report);
}

#[test]
fn who_delivers_nothing_costs_its_update_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 1\nleast_updates = 2");
    let two = &honest()[..2];
    let report = with_nodes(&here, two, || here.conduct(&options, &never)).unwrap();
    let checked = verify(here.run()).unwrap();
    assert!(checked.absent >= ROUNDS as u64 && checked.attested > 0);
    for round in &report
        .arms
        .iter()
        .find(|arm| arm.id == "clean")
        .unwrap()
        .rounds
    {
        for client in &round.clients {
            let verdict = client.verdict.as_ref().unwrap();
            let absent = verdict
                .fact
                .starts_with("not-delivered: no update within 1 s");
            assert_eq!(absent, client.client == "east", "{verdict:?}");
            assert_eq!(client.weight.unwrap() == 0.0, absent);
        }
    }
    // The coordinator's word is for absences alone, and a node's never is.
    let run = OpenRun::read(here.run()).unwrap();
    let envelope = |id: &Digest| Envelope::from_bytes(&run.blobs.get(id).unwrap()).unwrap();
    for update in run.state.updates.values() {
        let mut predicate: UpdatePredicate =
            fedseal_record::basis::verified(&run.plan, &envelope(&update.attestation)).unwrap();
        let coordinator = SigningKey::load(dir.path().join("keys/node.pem")).unwrap();
        let (by, other) = match predicate.node == run.plan.node {
            true => (key(update.client.as_str()), "an absence by a node"),
            false => (coordinator, "an update by the coordinator"),
        };
        predicate.node = by.public();
        let forged = attestation::sign(&predicate, &by).unwrap();
        let error = fedseal_record::basis::verified(&run.plan, &forged).unwrap_err();
        assert!(error.to_string().contains("may not state it"), "{other}");
    }
}

#[test]
fn a_round_below_its_least_number_is_repeated_and_then_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(
        dir.path(),
        "deadline = 1\nleast_updates = 3\nrepeats = 1\nbelow = \"repeat\"",
    );
    let notes = Mutex::new(Vec::new());
    let listen = |event: &Told| {
        if let Told::Note { text } = event {
            notes.lock().unwrap().push(text.clone());
        }
        false
    };
    let two = &honest()[..2];
    let report = with_nodes(&here, two, || here.conduct(&options, &listen)).unwrap();
    let said = |what: &str| {
        notes
            .lock()
            .unwrap()
            .iter()
            .filter(|it| it.contains(what))
            .count()
    };
    assert_eq!(said("repeated (1 of 1)"), ROUNDS);
    assert_eq!(said("it is skipped"), ROUNDS);
    let initial = RunDir::new(here.run()).read_plan().unwrap().initial;
    assert!(
        adapters(&report)
            .values()
            .all(|adapter| *adapter == initial)
    );
    verify(here.run()).unwrap();
}

/// A lie: its name, the change to the statement or the package, and the words of the refusal; none where nothing
/// here can see it.
type Lie = (
    &'static str,
    fn(&mut UpdatePredicate, &mut Package),
    Option<&'static str>,
);

const LIES: &[Lie] = &[
    (
        "another module",
        |p, _| p.module = Digest::of(b"other"),
        Some("module is not"),
    ),
    (
        "another author",
        |p, _| p.module_signer = p.node,
        Some("signer is not"),
    ),
    (
        "another round",
        |p, _| p.round = Round(p.round.0 + 1),
        Some("round is not"),
    ),
    ("another seed", |p, _| p.seed.0 ^= 1, Some("seed is not")),
    (
        "another base",
        |p, _| p.base = Digest::of(b"other"),
        Some("base is not"),
    ),
    (
        "another engine",
        |p, _| p.engine = "faster".into(),
        Some("engine is not"),
    ),
    (
        "another client",
        |p, _| p.client = "south".into(),
        Some("may not state it"),
    ),
    (
        "more examples",
        |p, _| p.examples += 1,
        Some("does not submit an update with so many"),
    ),
    (
        "a shard of another size",
        |p, _| p.data.iter_mut().for_each(|used| used.examples += 1),
        Some("which are not so many"),
    ),
    (
        "another transcript",
        |p, _| p.transcript.root = Digest::of(b"other"),
        Some("does not hash to the root"),
    ),
    (
        "other limits",
        |p, _| p.limits.fuel += 1,
        Some("other limits"),
    ),
    (
        "an absence",
        |p, _| {
            p.update = None;
            p.failure = Some(fedseal_client_sdk::attestation::Failure {
                reason: fedseal_record::basis::NOT_DELIVERED.into(),
                detail: "asleep".into(),
            });
        },
        Some("may not state it"),
    ),
    (
        "a blob that nothing names",
        |_, package| {
            package.put(b"something".to_vec());
        },
        Some("nothing names its blob"),
    ),
    (
        "no transcript",
        |p, package| drop(package.blobs.remove(&p.transcript.blob)),
        Some("it lacks the blob"),
    ),
];

/// The package with a lie in it, signed by the node.
fn lied(package: &[u8], by: &SigningKey, lie: &Lie) -> Vec<u8> {
    let mut package = Package::from_bytes(package).unwrap();
    let Outcome::Attested { attestation, log } = package.outcome.clone() else {
        panic!("another outcome");
    };
    let envelope = package.blobs.remove(&attestation).unwrap();
    let envelope = Envelope::from_bytes(&envelope).unwrap();
    let mut predicate = attestation::verify(&envelope, &[by.public()])
        .unwrap()
        .predicate;
    lie.1(&mut predicate, &mut package);
    let attestation = package.put(attestation::sign(&predicate, by).unwrap().to_bytes());
    package.outcome = Outcome::Attested { attestation, log };
    package.to_bytes().unwrap()
}

#[test]
fn a_lie_that_shows_is_refused_and_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    let lies = AtomicUsize::new(0);
    let lying = |gathering: &Gathering, own: &PublicKey, job: &Digest, package: &[u8]| {
        let by = key("north");
        for lie in LIES {
            let (name, _, words) = lie;
            let error = gathering
                .deliver(own, job, &lied(package, &by, lie))
                .unwrap_err();
            let words = words.unwrap();
            assert!(error.to_string().contains(words), "{name}: {error}");
            lies.fetch_add(1, Ordering::SeqCst);
        }
        // A stranger's signature, and another node's delivery.
        let stranger = lied(package, &by, &LIES[0]);
        assert!(
            gathering
                .deliver(&key("east").public(), job, &stranger)
                .is_ok_and(|fate| fate == Fate::Foreign)
        );
        let fate = gathering.deliver(own, job, package)?;
        assert_eq!(fate, Fate::Recorded);
        assert_eq!(gathering.deliver(own, job, package)?, Fate::Twice);
        // Another statement about the same job is evidence against its signer.
        let seconds: Lie = ("", |p, _| p.seconds += 1.0, None);
        let other = gathering.deliver(own, job, &lied(package, &by, &seconds))?;
        assert_eq!(other, Fate::Differs);
        let unknown = gathering.deliver(own, &Digest::of(b"none"), package)?;
        assert_eq!(unknown, Fate::Unknown);
        Ok(fate)
    };
    let nodes: Vec<(&'static str, Option<Deliver<'_>>)> =
        vec![("north", Some(&lying)), ("south", None), ("east", None)];
    let report = with_nodes(&here, &nodes, || here.conduct(&options, &never)).unwrap();
    assert!(lies.load(Ordering::SeqCst) >= ROUNDS * LIES.len());
    assert_eq!(adapters(&report), alone());
    verify(here.run()).unwrap();
}

#[test]
fn a_site_without_a_rule_for_the_module_does_not_run_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    let invite = |name: &str| here.books.invite("run", Some(name.to_owned())).unwrap();
    let invitations: Vec<Invitation> = NAMES.iter().map(|name| invite(name)).collect();
    let denying = RULES.replace("shards = [\"*\"]", "shards = [\"elsewhere\"]");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (name, invitation) in NAMES.iter().zip(&invitations) {
            let rules = if *name == "south" { &denying } else { RULES };
            let (here, stop) = (&here, &stop);
            scope.spawn(move || work(here, name, rules, invitation, None, stop).unwrap());
        }
        here.start();
        let report = here.conduct(&options, &never).unwrap();
        here.set(Phase::Finished);
        let rounds = &report
            .arms
            .iter()
            .find(|arm| arm.id == "clean")
            .unwrap()
            .rounds;
        for client in rounds.iter().flat_map(|round| &round.clients) {
            let verdict = client.verdict.as_ref().unwrap();
            let denied = verdict.fact.contains("no rule of the site allows it");
            assert_eq!(denied, client.client == "south", "{verdict:?}");
        }
    });
    verify(here.run()).unwrap();
    // A rule that names a signer whom the data holder does not know is refused before anybody is asked.
    let unknown = RULES.replace("alice\"]", "bob\"]");
    let error = work(&here, "south", &unknown, &invitations[1], None, &stop).unwrap_err();
    assert!(
        error.to_string().contains("names signer \"bob\""),
        "{error}"
    );
}

#[test]
fn two_histories_stop_every_node_with_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let here = Here::new(dir.path(), "deadline = 60");
    let invitations: Vec<Invitation> = NAMES
        .iter()
        .map(|name| here.books.invite("run", Some((*name).to_owned())).unwrap())
        .collect();
    let stop = AtomicBool::new(false);
    let stopped: Vec<Result<()>> = std::thread::scope(|scope| {
        let nodes: Vec<_> = NAMES
            .iter()
            .zip(&invitations)
            .map(|(name, invitation)| {
                let (here, stop) = (&here, &stop);
                scope.spawn(move || work(here, name, RULES, invitation, None, stop))
            })
            .collect();
        here.start();
        let first = |event: &Told| matches!(event, Told::Round { .. });
        assert!(matches!(
            here.conduct(&options, &first),
            Err(Error::Interrupted)
        ));
        // Each node has seen the log as it is.
        let begun = Instant::now();
        let cosigned = || {
            let status = here.books.status("run", None).unwrap();
            let nodes = status.nodes.into_iter();
            nodes.filter(|node| node.cosigned.is_some()).count()
        };
        while cosigned() < NAMES.len() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(200));
        // The coordinator signs another history of as many entries.
        let plan = RunDir::new(here.run()).read_plan().unwrap();
        let coordinator = SigningKey::load(dir.path().join("keys/node.pem")).unwrap();
        let entries = LogReader::open(here.run().join("log"), &plan.node).unwrap();
        let entries = entries.entries().unwrap();
        let other = dir.path().join("other");
        let mut log = Log::create(&other, &plan.origin, coordinator).unwrap();
        let (last, before) = entries.split_last().unwrap();
        for entry in before {
            log.append(entry).unwrap();
        }
        let changed = Record::KeyRevoked {
            key: plan.node,
            reason: "another history".into(),
        };
        assert_ne!(*last, changed.to_bytes().unwrap());
        log.append(&changed.to_bytes().unwrap()).unwrap();
        log.publish().unwrap();
        *here.log.lock().unwrap() = other;
        nodes.into_iter().map(|node| node.join().unwrap()).collect()
    });
    let plan = RunDir::new(here.run()).read_plan().unwrap();
    for (name, done) in NAMES.iter().zip(stopped) {
        let error = done.unwrap_err().to_string();
        assert!(error.contains("two histories"), "{name}: {error}");
        let folder = state(&here, name).join("evidence");
        let file = fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let fork = Fork::from_bytes(&fs::read(file).unwrap()).unwrap();
        let forked = fork.verify(&plan.node).unwrap();
        assert_eq!(forked.origin, plan.origin);
        let deeds = deeds::read(&state(&here, name).join("log"), &key(name).public()).unwrap();
        assert!(matches!(deeds.last(), Some(Deed::Forked { .. })), "{name}");
    }
}

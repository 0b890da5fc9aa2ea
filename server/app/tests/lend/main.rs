//! `fedseal run --lend` and `fedseal work` as processes: a worker that is killed costs time and nothing else,
//! the bits are those of one process, and a stranger gets nothing. Federations of nodes are beside it.

mod backup;
mod deploy;
mod engines;
#[cfg(target_os = "linux")]
mod faults;
mod federation;
#[cfg(target_os = "linux")]
mod idle;
#[path = "../program/mod.rs"]
mod program;
#[cfg(target_os = "linux")]
mod raw;
mod records;
#[cfg(target_os = "linux")]
mod system;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engines::Nats;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_record::opened::OpenRun;
use program::small::{SMALL, home};
use program::{command, ok, refused};
use serde_json::Value;

/// Longest wait for anything that a process does.
const LONG: Duration = Duration::from_secs(400);

/// A process that is killed when dropped, with the lines that it says on standard error and on standard output.
struct Started {
    child: Child,
    lines: Receiver<String>,
    told: Receiver<String>,
}

/// Lines of a pipe, read as they come, so that the process never waits for its reader.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // The pipe is read to its end though nobody listens any more.
            let _ = send.send(line);
        }
    });
    lines
}

/// Waits for a line with these words; everything that came until then is in the failure.
fn wait(lines: &Receiver<String>, words: &str) -> String {
    let (begun, mut said) = (Instant::now(), Vec::new());
    while let Ok(line) = lines.recv_timeout(LONG.saturating_sub(begun.elapsed())) {
        if line.contains(words) {
            return line;
        }
        said.push(line);
    }
    panic!("nobody said {words:?}: {said:#?}");
}

impl Started {
    fn new(home: &Path, words: &[&str]) -> Self {
        let mut child = command(home, words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = lines(child.stdout.take().unwrap());
        let lines = lines(child.stderr.take().unwrap());
        Started { child, lines, told }
    }

    /// Waits for a line on standard error.
    fn says(&mut self, words: &str) -> String {
        wait(&self.lines, words)
    }

    /// Waits for a line on standard output.
    fn tells(&mut self, words: &str) -> String {
        wait(&self.told, words)
    }

    /// Kills it (SIGKILL) where it is at work, and says whether it was. One that had ended by itself had no failure.
    fn kill(mut self) -> bool {
        match self.child.try_wait().unwrap() {
            None => true,
            Some(status) => {
                assert!(status.success(), "{status}: {:#?}", self.said());
                false
            }
        }
    }

    /// Waits until it has ended without a failure.
    fn ends(&mut self) {
        let begun = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => {
                    return assert!(status.success(), "{status}: {:#?}", self.said());
                }
                None => assert!(begun.elapsed() < LONG, "no end: {:#?}", self.said()),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lines on standard error that nobody looked at.
    fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn public(home: &Path, name: &str) -> String {
    let key = SigningKey::load_or_create(home.join(name)).unwrap();
    key.public().to_string()
}

/// Time between two kills of a measurement.
const BETWEEN: Duration = Duration::from_millis(500);

/// Kills beyond those of a test, for a measurement: cargo xtask bench federation.
fn kills() -> usize {
    let more = std::env::var("FEDSEAL_KILLS").ok();
    more.map_or(0, |text| text.parse().unwrap())
}

/// Attestations of the updates in a run's log, of which there is one of each client in each round.
fn once_each(run: &Path, clients: usize, rounds: usize) -> BTreeSet<Digest> {
    let entries = OpenRun::read(run).unwrap().log.entries().unwrap();
    let (mut places, mut attestations, mut updates) = (BTreeSet::new(), BTreeSet::new(), 0);
    for entry in &entries {
        if let Record::Update {
            client,
            round,
            attestation,
            ..
        } = Record::from_bytes(entry).unwrap()
        {
            places.insert((client.to_string(), round.0));
            attestations.insert(attestation);
            updates += 1;
        }
    }
    let all = clients * rounds;
    assert_eq!(
        (updates, places.len(), attestations.len()),
        (all, all, all),
        "updates, their places, their attestations"
    );
    attestations
}

/// The log of a run is whole, and the run verifies; what `verify` said.
fn holds(home: &Path, run: &str) -> String {
    let said = ok(home, &["log", "fsck", run]);
    assert!(said.contains("is whole"), "{said}");
    ok(home, &["verify", run])
}

fn adapters(run: &Path) -> Vec<Value> {
    let report: Value =
        serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    let arms = report["arms"].as_array().unwrap();
    let last = arms.iter().map(|arm| arm["final_adapter"].clone());
    last.collect()
}

#[test]
fn workers_do_a_run_and_one_is_killed() {
    let home = home();
    let home = home.path();
    let run = [
        "run",
        "small.toml",
        "--modules",
        "modules",
        "--no-figures",
        "-q",
        "--out",
    ];
    ok(home, &[&run[..], &["alone"]].concat());

    let (one, two) = (public(home, "one.pem"), public(home, "two.pem"));
    let lend = [
        "lent",
        "--lend",
        "127.0.0.1:0",
        "--worker",
        &one,
        "--worker",
        &two,
        "--workers-only",
        "--lease",
        "2",
    ];
    let mut lending = Started::new(home, &[&run[..], &lend].concat());
    let said = lending.says("jobs are lent at ");
    let url = said.rsplit(' ').next().unwrap().to_owned();
    let worker = |key: &'static str, state: &'static str| {
        let words = ["work", &url, "--key", key, "--state", state, "--jobs", "1"];
        Started::new(home, &words)
    };

    public(home, "stranger.pem");
    let mut stranger = worker("stranger.pem", "none");
    let said = stranger.says("cannot take a task");
    assert!(said.contains("is not known here"), "{said}");
    drop(stranger);

    // Killed while it has a task, as far as one can tell; its next one comes back.
    let mut first = worker("one.pem", "first");
    first.says(": done");
    drop(first);
    let mut second = worker("two.pem", "second");
    second.says(": done");
    lending.ends();
    drop(second);

    assert_eq!(adapters(&home.join("lent")), adapters(&home.join("alone")));
    ok(home, &["verify", "lent"]);
}

#[test]
fn shards_are_not_lent_in_the_open_unless_asked_for() {
    let home = home();
    let home = home.path();
    let key = public(home, "one.pem");
    let words = ["run", "small.toml", "--lend", "0.0.0.0:0", "--worker", &key];
    let said = refused(home, &words);
    assert!(said.contains("could read the shards"), "{said}");
    let said = refused(home, &["work", "http://10.0.0.7:8661"]);
    assert!(said.contains("could read the shards"), "{said}");
    let said = refused(home, &["run", "small.toml", "--lend", "127.0.0.1:0"]);
    assert!(said.contains("--worker"), "{said}");
}

/// Jobs go through a queue to workers that the run never speaks to; one of them is killed. In a measurement
/// workers, the queue's server and the run itself are killed in turn.
#[test]
fn workers_of_a_queue_do_a_run_and_one_is_killed() {
    let home = home();
    let home = home.path();
    let Some(mut server) = Nats::start(&home.join("jetstream")) else {
        return;
    };
    let url = server.url();
    let more = kills();
    let rounds = 1 + 2 * more;
    let experiment = SMALL.replace("rounds = 1", &format!("rounds = {rounds}"));
    fs::write(home.join("queued.toml"), experiment).unwrap();
    let run = [
        "run",
        "queued.toml",
        "--modules",
        "modules",
        "--no-figures",
        "-q",
        "--out",
    ];
    ok(home, &[&run[..], &["alone"]].concat());
    let engines = ["--queue", &url, "--blobs", "store", "--lease", "3"];
    let queued = [&run[..], &["queued", "--workers-only"], &engines].concat();
    let mut running = Started::new(home, &queued);
    running.says("jobs are queued at nats://127.0.0.1");
    let worker = |state: &'static str| {
        let words = [&["worker", "--state", state, "--jobs", "1"], &engines[..]].concat();
        let mut worker = Started::new(home, &words);
        // It reached the queue: one that cannot at its start ends, and whoever runs it starts it again.
        worker.tells("worker at ");
        worker
    };
    let mut first = worker("first");
    first.says(": done");
    let mut workers = usize::from(first.kill());
    assert_eq!(workers, 1);
    let mut second = worker("second");
    second.says(": done");
    let (mut servers, mut runs) = (0, 0);
    if more > 0 {
        first = worker("first");
        let resumed = [&queued[..], &["--resume"]].concat();
        for victim in 0..more {
            std::thread::sleep(BETWEEN);
            if running.child.try_wait().unwrap().is_some() {
                break;
            }
            match victim % 4 {
                0 => {
                    workers += usize::from(first.kill());
                    first = worker("first");
                }
                1 => {
                    workers += usize::from(second.kill());
                    second = worker("second");
                }
                2 => {
                    server.kill();
                    servers += 1;
                }
                _ => {
                    runs += usize::from(running.kill());
                    running = Started::new(home, &resumed);
                    running.says("jobs are queued at");
                }
            }
        }
    }
    running.ends();
    drop(second);
    assert_eq!(
        adapters(&home.join("queued")),
        adapters(&home.join("alone"))
    );
    once_each(&home.join("queued"), 2, rounds);
    holds(home, "queued");
    // Every assertion about the kills held until here.
    let total = workers + servers + runs;
    println!(
        "queue: bits 1, survived {total}, kills {total}, workers {workers}, server {servers}, run {runs}"
    );

    let said = refused(
        home,
        &[
            "run",
            "small.toml",
            "--queue",
            "http://x",
            "--blobs",
            "store",
        ],
    );
    assert!(said.contains("no address of a queue"), "{said}");
    let said = refused(home, &["run", "small.toml", "--workers-only"]);
    assert!(said.contains("nobody else does the jobs"), "{said}");
}

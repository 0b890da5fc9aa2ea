//! Every step of writing fails once, and the process dies once at every step; then everything that
//! was acknowledged is there, and nothing is half there. Cases are counted for
//! `cargo xtask oracle provenance`.
//!
//! A child is this program again, with [`child`] as its only test and its orders in variables.

#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/scenes.rs"]
mod scenes;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use disk::{Action, Faulty};
use scenes::{Ledger, Scene};

/// Rounds of killing a writer at a random moment.
const KILLS: u32 = 100;

/// Orders of a child: folder, scene, step at which it dies.
const ORDERS: &str = "FEDSEAL_FAULT_ORDERS";

fn spawn(folder: &Path, scene: &str, step: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(ORDERS, format!("{scene}|{step}|{}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lines that a child acknowledged until its end.
fn acknowledged(child: &mut Child) -> Vec<String> {
    let output = BufReader::new(child.stdout.take().unwrap());
    // A line that was cut off by the end was acknowledged to nobody.
    output
        .split(b'\n')
        .map_while(Result::ok)
        .filter_map(|line| String::from_utf8(line).ok())
        .filter_map(|line| Some(line.split_once("acknowledged ")?.1.to_owned()))
        .filter_map(|line| line.strip_suffix('.').map(str::to_owned))
        .collect()
}

#[test]
#[ignore = "a child of the other tests"]
fn child() {
    let Ok(orders) = std::env::var(ORDERS) else {
        return;
    };
    let mut words = orders.splitn(3, '|');
    let (scene, step, folder) = (
        words.next().unwrap(),
        words.next().unwrap(),
        words.next().unwrap(),
    );
    let folder = Path::new(folder);
    let acknowledge = |what: &str| println!("acknowledged {what}.");
    if scene == "endless" {
        scenes::endless(folder, acknowledge);
    }
    let disk = Arc::new(Faulty::new(Some(step.parse().unwrap()), Action::Abort));
    let scene = Scene::named(scene);
    scene
        .play(folder, &disk, &mut |what| acknowledge(what))
        .unwrap();
}

/// A folder in memory where the system has one: the tests are about what the process does, and
/// syncing thousands of files to a disk takes minutes.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Counts cases, and keeps what went wrong.
#[derive(Default)]
struct Tally {
    total: u32,
    bad: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: String, result: Result<(), String>) {
        self.total += 1;
        if let Err(problem) = result {
            self.bad.push(format!("{case}: {problem}"));
        }
    }
}

#[test]
fn every_step_fails_once_and_dies_once_and_a_writer_is_killed() {
    let mut tally = Tally::default();
    for scene in Scene::ALL {
        let steps = {
            let folder = scratch();
            scene.prepare(folder.path());
            let disk = Arc::new(Faulty::new(None, Action::Fail));
            scene.play(folder.path(), &disk, &mut |_| ()).unwrap();
            disk.steps()
        };
        assert!(steps.len() > 10, "{scene:?} has {} steps", steps.len());
        for (n, step) in steps.iter().enumerate() {
            fails(&mut tally, *scene, n, step);
            dies(&mut tally, *scene, n, step);
        }
    }
    kills(&mut tally);
    let survived = tally.total - u32::try_from(tally.bad.len()).unwrap();
    eprintln!("{survived} of {} faults survived", tally.total);
    count(&[("total", tally.total), ("survived", survived)]);
    assert!(tally.bad.is_empty(), "{}", tally.bad.join("\n"));
    assert!(tally.total > 300, "only {}", tally.total);
}

/// One step fails; the caller tries again with the same objects and ends well.
fn fails(tally: &mut Tally, scene: Scene, n: usize, step: &str) {
    let folder = scratch();
    scene.prepare(folder.path());
    let disk = Arc::new(Faulty::new(Some(n), Action::Fail));
    let mut seen = Vec::new();
    let played = scene.play(folder.path(), &disk, &mut |what| seen.push(what.to_owned()));
    let result = played
        .and_then(|()| disk.order())
        .and_then(|()| Ledger::check(folder.path(), &seen));
    tally.add(format!("{scene:?}: {step} (step {n}) fails"), result);
}

/// The process dies at a step; another one goes on.
fn dies(tally: &mut Tally, scene: Scene, n: usize, step: &str) {
    let folder = scratch();
    scene.prepare(folder.path());
    let mut child = spawn(folder.path(), scene.name(), &n.to_string());
    let seen = acknowledged(&mut child);
    let ended = child.wait().unwrap();
    let result = if ended.success() {
        Err("the child did not die".to_owned())
    } else {
        Ledger::check(folder.path(), &seen)
    };
    let again = result.and_then(|()| {
        let disk = Arc::new(Faulty::new(None, Action::Fail));
        let mut seen = Vec::new();
        scene.play(folder.path(), &disk, &mut |what| seen.push(what.to_owned()))?;
        Ledger::check(folder.path(), &seen)
    });
    tally.add(format!("{scene:?}: dies at {step} (step {n})"), again);
}

/// A writer that never ends is killed again and again; the log goes on where it was.
fn kills(tally: &mut Tally) {
    let folder = scratch();
    Scene::Append.prepare(folder.path());
    let mut size = 0;
    for round in 0..KILLS {
        let mut child = spawn(folder.path(), "endless", "0");
        // No two rounds alike, and the same ones every time.
        let after = Duration::from_micros(3_000 + u64::from(round) * 7_919 % 40_000);
        let id = child.id();
        let output = std::thread::spawn(move || {
            let seen = acknowledged(&mut child);
            (child, seen)
        });
        std::thread::sleep(after);
        let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
        let (mut child, seen) = output.join().unwrap();
        let ended = child.wait().unwrap();
        let result = if ended.success() || !killed.is_ok_and(|status| status.success()) {
            Err("the child was not killed".to_owned())
        } else {
            Ledger::check(folder.path(), &seen)
        };
        let result = result.and_then(|()| {
            let now = Ledger::size(folder.path())?;
            let before = std::mem::replace(&mut size, now);
            if now < before {
                return Err(format!("{now} entries, there were {before}"));
            }
            Ok(())
        });
        tally.add(format!("kill -9, round {round}"), result);
    }
    assert!(size > 0, "no round lived long enough to write anything");
}

/// The table can fail: it sees what was acknowledged and is not there.
#[test]
fn what_is_missing_is_seen() {
    let folder = scratch();
    Scene::Append.prepare(folder.path());
    let disk = Arc::new(Faulty::new(None, Action::Fail));
    let mut seen = Vec::new();
    Scene::Append
        .play(folder.path(), &disk, &mut |what| seen.push(what.to_owned()))
        .unwrap();
    Ledger::check(folder.path(), &seen).unwrap();
    let last = Ledger::size(folder.path()).unwrap();
    seen.push(format!("log {}", last + 1));
    assert!(Ledger::check(folder.path(), &seen).is_err());
    let absent = fedseal_client_sdk::digest::Digest::of(b"absent");
    assert!(Ledger::check(folder.path(), &[format!("blob {absent}")]).is_err());
}

/// Writes counts for the command that gathers them.
fn count(counts: &[(&str, u32)]) {
    let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") else {
        return;
    };
    let counts: serde_json::Map<String, serde_json::Value> = counts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    let path = Path::new(&folder).join("faults.json");
    std::fs::write(path, serde_json::Value::Object(counts).to_string()).unwrap();
}

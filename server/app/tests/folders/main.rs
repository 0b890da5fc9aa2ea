//! Folders of runs that somebody hands over: whole, moved, damaged, foreign, half-finished, full of
//! pipes and holes. `fedseal verify` gives the expected result for each, names the item, waits for
//! nobody, and leaves the folder as it was. The table in docs/PROVENANCE.md is written from here.
#![cfg(target_os = "linux")]

mod cases;
#[path = "../../../federation/tests/runs/double/mod.rs"]
mod double;
mod named;
#[path = "../program/mod.rs"]
#[allow(dead_code)]
mod program;
mod untouched;
mod world;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cases::Case;
use world::{World, copy, tree};

/// Time that a command may take; a folder that hangs it never ends.
const LIMIT: Duration = Duration::from_secs(60);

/// Largest memory that the command may use over all folders, MiB.
const MOST_MB: u64 = 512;

/// Outcome of a command.
struct Ended {
    /// The exit code; none when it was stopped at the limit.
    code: Option<i32>,
    /// Its output, standard output first.
    said: String,
    /// Its largest resident memory, as the system counted it last, KiB.
    peak_kib: u64,
}

fn run(home: &Path, words: &[String]) -> Ended {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = program::command(home, &words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let begun = Instant::now();
    let mut peak_kib = 0;
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    Ended {
        code,
        said,
        peak_kib,
    }
}

/// Problems in the result of a case, and its peak memory, KiB.
fn held(world: &World, case: &Case) -> (Vec<String>, u64) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("tiny");
    copy(&world.folder(case.from), &folder);
    let words = (case.make)(world, &folder);
    let before = tree(place.path());
    let ended = run(world.folder(case.from).parent().unwrap(), &words);
    let after = tree(place.path());
    world::writable(place.path(), true);
    let mut wrong = Vec::new();
    if ended.code != Some(case.code) {
        wrong.push(format!("exit code {:?}, not {}", ended.code, case.code));
    }
    if !ended.said.contains(case.named) {
        wrong.push(format!("{:?} is not named", case.named));
    }
    if after != before {
        wrong.push("the folder was changed".into());
    }
    if !wrong.is_empty() {
        wrong.push(ended.said);
    }
    (wrong, ended.peak_kib)
}

#[test]
fn every_folder_is_told_for_what_it_is_and_left_alone() {
    let world = World::shared();
    let cases = cases::all();
    let (mut right, mut peak_kib, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        let (problems, peak) = held(&world, case);
        peak_kib = peak_kib.max(peak);
        match problems.is_empty() {
            true => right += 1,
            false => wrong.push(format!("{}: {}", case.done, problems.join("; "))),
        }
    }
    let (total, peak_mb) = (cases.len(), peak_kib / 1024);
    if let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") {
        let counts = serde_json::json!({ "total": total, "right": right, "peak_mb": peak_mb });
        fs::write(Path::new(&folder).join("folders.json"), counts.to_string()).unwrap();
    }
    eprintln!("folders: peak_mb={peak_mb}\nfolders: total={total} right={right}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total >= 40, "only {total}");
    assert!(0 < peak_mb && peak_mb < MOST_MB, "{peak_mb} MiB");
}

const BEGIN: &str = "<!-- folders -->\n";
const END: &str = "<!-- /folders -->";

#[test]
fn the_document_shows_every_folder() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROVENANCE.md");
    let text = fs::read_to_string(&path).unwrap();
    let mut table =
        String::from("| a copy of a run | exit code | is named |\n| --- | --- | --- |\n");
    for case in cases::all() {
        table.push_str(&format!(
            "| {} | {} | `{}` |\n",
            case.done,
            case.code,
            case.named.trim()
        ));
    }
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("FEDSEAL_UPDATE_TABLE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == made,
        "the table of folders in docs/PROVENANCE.md is not the one of this test; make it again: \
         FEDSEAL_UPDATE_TABLE=1 cargo test -p fedseal --test folders the_document"
    );
}

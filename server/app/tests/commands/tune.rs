//! `fedseal tune` and its folder: nobody's files are written over, and nothing of a training is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
#[cfg(target_os = "linux")]
use std::process::{Command, Output};

use crate::program::{command, ok, refused};
use serde_json::{Value, json};

/// A folder with a data file, and one beside it for an adapter.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rows = (0..12).map(|i| {
            let (question, answer) = (
                format!("Say a word about colour {i}."),
                format!("Blue {i}."),
            );
            format!("{}\n", json!({ "instruction": question, "output": answer }))
        });
        fs::write(dir.path().join("pairs.jsonl"), rows.collect::<String>()).unwrap();
        Self { dir }
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// Names in a folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(folder)).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The program, which may write files of so many blocks of 512 bytes: a limit stands for a full disk.
    #[cfg(target_os = "linux")]
    fn limited(&self, blocks: u32, words: &[&str]) -> Output {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let program = command(self.home(), &[]);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &script, "sh"])
            .arg(program.get_program());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        limited
            .args(words)
            .current_dir(self.home())
            .output()
            .unwrap()
    }
}

/// A short training.
const SHORT: [&str; 11] = [
    "tune",
    "pairs.jsonl",
    "--steps",
    "40",
    "--batch-size",
    "4",
    "--rank",
    "4",
    "--json",
    "--out",
    "adapter",
];

fn words<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SHORT[..], more].concat()
}

/// The last event.
fn last(printed: &str) -> Value {
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

#[cfg(target_os = "linux")]
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Begins a training with checkpoints and kills it at its first.
fn killed(place: &Place) {
    let mut child = command(place.home(), &words(&["--checkpoint-every", "1"]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = place.at("adapter/checkpoint.bin");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let finished = place.at("adapter/tune.json").exists();
    assert!(!finished, "it was finished before it could be killed");
}

#[test]
fn somebody_s_files_are_not_written_over() {
    let place = Place::new();
    // Folders that were made for nothing go again.
    let missing = ["tune", "none.jsonl", "--out", "deep/adapter"];
    refused(place.home(), &missing);
    assert!(!place.at("deep").exists());
    for files in [
        &["thesis.txt"][..],
        &["adapter_config.json", "adapter_model.safetensors"],
    ] {
        let out = place.at("adapter");
        fs::create_dir(&out).unwrap();
        for file in files {
            fs::write(out.join(file), "theirs").unwrap();
        }
        for more in [&[][..], &["--resume"]] {
            let said = refused(place.home(), &words(more));
            assert!(files.iter().any(|file| said.contains(file)), "{said}");
        }
        assert_eq!(place.names("adapter"), files);
        for file in files {
            assert_eq!(fs::read(out.join(file)).unwrap(), b"theirs", "{file}");
        }
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn two_trainings_do_not_share_a_folder() {
    let place = Place::new();
    fs::create_dir(place.at("adapter")).unwrap();
    let held = fs::File::open(place.at("adapter")).unwrap();
    held.try_lock().unwrap();
    let said = refused(place.home(), &words(&[]));
    assert!(
        said.contains("another training is writing into it"),
        "{said}"
    );
    assert!(place.names("adapter").is_empty());
    drop(held);
    ok(place.home(), &words(&[]));
}

#[test]
fn a_killed_training_goes_on_to_the_same_digest() {
    let (whole, parts) = (Place::new(), Place::new());
    let expected = last(&ok(whole.home(), &words(&[])));
    killed(&parts);
    let said = refused(parts.home(), &words(&[]));
    assert!(said.contains("--resume"), "{said}");
    let resumed = last(&ok(parts.home(), &words(&["--resume"])));
    assert_eq!(resumed["adapter"], expected["adapter"]);
}

#[test]
fn a_training_goes_on_with_what_it_was_begun_with() {
    let place = Place::new();
    killed(&place);
    let before = fs::read(place.at("adapter/checkpoint.bin")).unwrap();
    for (option, named) in [
        ("--template-date=2025-01-31", "template_date"),
        ("--template-arg=enable_thinking=false", "template_args"),
        ("--template=alpaca", "template (\"model\", now \"alpaca\")"),
        ("--learning-rate=0.5", "learning_rate"),
        ("--seed=7", "seed"),
        ("--numerics=fast", "engine"),
        ("--limit=3", "other examples"),
    ] {
        let said = refused(place.home(), &words(&["--resume", option]));
        assert!(said.contains(named), "{option}: {said}");
    }
    assert_eq!(
        fs::read(place.at("adapter/checkpoint.bin")).unwrap(),
        before
    );
    ok(place.home(), &words(&["--resume"]));
    let record = fs::read(place.at("adapter/tune.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let template = json!({ "name": "model", "args": {}, "date": "2024-07-26" });
    assert_eq!(record["template"], template);
}

/// The adapter itself does not fit, nor does a checkpoint.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_adapter() {
    let place = Place::new();
    let output = place.limited(8, &words(&[]));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let parts = ["adapter_model.safetensors", "run it again"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert!(!place.at("adapter").exists(), "an empty folder goes, too");

    // What was there to go on from is still there, and is said.
    let expected = last(&ok(place.home(), &words(&[])));
    fs::remove_dir_all(place.at("adapter")).unwrap();
    killed(&place);
    let output = place.limited(8, &words(&["--resume", "--checkpoint-every", "1000"]));
    let text = said(&output);
    assert!(text.contains("--resume goes on from the last"), "{text}");
    assert_eq!(place.names("adapter"), ["checkpoint.bin"]);
    let resumed = last(&ok(place.home(), &words(&["--resume"])));
    assert_eq!(resumed["adapter"], expected["adapter"]);
}

/// The adapter fits, the model beside it does not: the last step is kept as a checkpoint.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_the_end_loses_no_step() {
    let place = Place::new();
    let expected = last(&ok(place.home(), &words(&[])));
    fs::remove_dir_all(place.at("adapter")).unwrap();
    let output = place.limited(2000, &words(&[]));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let parts = ["model.safetensors", "--resume goes on from the last"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(place.names("adapter"), ["checkpoint.bin"]);
    let resumed = last(&ok(place.home(), &words(&["--resume"])));
    assert_eq!(resumed["steps"], 0, "no step is taken again");
    assert_eq!(resumed["adapter"], expected["adapter"]);
}

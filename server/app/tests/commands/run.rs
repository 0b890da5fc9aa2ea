//! `fedseal run` from beginning to end, and what it says when it cannot do what it is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::program::small::{SMALL, home};
use crate::program::{command, ok, refused};
use fedseal_client_sdk::keys::TrustStore;
use serde_json::Value;

fn fedseal(home: &Path, words: &str) -> Output {
    let words: Vec<&str> = words.split(' ').collect();
    command(home, &words).output().unwrap()
}

/// The exit code and what standard error says.
fn said(out: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code().unwrap(), text)
}

#[test]
fn a_run_whose_reader_goes_away_ends_as_it_should() {
    let dir = home();
    let home = dir.path();
    let words = "run small.toml --modules modules --out runs/one --no-figures";
    let words: Vec<&str> = words.split(' ').collect();
    let mut child = command(home, &words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As `2>&1 | head -0` does: nobody reads either of them.
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let report = fs::read(home.join("runs/one/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["state"], "finished");
    ok(home, &["verify", "runs/one"]);

    // It goes on with its own experiment and with no other.
    let other = SMALL.replace("rounds = 1", "rounds = 3");
    fs::write(home.join("other.toml"), other).unwrap();
    let (code, text) = said(&fedseal(home, "run other.toml --out runs/one --resume"));
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("`federation.rounds` is 1 in the run and 3 now"),
        "{text}"
    );
    let again = "run small.toml --modules modules --out runs/one --resume --no-figures";
    let again = fedseal(home, again);
    assert!(again.status.success(), "{}", said(&again).1);
    let table = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(table.contains("failed"), "{table}");

    // What it says for people and for programs.
    let shown = ok(home, &["show", "runs/one", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["logged"], &shown["state"]),
        (&Value::Bool(true), &"finished".into())
    );
    let sentence = shown["conclusion"]["sentences"][0].as_str().unwrap();
    assert!(ok(home, &["show", "runs/one"]).contains(sentence));
    let listed = ok(home, &["runs", "runs"]);
    assert!(
        listed.contains("one") && listed.contains(sentence),
        "{listed}"
    );

    // A copy is no second seed, and a changed report is nobody's.
    let copied = Command::new("cp")
        .args(["-a", "runs/one", "runs/two"])
        .current_dir(home)
        .status();
    assert!(copied.unwrap().success());
    let (code, text) = said(&fedseal(home, "table runs"));
    assert!(code == 2 && text.contains("both are of seed 1"), "{text}");
    let path = home.join("runs/two/report.json");
    let changed = fs::read_to_string(&path)
        .unwrap()
        .replace("\"examples_per_client\":8", "\"examples_per_client\":9");
    fs::write(&path, changed).unwrap();
    assert!(refused(home, &["verify", "runs/two"]).contains("report.json"));
    let (code, text) = said(&fedseal(home, "table runs"));
    assert!(
        code == 1 && text.contains("is not the logged report"),
        "{text}"
    );

    // Two experiments are no table.
    fs::remove_dir_all(home.join("runs/two")).unwrap();
    let other = SMALL.replace("examples_per_client = 8", "examples_per_client = 9");
    fs::write(home.join("other.toml"), other).unwrap();
    let words = "run other.toml --modules modules --out runs/two --no-figures";
    let other = fedseal(home, words);
    assert!(other.status.success(), "{}", said(&other).1);
    let compared = ok(home, &["compare", "runs/one", "runs/two"]);
    assert!(
        compared.contains("`federation.examples_per_client` is 8"),
        "{compared}"
    );
    let (code, text) = said(&fedseal(home, "table runs"));
    assert!(
        code == 2 && text.contains("`federation.examples_per_client` is 8"),
        "{text}"
    );
}

#[test]
fn a_run_without_one_counted_update_fails_and_says_why() {
    let dir = home();
    let home = dir.path();
    let text = SMALL.replace("learning_rate = 1e-3", "learning_rate = 1e30");
    fs::write(home.join("diverging-run.toml"), text).unwrap();
    let out = fedseal(home, "run diverging-run.toml --modules modules --out run");
    let (code, text) = said(&out);
    assert_eq!(code, 1, "{text}");
    for part in [
        "no update counted in any round of seed 1: 2 failed, 0 were refused",
        "execution: engine: not finite",
        "changed nothing (0 updates counted)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let table = String::from_utf8_lossy(&out.stdout).into_owned();
    for part in ["2 of 2", "clean, seed 1: no round changed anything"] {
        assert!(table.contains(part), "{table}");
    }
    // Nothing that it ended with is kept as a figure, and the run itself holds.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    assert!(!target.join("figures/diverging-run.json").exists());
    ok(home, &["verify", "run"]);
}

#[test]
fn what_cannot_be_a_run_is_refused_before_the_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    fs::write(home.join("my small.toml"), SMALL).unwrap();
    fs::write(home.join("twice.toml"), SMALL.replace("[1]", "[1, 1]")).unwrap();
    let run = |words: &[&str]| said(&command(home, words).output().unwrap());
    for (words, part) in [
        // No module is there, which would be said in the set-up.
        (&["run", "my small.toml"][..], "letters a to z"),
        (&["run", "my small.toml", "--out", ".x"], "letters a to z"),
        (
            &["run", "my small.toml", "--out", "x", "--resume"],
            "no run to resume here",
        ),
        (&["run", "twice.toml"], "found 1 twice"),
    ] {
        let (code, text) = run(words);
        assert!(code == 2 && text.contains(part), "{words:?}: {code} {text}");
    }
    let left = fs::read_dir(home.join("data/fedseal/runs")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a folder was left");
    // The set-up that fails leaves no folder that the next run would have to pass.
    let (code, text) = run(&["run", "my small.toml", "--out", "x"]);
    assert!(code != 0 && code != 101, "{text}");
    fs::rename(home.join("my small.toml"), home.join("small.toml")).unwrap();
    let (code, text) = run(&["run", "small.toml"]);
    let folder = home.join("data/fedseal/runs/small");
    assert!(code != 0 && !folder.exists(), "{text}");
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn outside_a_checkout_only_the_users_own_folders_are_written() {
    let dir = home();
    let home = dir.path();
    // Installed: modules by somebody whose key this user has never seen, and that key.
    let share = home.join("prefix/share/fedseal");
    fs::create_dir_all(&share).unwrap();
    fs::rename(home.join("modules"), share.join("policies")).unwrap();
    fs::rename(home.join("keys/trusted.toml"), share.join("trusted.toml")).unwrap();
    let work = home.join("work");
    fs::create_dir_all(&work).unwrap();
    fs::rename(home.join("small.toml"), work.join("small.toml")).unwrap();
    let fedseal = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fedseal"));
        command
            .args(words.split(' '))
            .current_dir(&work)
            .env_remove("FEDSEAL_HOME")
            .env("FEDSEAL_SHARE", &share)
            .env("HOME", home.join("user"));
        for name in ["CONFIG", "DATA", "CACHE", "STATE"] {
            command.env_remove(format!("XDG_{name}_HOME"));
        }
        command.output().unwrap()
    };
    let run = fedseal("run small.toml");
    assert!(run.status.success(), "{}", said(&run).1);
    assert_eq!(names(&work), ["small.toml"]);
    assert_eq!(names(&share), ["policies", "trusted.toml"]);
    let user = home.join("user");
    assert_eq!(names(&user), [".cache", ".config", ".local"]);
    let made = user.join(".local/share/fedseal/runs/small");
    assert!(made.join("report.json").is_file());
    assert!(said(&run).1.contains(&made.display().to_string()));
    assert_eq!(names(&user.join(".cache/fedseal")), ["compiled"]);
    // The key of what was installed is not written among this user's, who may revoke it.
    assert_eq!(names(&user.join(".config/fedseal")), ["node.pem"]);
    let key = TrustStore::load(share.join("trusted.toml")).unwrap().keys[0].key;
    let revoked = fedseal(&format!("key revoke --public {key} --reason lost"));
    assert!(revoked.status.success(), "{}", said(&revoked).1);
    let (code, text) = said(&fedseal("run small.toml --out other"));
    assert!(code == 1 && text.contains("revoked"), "{code} {text}");
}

#[test]
fn a_shipped_experiment_is_run_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let (code, text) = said(&fedseal(home, "run demoo"));
    for part in ["unknown experiment", "demoo", "demo", "smollm2"] {
        assert!(code == 2 && text.contains(part), "{part}: {code} {text}");
    }
    // It is read and found good: what is missing are modules.
    let (code, text) = said(&fedseal(home, "run tiny --out run"));
    assert!(code != 0 && !text.contains("tiny.toml"), "{text}");
    assert!(text.contains("module"), "{text}");
    // A file comes first, whatever it is called.
    fs::write(home.join("tiny"), "seeds = 1").unwrap();
    let (code, text) = said(&fedseal(home, "run tiny --out run"));
    assert!(code == 2 && text.contains("seeds"), "{code} {text}");
    assert!(!home.join("runs").exists());
}

/// Every table is accepted and counted, with time where its model is here.
#[test]
fn tables_are_planned_without_being_run() {
    let dir = home();
    let home = dir.path();
    for (name, arms, timed) in [
        ("paper-7b", 17, false),
        ("paper-smollm2", 21, false),
        ("neighbours", 25, true),
    ] {
        let planned = ok(home, &["run", name, "--plan", "--json"]);
        let planned: Value = serde_json::from_str(&planned).unwrap();
        let seeds = planned["seeds"].as_array().unwrap();
        assert_eq!(seeds.len(), 1, "{planned}");
        assert_eq!(seeds[0]["work"]["arms"], arms, "{planned}");
        assert_eq!(planned["seconds"].as_f64().is_some(), timed, "{planned}");
        assert_eq!(planned["missing"].is_string(), !timed, "{planned}");
    }
    let said = ok(home, &["run", "paper-7b", "--plan", "--seeds", "3"]);
    assert!(
        said.contains("seed 2: 17 arms") && said.contains("no estimate of time"),
        "{said}"
    );
}

#[test]
fn own_files_go_from_a_folder_to_a_replayed_update() {
    let dir = home();
    let home = dir.path();
    fs::create_dir(home.join("shards")).unwrap();
    let rows = |n: usize| -> String {
        (0..n)
            .map(|i| format!("{{\"prompt\": \"Say number {i}.\", \"response\": \"It is {i}.\"}}\n"))
            .collect()
    };
    for (name, n) in [("north", 6), ("south", 5), ("tasks", 2)] {
        fs::write(home.join(format!("shards/{name}.jsonl")), rows(n)).unwrap();
    }
    let shown = ok(home, &["init", "shards", "--rounds", "1"]);
    for part in [
        "client north: shards/north.jsonl: JSONL (pairs), 6 pairs",
        "no safety rate: no file requests",
        "run it: fedseal run shards/experiment.toml",
    ] {
        assert!(shown.contains(part), "{shown}\nlacks {part}");
    }
    assert!(refused(home, &["init", "shards"]).contains("is there already"));
    let run = "run shards/experiment.toml --modules modules --out runs/own --no-figures";
    let ran = fedseal(home, run);
    assert!(ran.status.success(), "{}", said(&ran).1);
    let table = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(table.contains("not measured"), "{table}");
    ok(home, &["verify", "runs/own"]);
    let replayed = ok(home, &["replay", "runs/own", "--sample", "1"]);
    assert!(replayed.contains("1 of 1 equal"), "{replayed}");
    let explained = ok(
        home,
        &["explain", "runs/own", "--update", &first_update(home)],
    );
    assert!(
        explained.contains("north") || explained.contains("south"),
        "{explained}"
    );
}

/// Id of the first update in the report of `runs/own`.
fn first_update(home: &Path) -> String {
    let report = fs::read(home.join("runs/own/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let mut arms = report["arms"].as_array().unwrap().iter();
    let rounds = arms.find_map(|arm| arm["rounds"].as_array().filter(|it| !it.is_empty()));
    rounds.unwrap()[0]["clients"][0]["update"]
        .as_str()
        .unwrap()
        .to_owned()
}

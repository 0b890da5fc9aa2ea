//! No command that reads a run makes or changes anything in its folder.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::record::Record;

use crate::run;
use crate::world::{Run, World, copy, tree, writable};

const RULES: &str = "[[allow]]\nname = \"all\"\nsigners = [\"alice\"]\nshards = [\"*\"]\n";
const CHECKS: &str = "[[provenance]]\ncheck = \"raw-write\"\n";

#[test]
fn what_reads_a_run_leaves_it_as_it_was() {
    let world = World::shared();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    copy(&world.folder(Run::Tiny), Path::new(&at("tiny")));
    fs::write(at("site.toml"), RULES).unwrap();
    fs::write(at("admission.toml"), CHECKS).unwrap();
    let update = world.records.iter().find_map(|record| match record {
        Record::Update {
            attestation,
            update: Some(_),
            ..
        } => Some(attestation.to_string()),
        _ => None,
    });
    let (dir, update, node) = (at("tiny"), update.unwrap(), world.node.public().to_string());
    // What a command writes lies beside the run. The bool: whether it succeeds.
    let commands: Vec<(bool, Vec<&str>)> = vec![
        (true, vec!["verify", &dir, "--json"]),
        (true, vec!["verify", &dir, "--node", &node]),
        (true, vec!["explain", &dir, "--update", &update]),
        (true, vec!["log", "fsck", &dir, "--strict"]),
        (
            true,
            vec!["log", "prove", &dir, "--update", &update, "--out", "proof"],
        ),
        (true, vec!["log", "check", "proof", "--key", &node]),
        (true, vec!["log", "monitor", &dir, "--pin", "pin"]),
        (
            true,
            vec!["bundle", &dir, "--update", &update, "--out", "bundle"],
        ),
        (true, vec!["table", &dir]),
        (true, vec!["site", "check", "site.toml", "--run", &dir]),
        (true, vec!["admission", "check", "admission.toml", &dir]),
        (
            true,
            vec![
                "adapter", "export", &dir, "--arm", "clean", "--out", "adapter",
            ],
        ),
        // The model of this run is a double that no command knows.
        (false, vec!["replay", &dir, "--sample", "1"]),
    ];
    let mut wrong = Vec::new();
    for write in [true, false] {
        writable(Path::new(&dir), write);
        let before = tree(Path::new(&dir));
        for (succeeds, words) in &commands {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let _ = fs::remove_dir_all(at("adapter"));
            let ended = run(place.path(), &words);
            if (ended.code == Some(0)) != *succeeds {
                wrong.push(format!("{words:?}: {:?} {}", ended.code, ended.said));
            }
            if tree(Path::new(&dir)) != before {
                wrong.push(format!("{words:?} changed the folder"));
            }
        }
    }
    writable(Path::new(&dir), true);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A reader takes for checked whatever is not listed as unchecked.
#[test]
fn the_last_line_says_what_was_not_checked() {
    let world = World::shared();
    let dir = world.folder(Run::Tiny).to_str().unwrap().to_owned();
    let node = world.node.public().to_string();
    let said = |more: &[&str]| {
        let words = [&["verify", &dir], more].concat();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ended = run(Path::new("/"), &words);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended.said
    };
    let plain = said(&[]);
    let last = plain.lines().last().unwrap();
    for part in [
        "not checked: ",
        &node,
        "--node",
        "--author",
        "--policy",
        "fedseal replay",
    ] {
        assert!(last.contains(part), "{part}: {last}");
    }
    let with = said(&["--node", &node]);
    let last = with.lines().last().unwrap();
    assert!(
        last.starts_with("not checked: ") && !last.contains("--node"),
        "{last}"
    );
    let list = |text: &str| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["run"], "tiny");
        serde_json::from_value(value["not_checked"].clone()).unwrap()
    };
    let (plain, with) = (
        list(&said(&["--json"])),
        list(&said(&["--json", "--node", &node])),
    );
    assert_eq!(plain.len(), with.len() + 1);
    assert!(plain[0].contains("--node") && with.iter().all(|text| !text.contains("--node")));
}

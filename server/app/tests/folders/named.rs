//! Files that somebody names on the command line: pipes and holes among them, too.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run;
use crate::world::{Run, World};

#[test]
fn a_file_that_is_named_is_not_waited_for_nor_held() {
    let world = World::shared();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let pipe = |name: &str| {
        let made = Command::new("mkfifo").arg(at(name)).status();
        assert!(made.unwrap().success());
        at(name)
    };
    let holes = |name: &str| {
        fs::File::create(at(name))
            .unwrap()
            .set_len(64 << 30)
            .unwrap();
        at(name)
    };
    for folder in ["piped", "hollow", "signed", "adapter"] {
        fs::create_dir(at(folder)).unwrap();
    }
    pipe("piped/model.sig");
    holes("hollow/model.sig");
    fs::write(at("signed/model.sig"), "{}").unwrap();
    pipe("adapter/adapter_config.json");
    let (pipe, holes) = (pipe("pipe"), holes("holes"));
    let node = world.node.public().to_string();
    let folder = world.folder(Run::Tiny);
    let dir = folder.to_str().unwrap();
    const PIPE: &str = "a named pipe";
    const LONG: &str = "68719476736 bytes";
    let cases: Vec<(&str, Vec<&str>)> = vec![
        (LONG, vec!["verify", &holes, "--node", &node]),
        (PIPE, vec!["verify", dir, "--trust", &pipe]),
        (LONG, vec!["verify", dir, "--trust", &holes]),
        (PIPE, vec!["verify", dir, "--policy", &pipe]),
        (LONG, vec!["verify", dir, "--policy", &holes]),
        (PIPE, vec!["log", "check", &pipe, "--key", &node]),
        (LONG, vec!["log", "check", &holes, "--key", &node]),
        (PIPE, vec!["log", "monitor", dir, "--pin", &pipe]),
        (PIPE, vec!["site", "check", &pipe]),
        (LONG, vec!["admission", "check", &holes, dir]),
        (PIPE, vec!["key", "accept", &pipe]),
        (PIPE, vec!["policy", "inspect", &pipe]),
        (PIPE, vec!["verify", "piped", "--key", "none"]),
        (LONG, vec!["verify", "hollow", "--key", "none"]),
        (PIPE, vec!["verify", "signed", "--key", &pipe]),
        (PIPE, vec!["generate", "--adapter", "adapter", "Hello"]),
        (PIPE, vec!["generate", "--adapter", &pipe, "Hello"]),
    ];
    let mut wrong = Vec::new();
    for (named, words) in cases {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ended = run(Path::new(&at("")), &words);
        let told = matches!(ended.code, Some(1 | 2)) && ended.said.contains(named);
        if !told || ended.peak_kib > crate::MOST_MB * 1024 {
            wrong.push(format!("{words:?}: {:?} {}", ended.code, ended.said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

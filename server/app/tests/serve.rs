//! `fedseal serve`: what it serves, what it refuses, and where it writes.

mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use program::{command, ok, refused};

/// Starts a server, waits until it listens, ends it; what it said on standard error.
fn served(home: &Path, words: &[&str]) -> String {
    let mut all = vec!["serve", "--addr", "127.0.0.1:0"];
    all.extend(words);
    let mut child = command(home, &all)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Kept open: a server whose output nobody reads ends.
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    // It listens before it has opened everything; an answer comes after.
    let address = line.trim().rsplit('/').next().unwrap_or_default();
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = "GET /api/modules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    let _ = child.kill();
    child.wait().unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{line}{said}{answer}");
    said
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_is_not_there_is_refused_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(ok(home, &["serve", "--help"]).contains("or of one run"));
    let said = refused(home, &["serve", "--runs", "typo"]);
    assert!(said.contains("typo: there is no such folder"), "{said}");
    assert!(said.contains("--runs"), "{said}");
    assert!(!home.join("typo").exists());
    std::fs::write(home.join("file"), "").unwrap();
    assert!(refused(home, &["serve", "--runs", "file"]).contains("is no folder"));
    // By default there may be no run yet.
    served(home, &[]);
    assert_eq!(names(home), ["file", "keys"]);
}

#[test]
fn the_registry_is_in_no_run() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("runs/demo/inner")).unwrap();
    std::fs::write(home.join("runs/demo/run.json"), "{}").unwrap();
    served(home, &["--runs", "runs/demo"]);
    assert_eq!(names(&home.join("runs/demo")), ["inner", "run.json"]);
    assert!(home.join("keys/registry/registry.sqlite").is_file());
    for place in ["runs/demo", "runs/demo/inner/registry", "runs/demo/new"] {
        let said = refused(home, &["serve", "--runs", "runs", "--registry", place]);
        assert!(said.contains("cannot be in the run"), "{said}");
    }
    assert_eq!(names(&home.join("runs/demo")), ["inner", "run.json"]);
    served(home, &["--runs", "runs", "--registry", "modules"]);
    assert!(home.join("modules/registry.sqlite").is_file());
}

#[test]
fn a_registry_of_an_earlier_version_is_used_where_it_is_no_evidence() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("runs/.registry")).unwrap();
    std::fs::create_dir_all(home.join("runs/demo/.registry")).unwrap();
    std::fs::write(home.join("runs/demo/run.json"), "{}").unwrap();
    let said = served(home, &["--runs", "runs"]);
    assert!(said.contains("runs/.registry"), "{said}");
    assert!(home.join("runs/.registry/registry.sqlite").is_file());
    let said = served(home, &["--runs", "runs/demo"]);
    assert!(said.contains("runs/demo/.registry was left"), "{said}");
    assert!(names(&home.join("runs/demo/.registry")).is_empty());
    assert!(home.join("keys/registry/registry.sqlite").is_file());
}

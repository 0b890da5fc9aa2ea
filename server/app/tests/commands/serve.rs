//! `fedseal serve`: what it serves, what it refuses, and where it writes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use crate::program::{command, ok, refused};

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
        let request = "GET /api/modules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
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

/// A server that is ended when dropped, with the lines that it says on standard error.
struct Server {
    child: std::process::Child,
    url: String,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    /// Kept open: a server whose output nobody reads ends.
    _output: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(home: &Path, words: &[&str]) -> Self {
        let mut all = vec!["serve", "--addr", "127.0.0.1:0"];
        all.extend(words);
        let mut child = command(home, &all)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        Server {
            url: first
                .trim()
                .rsplit(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            lines: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
            _output: output,
        }
    }

    fn says(&mut self, words: &str) -> String {
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if line.contains(words) {
                return line;
            }
            said.push(line);
        }
        panic!("nobody said {words:?}: {said:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with the tests' certificates and a signed component that is no policy.
fn with_certificates() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    for name in [
        "ca.pem",
        "server.pem",
        "server.key",
        "other.pem",
        "other.key",
    ] {
        std::fs::copy(
            tests.join("fixtures/tls").join(name),
            home.path().join(name),
        )
        .unwrap();
    }
    let module = tests.join("oracles/wasmsign/plain.wasm");
    std::fs::copy(module, home.path().join("plain.wasm")).unwrap();
    ok(
        home.path(),
        &["policy", "sign", "plain.wasm", "--name", "quiet"],
    );
    home
}

#[cfg(unix)]
#[test]
fn submissions_go_over_tls_and_a_new_certificate_needs_no_restart() {
    let home = with_certificates();
    let home = home.path();
    let tls = ["--tls-cert", "server.pem", "--tls-key", "server.key"];
    let mut server = Server::start(home, &tls);
    let url = server.url.clone();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let words = |ca| ["submit", "plain.wasm", "--server", &url, "--ca", ca];
    let taken = |ca| assert!(ok(home, &words(ca)).contains("registered quiet"));
    taken("ca.pem");
    let said = refused(home, &["submit", "plain.wasm", "--server", &url]);
    assert!(said.contains("certificate"), "{said}");
    let plain = url.replace("https:", "http:");
    refused(home, &["submit", "plain.wasm", "--server", &plain]);

    let hangup = |server: &Server| {
        let pid = server.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status();
        assert!(sent.unwrap().success());
    };
    let replace = |from: &str, to: &str| {
        std::fs::copy(home.join(from), home.join(to)).unwrap();
    };
    replace("other.pem", "server.pem");
    hangup(&server);
    let said = server.says("stays the one from before");
    assert!(said.contains("does not go with"), "{said}");
    taken("ca.pem");
    replace("other.key", "server.key");
    hangup(&server);
    server.says("was read again");
    taken("other.pem");
    refused(home, &words("ca.pem"));
}

#[test]
fn other_machines_are_served_in_the_open_only_when_asked_for() {
    let home = with_certificates();
    let home = home.path();
    let said = refused(home, &["serve", "--addr", "0.0.0.0:0"]);
    assert!(
        said.contains("others could read") && said.contains("--plain-http"),
        "{said}"
    );
    let said = refused(
        home,
        &[
            "serve",
            "--tls-cert",
            "server.pem",
            "--tls-key",
            "other.key",
        ],
    );
    assert!(
        said.contains("other.key: does not go with server.pem"),
        "{said}"
    );
    assert!(refused(home, &["serve", "--tls-cert", "server.pem"]).contains("--tls-key"));
    let said = refused(home, &["submit", "plain.wasm", "--ca", "server.key"]);
    assert!(said.contains("there is no certificate in PEM"), "{said}");
}

#[test]
fn the_administrators_token_is_shown_once() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut first = Server::start(home, &[]);
    let said = first.says("shown this once");
    let token = said.rsplit(' ').next().unwrap().to_owned();
    assert!(token.starts_with("fedseal-admin-"), "{said}");
    drop(first);
    let again = served(home, &[]);
    assert!(!again.contains("token"), "{again}");
    let kept = std::fs::read_to_string(home.join("keys/registry/admin-token.sha256")).unwrap();
    assert!(!kept.contains(&token));
}

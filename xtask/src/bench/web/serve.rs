//! Servers and runs that are measured.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::{cargo, output_within, root, run, say, target};
use crate::{Outcome, build, fail};

/// Builds the pages, the program and the policies.
pub(super) fn build() -> Outcome {
    build::web()?;
    cargo(&["build", "--workspace", "--bin", "fedseal"], &[])?;
    build::policies()
}

/// A folder for what is measured.
pub(super) fn folder(name: &str) -> PathBuf {
    target().join("bench-web").join(name)
}

/// A folder with the tiny run in it, made where there is none.
pub(super) fn tiny() -> Outcome<PathBuf> {
    let folder = folder("tiny");
    let out = folder.join("runs/tiny");
    let report = std::fs::read_to_string(out.join("report.json")).unwrap_or_default();
    // One that was stopped on the way is no run to measure.
    if !report.contains(r#""state":"finished""#) {
        say("A tiny run to look at");
        let _ = std::fs::remove_dir_all(&out);
        run(&mut running(&root().join("experiments/tiny.toml"), &out))?;
    }
    Ok(folder)
}

/// A run of an experiment, quietly.
pub(super) fn running(experiment: &Path, out: &Path) -> Command {
    let mut command = build::fedseal();
    command
        .arg("run")
        .arg(experiment)
        .arg("--out")
        .arg(out)
        .args(["--quiet", "--no-figures"])
        .stdout(Stdio::null());
    command
}

/// A script of the pages, by node, with a browser.
pub(super) fn script(name: &str) -> Outcome<Command> {
    let web = root().join("web");
    if !web.join("node_modules").exists() {
        return fail("web/node_modules is not there: npm is missing");
    }
    let mut node = Command::new("node");
    node.arg(web.join("bench").join(name)).current_dir(web);
    if let Some(chromium) = crate::setup::chromium() {
        node.env("CHROMIUM", chromium);
    }
    Ok(node)
}

/// JSON that a script prints.
///
/// # Errors
/// A script that fails, with what it said, or that takes longer than `limit`.
pub(super) fn asked(name: &str, words: &[&str], limit: Duration) -> Outcome<Value> {
    let ran = output_within(script(name)?.args(words), limit)?;
    let said = serde_json::from_slice(&ran.stdout).ok();
    match said.filter(|_| ran.status.success()) {
        Some(said) => Ok(said),
        None => fail(format!(
            "{name} ended with {}:\n{}{}",
            ran.status,
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        )),
    }
}

/// A number of what a script printed.
///
/// # Errors
/// A name that it does not have.
pub(super) fn number(said: &Value, name: &str) -> Outcome<f64> {
    match said[name].as_f64() {
        Some(number) => Ok(number),
        None => fail(format!("there is no number {name:?} in {said}")),
    }
}

/// A server over a folder of runs, ended with this value.
pub(super) struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Serves the runs below a folder.
    pub(super) fn start(folder: &Path, words: &[&str]) -> Outcome<Server> {
        let runs = folder.join("runs");
        std::fs::create_dir_all(&runs)?;
        let mut program = build::fedseal();
        program
            .args([
                "serve",
                "--addr",
                "127.0.0.1:0",
                "--requests-per-address",
                "0",
            ])
            .arg("--runs")
            .arg(&runs)
            .arg("--registry")
            .arg(folder.join("registry"))
            .args(words);
        Server::of(&mut program)
    }

    /// The server that a command starts, which says its address on a line.
    pub(super) fn of(program: &mut Command) -> Outcome<Server> {
        let mut child = program.stdout(Stdio::piped()).spawn()?;
        let Some(mut output) = child.stdout.take() else {
            return fail("the server has no output");
        };
        let mut said = String::new();
        let mut byte = [0];
        while !said.ends_with('\n') && output.read(&mut byte)? == 1 {
            said.push(char::from(byte[0]));
        }
        // Ends the server where its line is not understood.
        let server = Server {
            child,
            address: said
                .trim()
                .rsplit("http://")
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        match said.contains("http://") {
            true => Ok(server),
            false => fail(format!("the server says {said:?} and no address")),
        }
    }

    /// Its largest resident memory so far, MiB (Linux).
    pub(super) fn most_mb(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        match kib {
            Some(kib) => Ok(kib / 1024.0),
            None => fail("the system does not say how much memory the server took"),
        }
    }

    /// Bytes of an answer's body as they are sent to a client that takes gzip, and the body's text where
    /// it is sent as it is.
    pub(super) fn get(&self, path: &str, gzip: bool) -> Outcome<(usize, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let accept = if gzip {
            "Accept-Encoding: gzip\r\n"
        } else {
            ""
        };
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: localhost\r\n{accept}\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return fail(format!("{path}: no answer"));
        };
        if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
            let line = answer
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            return fail(format!("{path}: {}", String::from_utf8_lossy(line)));
        }
        let body = &answer[end + 4..];
        Ok((body.len(), String::from_utf8_lossy(body).into_owned()))
    }
}

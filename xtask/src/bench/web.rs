//! `cargo xtask bench web [sentences|page]`: the report pages and what they say.
//!
//! - `sentences`: conclusions of labelled reports that are the expected ones, of all
//!   (tests/fixtures/conclusions.json).
//! - `page`: bytes of everything that a browser asks for to show the first page, as the server sends them to
//!   one that takes gzip, and the median of the time that it takes to send them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Figure, write};
use crate::process::{cargo, root, say};
use crate::{Outcome, build, fail};

/// Parts that can be measured alone.
const PARTS: [&str; 2] = ["sentences", "page"];

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let mut parts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(other) = parts.iter().find(|part| !PARTS.contains(part)) {
        let known = PARTS.join(", ");
        return fail(format!("unknown word {other:?}; known: {known}"));
    }
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    for part in parts {
        let figures = match part {
            "sentences" => sentences()?,
            _ => page()?,
        };
        say("Results");
        for figure in &figures {
            eprintln!("    {figure}");
        }
        write("web", "web", &figures)?;
    }
    Ok(())
}

fn figure(name: &str, value: f64, unit: &str) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        peer: None,
        ratio: None,
    }
}

/// The test that compares the sentences says how many are right.
fn sentences() -> Outcome<Vec<Figure>> {
    say("Conclusions of labelled reports");
    let ran = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["test", "--quiet", "--package", "fedseal-record", "--lib"])
        .args(["sentences_are_the_expected_ones", "--", "--nocapture"])
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let counts = said.lines().find_map(|line| {
        let (_, counts) = line.split_once("sentences.right ")?;
        let (right, all) = counts.split_once(" of ")?;
        Some((right.parse::<f64>().ok()?, all.trim().parse::<f64>().ok()?))
    });
    match counts {
        Some((right, all)) if all > 0.0 => Ok(vec![
            figure("sentences.right", right / all, "share"),
            figure("sentences.cases", all, "reports"),
        ]),
        _ => fail(format!(
            "the test of the conclusions did not say how many are right:\n{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        )),
    }
}

/// A server over an empty folder of runs, ended with this value.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(folder: &Path) -> Outcome<Server> {
        let runs = folder.join("runs");
        std::fs::create_dir_all(&runs)?;
        let mut child = build::fedseal()
            .args(["serve", "--addr", "127.0.0.1:0", "--runs"])
            .arg(&runs)
            .arg("--registry")
            .arg(folder.join("registry"))
            .stdout(Stdio::piped())
            .spawn()?;
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

    /// Bytes of an answer's body as they are sent to a client that takes gzip, and the body's text where
    /// it is sent as it is.
    fn get(&self, path: &str, gzip: bool) -> Outcome<(usize, String)> {
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

fn page() -> Outcome<Vec<Figure>> {
    say("The first page");
    build::web()?;
    cargo(&["build", "--workspace", "--bin", "fedseal"], &[])?;
    let folder = root().join("target/bench-web");
    let server = Server::start(&folder)?;
    let (_, index) = server.get("/", false)?;
    let mut paths = vec!["/".to_owned(), "/api/runs".to_owned()];
    for word in ["src=\"", "href=\""] {
        let named = index
            .split(word)
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        paths.extend(
            named
                .filter(|path| path.starts_with('/'))
                .map(str::to_owned),
        );
    }
    if paths.len() < 4 {
        return fail("the first page names no script and no style: are the pages built in?");
    }
    let mut bytes = 0;
    let mut times = Vec::new();
    for round in 0..20 {
        let began = Instant::now();
        for path in &paths {
            let (length, _) = server.get(path, true)?;
            bytes += if round == 0 { length } else { 0 };
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![
        figure("first_page.kb", bytes as f64 / 1e3, "kB"),
        figure("first_page.sent_ms", times[times.len() / 2], "ms"),
    ])
}

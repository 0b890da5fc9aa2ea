//! `cargo xtask bench web [sentences|page|interactive|read|watchers|journey|axe|api|big]`: the report pages and what
//! they say.
//!
//! - `sentences`: conclusions of labelled reports that are the expected ones, of all
//!   (tests/fixtures/conclusions.json).
//! - `page`: bytes of everything that a browser asks for to show the first page, as the server sends them to
//!   one that takes gzip, and the median of the time that it takes to send them.
//! - `interactive`: time until the first page answers in a browser ([`load`]).
//! - `read`: requests a second of what is read most ([`load`]).
//! - `watchers`: what 200 open pages add to a run's time ([`load`]).
//! - `journey`: the whole way of a user in a browser: steps that fail (web/tests/journey.test.mjs, [`tested`]).
//! - `axe`: rules of WCAG 2.2 AA that pages break, in both themes at three widths (web/tests/axe.test.mjs).
//! - `api`: requests that schemathesis makes of the interface's description ([`api`]).
//! - `big`: a run of 1,000 rounds, 100 clients and 10 arms, and one of 2 arms beside an earlier revision ([`big`]).

mod api;
mod big;
mod load;
mod serve;
mod tested;

use std::time::Instant;

use super::{Figure, write};
use crate::process::{cargo_command, root, say};
use crate::{Outcome, fail};
use serve::Server;

/// Parts that can be measured alone.
const PARTS: [&str; 9] = [
    "sentences",
    "page",
    "interactive",
    "read",
    "watchers",
    "journey",
    "axe",
    "api",
    "big",
];

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
        keep(&match part {
            "sentences" => sentences()?,
            "interactive" => load::interactive()?,
            "read" => load::read()?,
            "watchers" => load::watchers()?,
            "journey" => tested::journey()?,
            "axe" => tested::axe()?,
            "api" => api::fuzz()?,
            "big" => {
                keep(&big::ten()?)?;
                big::two()?
            }
            _ => page()?,
        })?;
    }
    Ok(())
}

/// Shows figures and keeps them: they count when they are there, whatever becomes of those after them.
fn keep(figures: &[Figure]) -> Outcome {
    say("Results");
    for figure in figures {
        eprintln!("    {figure}");
    }
    write("web", "web", figures)
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
    let ran = cargo_command()
        .args(["test", "--quiet", "--workspace", "--lib"])
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

fn page() -> Outcome<Vec<Figure>> {
    say("The first page");
    serve::build()?;
    let server = Server::start(&serve::folder("empty"), &[])?;
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

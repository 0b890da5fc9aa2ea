//! `cargo xtask lint`: everything that is asked of a change beside its tests. Every lint runs, also
//! after one that failed; the end names those that failed and those that could not run.

mod deny;
mod dependencies;
mod files;
mod pages;
mod rust;
mod tools;
mod words;

use std::time::Instant;

use files::{relative, rust_files};

use crate::process::{say, seconds};
use crate::{Failure, Outcome, fail};

/// Reason why a lint could not run here; `None` where it ran and found nothing.
type LeftOut = Option<String>;

/// A lint: prints what it finds and fails, or says why it could not run.
type Lint = fn() -> Outcome<LeftOut>;

/// Every lint by its name, the quick ones first.
const LINTS: [(&str, Lint); 9] = [
    ("rustfmt", rust::format),
    ("circles", rust::circles),
    ("words", words::check),
    ("dependencies", dependencies::check),
    ("deny", deny::check),
    ("advisories", deny::advisories),
    ("pages", pages::check),
    ("clippy", rust::clippy),
    ("docs", rust::docs),
];

/// `cargo xtask lint [NAME...]`: all lints, or those that are named.
pub(crate) fn lint(names: &[String]) -> Outcome {
    let all = LINTS.map(|(name, _)| name).join(", ");
    if let Some(name) = names
        .iter()
        .find(|name| !LINTS.iter().any(|(it, _)| it == name))
    {
        return fail(format!("no lint {name:?}; there are {all}"));
    }
    let started = Instant::now();
    let (mut failed, mut left_out) = (Vec::new(), Vec::new());
    for (name, check) in LINTS {
        if !names.is_empty() && !names.iter().any(|it| it == name) {
            continue;
        }
        say(&format!("Lint {name}"));
        match check() {
            Ok(None) => {}
            Ok(Some(why)) => left_out.push((name, why)),
            Err(Failure(why)) => {
                eprintln!("    FAILED: {why}");
                failed.push(name);
            }
        }
    }
    eprintln!("    lints: {}", seconds(started.elapsed()));
    for (name, why) in left_out {
        eprintln!("    LEFT OUT: {name}: {why}");
    }
    if failed.is_empty() {
        return Ok(());
    }
    fail(format!("lints that failed: {}", failed.join(", ")))
}

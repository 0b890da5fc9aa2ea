//! `cargo xtask lint`: everything that is asked of a change beside its tests. Every lint runs, also
//! after one that failed; the end names those that failed and those that could not run.

mod circles;
mod deny;
mod dependencies;
mod pages;
mod paths;
mod rust;
mod tools;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::process::{root, say, seconds};
use crate::{Failure, Outcome, fail};

/// Reason why a lint could not run here; `None` where it ran and found nothing.
type LeftOut = Option<String>;

/// A lint: prints what it finds and fails, or says why it could not run.
type Lint = fn() -> Outcome<LeftOut>;

/// Every lint by its name, the quick ones first.
const LINTS: [(&str, Lint); 9] = [
    ("rustfmt", rust::format),
    ("circles", circles::check),
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

/// Rust sources below a folder, by path; build folders are skipped.
fn rust_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                let built = ["target", "node_modules"];
                let name = path.file_name().and_then(|name| name.to_str());
                if !name.is_some_and(|name| built.contains(&name)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Path from the repository's root on, as people write it.
fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

//! Documentation begins with the noun or the verb of the thing, not with a word that only leads to it.

use std::collections::BTreeMap;
use std::fs;

use super::{LeftOut, relative, rust_files};
use crate::process::root;
use crate::{Outcome, fail};

/// Beginnings that a reader has to hold in mind until the noun comes.
const BEGINNINGS: [&str; 5] = ["Those", "Of", "The same", "By", "What"];

/// Folders with Rust sources.
const ROOMS: [&str; 7] = [
    "client-sdk",
    "fuzz",
    "guest",
    "policies",
    "server",
    "tests",
    "xtask",
];

/// Folder whose folders are rooms of their own.
const DIVIDED: &str = "server";

/// Looks through every Rust source.
pub(super) fn check() -> Outcome<LeftOut> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ROOMS {
        for file in rust_files(&root().join(folder))? {
            let name = relative(&file);
            let room = room(&name).to_owned();
            let lines = found.entry(room).or_default();
            let text = fs::read_to_string(&file)?;
            lines.extend(
                beginnings(&text)
                    .into_iter()
                    .map(|(line, doc)| format!("{name}:{line}: {doc}")),
            );
        }
    }
    let mut failed = Vec::new();
    for (room, lines) in &found {
        if !lines.is_empty() {
            eprintln!("    {room}: {} docs:", lines.len());
            for line in lines {
                eprintln!("        {line}");
            }
            failed.push(room.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(None);
    }
    fail(format!(
        "docs of {} begin with one of {BEGINNINGS:?}; begin with the noun or the verb",
        failed.join(", ")
    ))
}

/// Room of a file: its first folder, or its first two.
fn room(file: &str) -> &str {
    let folders = if file.starts_with(&format!("{DIVIDED}/")) {
        2
    } else {
        1
    };
    let end = file.match_indices('/').nth(folders - 1);
    end.map_or(file, |(at, _)| &file[..at])
}

/// First lines of docs that begin with one of [`BEGINNINGS`], with their numbers.
fn beginnings(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut before = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let kind = ["///", "//!"]
            .into_iter()
            .find(|kind| line.starts_with(kind));
        let kind = kind.filter(|_| !line.starts_with("////"));
        if let Some(kind) = kind
            && before != Some(kind)
        {
            let doc = line[kind.len()..].trim();
            let begins = |word: &&str| {
                doc.strip_prefix(*word)
                    .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            };
            if BEGINNINGS.iter().any(begins) {
                found.push((number, doc));
            }
        }
        before = kind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_of_a_doc_counts() {
        let text = "//! What this is.\n\n/// Name of a thing.\n/// What it is not.\nstruct A;\n\
                    \x2f// The same for B.\nstruct B;\n    /// Offset in bytes.\n    /// Whatever.\n// What\n";
        let lines: Vec<usize> = beginnings(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 6]);
    }

    #[test]
    fn rooms_below_server_are_told_apart() {
        assert_eq!(room("server/ledger/src/lib.rs"), "server/ledger");
        assert_eq!(room("xtask/src/main.rs"), "xtask");
    }
}

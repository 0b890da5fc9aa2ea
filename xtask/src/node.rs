//! Programs in JavaScript that check us or drive a browser, from npm.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::process::{exists, root, run, say};

/// Files of a folder in tests/oracles that npm installs from.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// A folder below target with the packages of `tests/oracles/http-signatures`; none, with words, where it
/// cannot be had: the tests that ask it are left out then.
pub(crate) fn peers() -> Option<PathBuf> {
    filled("peers", "http-signatures", "outside checkers in JavaScript")
}

/// A folder with the packages of `tests/oracles/firefox`, in the same way.
pub(crate) fn firefox() -> Option<PathBuf> {
    filled("firefox", "firefox", "the driver of Firefox")
}

fn filled(name: &str, source: &str, what: &str) -> Option<PathBuf> {
    match fill(name, source, what) {
        Ok(folder) => folder,
        Err(failure) => {
            eprintln!(
                "    {what} not installed, the tests are LEFT OUT: {}",
                failure.0
            );
            None
        }
    }
}

fn fill(name: &str, source: &str, what: &str) -> Outcome<Option<PathBuf>> {
    if !exists("npm") {
        return Ok(None);
    }
    let source = root().join("tests/oracles").join(source);
    let folder = root().join("target").join(format!("node-{name}"));
    let stamp = folder.join("filled");
    let mut wanted = Vec::new();
    for file in FILES {
        wanted.extend(std::fs::read(source.join(file))?);
    }
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(Some(folder));
    }
    say(&format!("Installing {what} with npm"));
    std::fs::create_dir_all(&folder)?;
    for file in FILES {
        std::fs::copy(source.join(file), folder.join(file))?;
    }
    run(Command::new("npm")
        .args(["ci", "--no-fund", "--no-audit", "--silent"])
        .current_dir(&folder))?;
    std::fs::write(stamp, wanted)?;
    Ok(Some(folder))
}

//! Programs in JavaScript that check us, from npm.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::process::{exists, root, run, say};

/// Files of a folder in tests/oracles that npm installs from.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// A folder below target with the packages of `tests/oracles/http-signatures`; none, with words, where it
/// cannot be had: the tests that ask it are left out then.
pub(crate) fn peers() -> Option<PathBuf> {
    match fill() {
        Ok(folder) => folder,
        Err(failure) => {
            eprintln!(
                "    outside checkers in JavaScript not installed, their tests are LEFT OUT: {}",
                failure.0
            );
            None
        }
    }
}

fn fill() -> Outcome<Option<PathBuf>> {
    if !exists("npm") {
        return Ok(None);
    }
    let source = root().join("tests/oracles/http-signatures");
    let folder = root().join("target/node-peers");
    let stamp = folder.join("filled");
    let mut wanted = Vec::new();
    for file in FILES {
        wanted.extend(std::fs::read(source.join(file))?);
    }
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(Some(folder));
    }
    say("Installing the outside checkers of our formats with npm");
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

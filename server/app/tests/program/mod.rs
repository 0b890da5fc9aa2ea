//! The program in a folder of its own, with a folder of keys of its own.

pub(crate) mod small;

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedseal"));
    command
        .args(words)
        .env("FEDSEAL_HOME", home.join("keys"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        // What the new policy depends on is built once for all tests and kept.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("author"),
        )
        .current_dir(home);
    command
}

fn fedseal(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().unwrap()
}

pub(crate) fn ok(home: &Path, words: &[&str]) -> String {
    let out = fedseal(home, words);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

pub(crate) fn refused(home: &Path, words: &[&str]) -> String {
    let out = fedseal(home, words);
    assert!(!out.status.success(), "{words:?}");
    String::from_utf8(out.stderr).unwrap()
}

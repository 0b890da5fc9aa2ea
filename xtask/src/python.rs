//! Python programs that check us or run against us: their interpreter and packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{exists, root, run, say};
use crate::{Outcome, fail};

/// An interpreter with the packages of a requirements file: the one that `FEDSEAL_ORACLE_PYTHON`
/// names, which must have them, or one of our own below `target`, filled by pip.
pub(crate) fn with(name: &str, requirements: &Path) -> Outcome<PathBuf> {
    match std::env::var_os("FEDSEAL_ORACLE_PYTHON") {
        Some(python) => Ok(PathBuf::from(python)),
        None => own(name, requirements),
    }
}

/// As [`with`], always one of our own: programs lie beside it.
pub(crate) fn own(name: &str, requirements: &Path) -> Outcome<PathBuf> {
    let venv = root().join("target").join(format!("python-{name}"));
    let python = venv.join("bin/python");
    let stamp = venv.join("filled");
    let wanted = std::fs::read(requirements)?;
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(python);
    }
    if !exists("python3") {
        return fail(
            "no python3: on Debian `apt-get install python3-venv`, or set FEDSEAL_ORACLE_PYTHON",
        );
    }
    say(&format!(
        "Installing {} into {} with pip (minutes at first)",
        requirements.display(),
        venv.display()
    ));
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(requirements))?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// The folders in tests/oracles whose Python packages check our formats.
const CHECKERS: [&str; 5] = ["dsse", "tlog", "oms", "http-signatures", "metrics"];

/// An interpreter with the packages that check our formats: the one that `FEDSEAL_PYTHON` names, or
/// one of our own below `target`, filled by pip. `None`, with words, where it cannot be had: the
/// tests that ask it are left out then.
pub(crate) fn checkers() -> Option<PathBuf> {
    if let Some(own) = std::env::var_os("FEDSEAL_PYTHON") {
        return Some(own.into());
    }
    match fill_checkers() {
        Ok(python) => Some(python),
        Err(failure) => {
            eprintln!(
                "    outside checkers in Python not installed, their tests are LEFT OUT: {}",
                failure.0
            );
            None
        }
    }
}

fn fill_checkers() -> Outcome<PathBuf> {
    let folder = root().join("target/python-checkers");
    let python = folder.join("bin/python");
    let files = CHECKERS.map(|name| root().join(format!("tests/oracles/{name}/requirements.txt")));
    let mut wanted = Vec::new();
    for file in &files {
        wanted.extend(std::fs::read(file)?);
    }
    let stamp = folder.join("filled");
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(python);
    }
    if !exists("python3") {
        return fail("no python3: on Debian `apt-get install python3-venv`");
    }
    say("Installing the outside checkers of our formats with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(&python);
    // aics-tlog asks for Python 3.12 and runs on 3.11, which Debian 12 has: its tests say so.
    install.args([
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--ignore-requires-python",
    ]);
    for file in &files {
        install.arg("-r").arg(file);
    }
    run(&mut install)?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}

/// Whether an interpreter has a module.
pub(crate) fn has(python: &Path, module: &str) -> bool {
    Command::new(python)
        .args(["-c", &format!("import {module}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs a package that is compiled on the way and may not be installable here. An
/// interpreter that the user named is left as it is.
pub(crate) fn try_install(python: &Path, package: &str) -> bool {
    if std::env::var_os("FEDSEAL_ORACLE_PYTHON").is_some() {
        return false;
    }
    say(&format!(
        "Installing {package} with pip (it is compiled: minutes)"
    ));
    run(Command::new(python)
        .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .arg(package))
    .is_ok()
}

//! The tools that build guests in Python, JavaScript and C: pip's and npm's packages, pinned, below
//! `target/guest-tools`. Where they cannot be installed the tests that need them say that they are
//! left out, and nothing else suffers.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::process::{exists, root, run, say};

/// Installs what is missing; a second call finds it there.
pub(crate) fn install() {
    let tools = root().join("guest/tools");
    let target = root().join("target/guest-tools");
    if std::env::var_os("FEDSEAL_GUEST_TOOLS").is_some() {
        return;
    }
    let installed = [
        (
            "Python and C guests",
            python(&tools, &target.join("python")),
        ),
        (
            "JavaScript guests",
            javascript(&tools, &target.join("javascript")),
        ),
    ];
    for (what, result) in installed {
        if let Err(failure) = result {
            eprintln!(
                "    {what}: tools not installed, their tests are LEFT OUT: {}",
                failure.0
            );
        }
    }
}

fn python(tools: &Path, folder: &Path) -> Outcome {
    let wanted = std::fs::read(tools.join("requirements.txt"))?;
    let stamp = folder.join("filled");
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(());
    }
    if !exists("python3") {
        return crate::fail("no python3: on Debian `apt-get install python3-venv`");
    }
    say("Installing componentize-py and zig with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(tools.join("requirements.txt")))?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

fn javascript(tools: &Path, folder: &Path) -> Outcome {
    let wanted = std::fs::read(tools.join("package-lock.json"))?;
    let stamp = folder.join("filled");
    if std::fs::read(&stamp).is_ok_and(|filled| filled == wanted) {
        return Ok(());
    }
    if !exists("npm") {
        return crate::fail("no npm: on Debian `apt-get install nodejs npm`");
    }
    say("Installing componentize-qjs with npm");
    std::fs::create_dir_all(folder)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(tools.join(name), folder.join(name))?;
    }
    run(Command::new("npm")
        .args(["ci", "--silent", "--no-audit", "--no-fund"])
        .current_dir(folder))?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

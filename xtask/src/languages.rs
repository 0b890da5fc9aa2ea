//! The tools that build guests in Python, JavaScript and C: pip's and npm's packages, pinned, below
//! `target/guest-tools`, and Rust's targets with WASI. Where they cannot be installed the tests that need
//! them say that they are left out, and nothing else suffers.
//!
//! `cargo xtask policies --languages` measures every toolchain, whether policies can be rebuilt, and how long
//! the largest guest's start takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::build::fedseal;
use crate::process::{exists, output, root, run, say};
use crate::{Outcome, build, fail, marks, oracle, readme};

/// Targets of Rust beside the guests' own.
const WASI_TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

/// Builds, then tries every toolchain and builds every policy a second time in another folder.
pub(crate) fn measure() -> Outcome {
    build::everything()?;
    install();
    let counts = root().join("target/counts-languages");
    let _ = fs::remove_dir_all(&counts);
    fs::create_dir_all(&counts)?;
    say("Trying every toolchain");
    let tried = oracle::test(&["--test", "languages"], &counts, false);
    let counted: Value = serde_json::from_slice(&fs::read(counts.join("languages.json"))?)?;
    let read = |key: &str| counted.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    keep("languages.total", read("total"), "toolchains")?;
    keep("languages.right", read("right"), "toolchains")?;
    let (total, equal) = rebuilt()?;
    keep("rebuild.total", f64::from(total), "policies")?;
    keep("rebuild.equal", f64::from(equal), "policies")?;
    starts()?;
    tried?;
    match total == equal {
        true => Ok(()),
        false => fail(format!(
            "{equal} of {total} policies are the same when they are built again"
        )),
    }
}

fn keep(name: &str, value: f64, unit: &str) -> Outcome {
    eprintln!("    {name:<28} {value:<8.3} {}", marks::judged(name, value));
    let figures = [(name.to_owned(), value)];
    readme::keep(
        "policies",
        "cargo xtask policies --languages",
        &figures,
        unit,
    )
}

/// Measures the time from a program's start until a policy in Python could run its first instruction: the
/// first time, when it is compiled, and again, when its code has been kept.
fn starts() -> Outcome {
    say("Starting a policy in Python twice");
    let home = root().join("target/tmp/starts");
    let _ = fs::remove_dir_all(&home);
    let folder = home.join("python");
    fs::create_dir_all(&folder)?;
    let example = root().join("guest/examples/python/policy.py");
    fs::copy(example, folder.join("policy.py"))?;
    let own = |words: &[&str]| {
        let mut command = fedseal();
        command.args(["policy"]).args(words).current_dir(root());
        // Keys and compiled modules of its own: nothing of before is found.
        command.env("FEDSEAL_HOME", home.join("keys"));
        command
    };
    run(&mut own(&["build", &folder.to_string_lossy()]))?;
    let module = folder.join("target/python.wasm");
    for name in ["python.start.first_seconds", "python.start.again_seconds"] {
        let started = Instant::now();
        // It verifies, reads and compiles, as a run does before its first round, and starts nothing.
        run(own(&["inspect", &module.to_string_lossy()]).stdout(Stdio::null()))?;
        keep(name, started.elapsed().as_secs_f64(), "s")?;
    }
    Ok(())
}

/// Builds all policies in a copy of this checkout, in a folder of another depth and with a target folder of
/// its own. Returns how many there are, and how many have the same bytes as here.
fn rebuilt() -> Outcome<(u32, u32)> {
    say("Building every policy again in another folder");
    let copy = root().join("target/tmp/rebuilt/elsewhere/checkout");
    let _ = fs::remove_dir_all(&copy);
    let listed = output("git", &["-C", &root().to_string_lossy(), "ls-files"]);
    for name in listed.unwrap_or_default().lines() {
        let (from, to) = (root().join(name), copy.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(&copy))?;
            fs::copy(from, to)?;
        }
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for (place, out) in [
        (root(), "target/tmp/rebuilt/here"),
        (copy, "target/tmp/rebuilt/there"),
    ] {
        let out = root().join(out);
        let mut command = fedseal();
        command.args(["policy", "build", "all", "--out"]).arg(&out);
        // Its own target folder is part of what must not matter.
        command.current_dir(place).env_remove("CARGO_TARGET_DIR");
        run(&mut command)?;
        folders.push(out);
    }
    let [here, there] = folders.as_slice() else {
        return fail("two folders are compared");
    };
    let (mut total, mut equal) = (0, 0);
    for entry in fs::read_dir(here)?.flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "wasm")
        {
            total += 1;
            let same = fs::read(entry.path())? == fs::read(there.join(entry.file_name()))?;
            equal += u32::from(same);
            if !same {
                eprintln!(
                    "    {} has other bytes",
                    entry.file_name().to_string_lossy()
                );
            }
        }
    }
    Ok((total, equal))
}

/// Installs what is missing; a second call finds it there.
pub(crate) fn install() {
    let tools = root().join("guest/tools");
    let target = root().join("target/guest-tools");
    if std::env::var_os("FEDSEAL_GUEST_TOOLS").is_some() {
        return;
    }
    let installed = [
        ("Rust guests with WASI", wasi_targets()),
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

fn wasi_targets() -> Outcome {
    let installed = output("rustup", &["target", "list", "--installed"]);
    let Some(installed) = installed else {
        return fail("no rustup: its targets are left out");
    };
    let missing: Vec<&str> = WASI_TARGETS
        .into_iter()
        .filter(|target| !installed.lines().any(|line| line == *target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    say("Adding Rust's targets with WASI");
    run(Command::new("rustup").args(["target", "add"]).args(missing))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages and hints name the releases that are installed and tested.
    #[test]
    fn the_pinned_tools_are_those_that_pages_and_hints_name() {
        let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        let npm: Value = serde_json::from_str(&read("guest/tools/package.json")).unwrap();
        let npm = npm["dependencies"].as_object().unwrap().clone();
        let mut pins: Vec<(String, String, &str)> = npm
            .into_iter()
            .map(|(name, version)| (name, version.as_str().unwrap().to_owned(), "@"))
            .collect();
        for line in read("guest/tools/requirements.txt").lines() {
            let (name, version) = line.split_once("==").unwrap();
            pins.push((name.to_owned(), version.to_owned(), "=="));
        }
        assert_eq!(pins.len(), 4, "{pins:?}");
        let guests = read("docs/GUESTS.md");
        let hints = read("server/app/src/commands/policy/language.rs");
        for (name, version, sign) in pins {
            let said = match name.as_str() {
                "assemblyscript" => format!("AssemblyScript {version}"),
                "ziglang" => format!("zig {version}"),
                _ => format!("{name} {version}"),
            };
            assert!(guests.contains(&said), "docs/GUESTS.md: {said}");
            let install = format!("{name}{sign}{version}");
            assert!(hints.contains(&install), "language.rs: {install}");
        }
    }
}

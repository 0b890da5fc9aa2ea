//! `cargo xtask oracle gguf`: what the engine reads of GGUF files against llama.cpp's converter and tests,
//! transformers and the gguf package.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::models;
use crate::process::{cargo, root, run, say};
use crate::{Outcome, fail, python};

const COMMAND: &str = "cargo xtask oracle gguf";
const FILE: &str = "oracle-tuning";

/// Figures, and their units.
const FIGURES: [(&str, &str); 10] = [
    ("gguf.models.total", "models"),
    ("gguf.models.agreed", "models"),
    ("gguf.families.total", "families"),
    ("gguf.families.agreed", "families"),
    ("gguf.logits.max_rel_diff", "relative"),
    ("gguf.vocabularies.total", "vocabularies"),
    ("gguf.vocabularies.texts", "texts"),
    ("gguf.vocabularies.differ", "texts"),
    ("gguf.types.total", "types"),
    ("gguf.types.equal", "types"),
];

/// The command.
pub(super) fn gguf() -> Outcome {
    let folder = root().join("tests/oracles/gguf");
    let python = python::with("gguf", &folder.join("requirements.txt"))?;
    let out = root().join("target/oracle-gguf");
    let sdist = source_package(&python, &folder)?;
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    say("Building the comparison");
    // The whole workspace's features, so that nothing is built twice.
    cargo(&["build", "--workspace", "--example", "oracle_gguf"], &[])?;
    say("Converting models with llama.cpp's converter, computing with transformers");
    let mut command = Command::new(&python);
    run(command
        .arg(folder.join("reference.py"))
        .arg(&out)
        .arg(&sdist))?;
    say("Reading the same with the engine");
    let mut engine = Command::new(root().join("target/debug/examples/oracle_gguf"));
    report(&answer(engine.arg(&out))?)?;
    say("Converting the engine's adapters with llama.cpp's converter");
    let mut command = Command::new(&python);
    command
        .arg(folder.join("reference.py"))
        .arg(&out)
        .arg("adapters");
    adapters(&answer(&mut command)?)
}

/// Runs a program and reads the object that it prints.
fn answer(command: &mut Command) -> Outcome<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        let program = command.get_program().to_string_lossy().into_owned();
        return fail(format!("{program} ended with {}", output.status));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Gets llama_cpp_python's source package with pip, once.
fn source_package(python: &Path, folder: &Path) -> Outcome<PathBuf> {
    let target = root().join("target/python-gguf-source");
    let find = || {
        let entries = std::fs::read_dir(&target).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .into_iter()
            .find(|path| path.extension().is_some_and(|end| end == "gz"))
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    say("Getting llama.cpp's sources with pip");
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "-q", "--disable-pip-version-check"]);
    // Only this package: its build tools come as wheels.
    command.args([
        "--no-deps",
        "--no-binary",
        "llama-cpp-python",
        "--require-hashes",
    ]);
    command
        .arg("-r")
        .arg(folder.join("llama_cpp.txt"))
        .arg("-d")
        .arg(&target);
    run(&mut command)?;
    match find() {
        Some(path) => Ok(path),
        None => fail(format!("{}: pip left no source package", target.display())),
    }
}

fn report(figures: &Value) -> Outcome {
    let number = |name: &str| {
        figures
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    for (name, unit) in FIGURES {
        eprintln!("    {name}: {}", number(name));
        crate::readme::keep(FILE, COMMAND, &[(name.to_owned(), number(name))], unit)?;
    }
    models::keep(FILE, COMMAND, figures)?;
    let all = |part: &str, total: &str| number(part) == number(total) && number(total) > 0.0;
    if !all("gguf.models.agreed", "gguf.models.total") {
        return fail("models of GGUF files differ from transformers");
    }
    if !all("gguf.types.equal", "gguf.types.total") {
        return fail("tensor types differ from the gguf package");
    }
    if number("gguf.vocabularies.texts") == 0.0 || number("gguf.vocabularies.differ") != 0.0 {
        return fail("vocabularies differ from llama.cpp's tests");
    }
    Ok(())
}

/// Keeps how many of the engine's adapters the converter reads, and asks for all of them.
fn adapters(figures: &Value) -> Outcome {
    let number = |name: &str| figures.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let [total, converted] = ["gguf.adapters.total", "gguf.adapters.converted"].map(|name| {
        eprintln!("    {name}: {}", number(name));
        (name.to_owned(), number(name))
    });
    let agree = total.1 > 0.0 && total.1 == converted.1;
    crate::readme::keep(FILE, COMMAND, &[total, converted], "adapters")?;
    match agree {
        true => Ok(()),
        false => fail("llama.cpp's converter makes other adapters of the engine's"),
    }
}

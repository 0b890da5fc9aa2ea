//! `cargo xtask oracle files`: data files of other tools, in every codec and encoding.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{cargo, root, run, say};
use crate::readme::keep;
use crate::{Outcome, fail, python};

const COMMAND: &str = "cargo xtask oracle files";

/// Figures and their units.
const FIGURES: [(&str, &str); 5] = [
    ("files.total", "files"),
    ("files.equal", "files"),
    ("files.wrong", "files"),
    ("fields.total", "fields"),
    ("fields.ignored", "fields"),
];

/// The command.
pub(super) fn files() -> Outcome {
    let folder = root().join("tests/oracles/files");
    let python = python::with("files", &folder.join("requirements.txt"))?;
    let out = root().join("target/oracle-files");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    say("Building the reader");
    // The whole workspace's features, so that nothing is built twice.
    cargo(&["build", "--workspace", "--example", "oracle_files"], &[])?;
    say("Writing files with pyarrow, polars, DuckDB, fastparquet, pandas and datasets");
    run(Command::new(python).arg(folder.join("write.py")).arg(&out))?;
    say("Reading them");
    let read = Command::new(root().join("target/debug/examples/oracle_files"))
        .arg(&out)
        .stderr(Stdio::inherit())
        .output()?;
    if !read.status.success() {
        return fail(format!("oracle_files ended with {}", read.status));
    }
    let answer: Value = serde_json::from_slice(&read.stdout)?;
    let mut values = Vec::new();
    for (name, unit) in FIGURES {
        let Some(value) = answer.get(name).and_then(Value::as_f64) else {
            return fail(format!("oracle_files gives no {name}"));
        };
        eprintln!("    {name:<16} {value}");
        keep("oracle-files", COMMAND, &[(name.to_owned(), value)], unit)?;
        values.push(value);
    }
    let [total, equal, wrong, _, ignored] = values.as_slice() else {
        return fail("figures are missing");
    };
    if equal < total || *wrong > 0.0 || *ignored > 0.0 {
        return fail(format!(
            "{equal} of {total} files gave the rows that were written ({wrong} gave others), and {ignored} \
             fields that change what is learned were passed over"
        ));
    }
    Ok(())
}

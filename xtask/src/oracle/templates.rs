//! `cargo xtask oracle templates`: every chat template of published packages, rendered by the engine and by
//! transformers.

use std::process::Command;

use serde_json::Value;

use crate::process::{cargo, root, run, say};
use crate::{Outcome, fail, python};

const COMMAND: &str = "cargo xtask oracle templates";
const FILE: &str = "oracle-tuning";
/// Fewest templates that say something about all of them.
const FEWEST: f64 = 200.0;

/// The command. With `keep`, the texts that an earlier run made are used again.
pub(super) fn templates(keep: bool) -> Outcome {
    let folder = root().join("tests/oracles/templates");
    let out = root().join("target/oracle-templates");
    let file = out.join("templates.jsonl");
    if !keep || !file.exists() {
        let python = python::with("templates", &folder.join("requirements.txt"))?;
        say("Collecting chat templates and rendering them with transformers");
        run(Command::new(python)
            .arg(folder.join("reference.py"))
            .arg(&out))?;
    }
    say("Rendering them with the engine");
    cargo(
        &["build", "--workspace", "--example", "oracle_templates"],
        &[],
    )?;
    let program = root().join("target/debug/examples/oracle_templates");
    let output = Command::new(program)
        .arg(&file)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return fail(format!("oracle_templates ended with {}", output.status));
    }
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let mut values = Vec::new();
    for (name, unit) in [
        ("templates.total", "templates"),
        ("templates.renderings", "renderings"),
        ("templates.refused", "renderings"),
        ("templates.differ", "renderings"),
    ] {
        let value = figures
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN);
        eprintln!("    {name}: {value}");
        crate::readme::keep(FILE, COMMAND, &[(name.to_owned(), value)], unit)?;
        values.push(value);
    }
    match values.as_slice() {
        [total, .., differ] if *total >= FEWEST && *differ == 0.0 => Ok(()),
        [total, .., differ] => fail(format!(
            "{differ} renderings of {total} templates differ from transformers'; 0 of {FEWEST} or more pass"
        )),
        _ => fail("no figures"),
    }
}

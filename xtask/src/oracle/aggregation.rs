//! `cargo xtask oracle aggregation`: rules and server optimisers beside Flower, ByzFL and short references.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{cargo, commit, root, run, say, target};
use crate::readme::{keep, machine, replace};
use crate::{Outcome, fail, python};

const COMMAND: &str = "cargo xtask oracle aggregation";
const FILE: &str = "oracle-aggregation";

/// Difference below which two rules are one, as a share of the largest value.
const AGREES: f64 = 1e-6;

/// Figures and their units.
const FIGURES: [(&str, &str); 6] = [
    ("rules.total", "rules"),
    ("rules.agreed", "rules"),
    ("cases.total", "cases"),
    ("cases.agreed", "cases"),
    // Of the rule that has the fewest.
    ("cases.random", "inputs of every rule"),
    ("cases.degenerate", "inputs of every rule"),
];

/// The command. With `keep`, the cases that an earlier run wrote are used again.
pub(super) fn aggregation(keep_cases: bool) -> Outcome {
    let folder = root().join("tests/oracles/aggregation");
    let out = target().join("oracle-aggregation");
    let cases = out.join("cases.jsonl");
    if !keep_cases || !cases.exists() {
        let python = python::with("aggregation", &folder.join("requirements.txt"))?;
        say("Aggregating with Flower, ByzFL and the references");
        run(Command::new(python).arg(folder.join("cases.py")).arg(&out))?;
    }
    say("Building the rules");
    // The whole workspace's features, so that nothing is built twice.
    cargo(
        &["build", "--workspace", "--example", "oracle_aggregation"],
        &[],
    )?;
    say("Comparing");
    let output = Command::new(target().join("debug/examples/oracle_aggregation"))
        .arg(&cases)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return fail(format!("oracle_aggregation ended with {}", output.status));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let mut values = Vec::new();
    for (name, unit) in FIGURES {
        let Some(value) = answer.get(name).and_then(Value::as_f64) else {
            return fail(format!("oracle_aggregation gives no {name}"));
        };
        eprintln!("    {name:<16} {value}");
        keep(FILE, COMMAND, &[(name.to_owned(), value)], unit)?;
        values.push(value);
    }
    let apart = answer.get("apart").and_then(Value::as_object);
    let mut figures = Vec::new();
    for (name, one) in apart.into_iter().flatten() {
        let value = one.get("value").and_then(Value::as_f64);
        let value = value.unwrap_or(f64::NAN);
        let there = one.get("there").and_then(Value::as_str);
        eprintln!("    {name:<40} {value:.1e}  {}", there.unwrap_or_default());
        // Below is what rounding leaves.
        let share = if value < AGREES { 0.0 } else { value };
        let figure = json!({
            "name": name, "value": (share * 1e4).round() / 1e4, "unit": "of the largest value", "peer": there,
            "ratio": null, "commit": commit(), "machine": machine(), "command": COMMAND,
        });
        figures.extend(figure.as_object().cloned());
    }
    replace(FILE, figures)?;
    match values.as_slice() {
        [total, agreed, ..] if agreed == total => Ok(()),
        [total, agreed, ..] => fail(format!("{agreed} of {total} rules agree in every case")),
        _ => fail("figures are missing"),
    }
}

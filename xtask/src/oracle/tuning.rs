//! `cargo xtask oracle tuning`: the engine against transformers, peft and torch.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::models;
use crate::process::{cargo, root, run, say};
use crate::{Outcome, fail, marks, python};

const COMMAND: &str = "cargo xtask oracle tuning";
const FILE: &str = "oracle-tuning";

/// Figures that have to keep their [marks], and their units.
const BOUNDED: [(&str, &str); 5] = [
    ("logits.max_abs_diff", "logits"),
    ("lora_step.rel_diff", "relative"),
    ("loss50.rel_diff", "relative"),
    ("adapters.read.max_abs_diff", "logits"),
    ("adapters.write.max_abs_diff", "logits"),
];

/// The command. With `keep`, references that an earlier run made are used again. Random models and adapters
/// come first: they need nothing but Python's packages.
pub(super) fn tuning(keep: bool) -> Outcome {
    let folder = root().join("tests/oracles/tuning");
    let python = python::with("tuning", &folder.join("requirements.txt"))?;
    let out = root().join("target/oracle-tuning");
    let kept = |file: &str| keep && out.join(file).exists();
    let (made, made_real) = (kept("peft.json"), kept("smollm2.json"));
    if out.exists() && !made {
        std::fs::remove_dir_all(&out)?;
    }
    say("Building the comparison");
    let words = [
        "build",
        // The whole workspace's features, so that nothing is built twice.
        "--workspace",
        "--example",
        "oracle_tuning",
    ];
    cargo(&words, &[])?;
    let script = folder.join("reference.py");
    let make = |what: &[&Path]| run(Command::new(&python).arg(&script).args(what));
    if !made {
        say("Computing references of every family and adapter with transformers, peft and torch");
        make(&[Path::new("families"), &out])?;
    }
    say("Computing the same with the engine");
    let mut figures = answer(engine().arg("families").arg(&out))?;
    join(
        &mut figures,
        answer(Command::new(&python).arg(&script).arg("check").arg(&out))?,
    );
    let tiny = families(&figures);
    let model = root().join("models/smollm2");
    if !model.is_dir() {
        tiny?;
        return fail(format!(
            "{} is not there: `fedseal fetch smollm2` gets the model",
            model.display()
        ));
    }
    if !made_real {
        say("Computing references of the real model");
        make(&[Path::new("smollm2"), &out, &model])?;
    }
    join(
        &mut figures,
        answer(engine().arg("smollm2").arg(&out).arg(&model))?,
    );
    let number = |name: &str| {
        figures
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    let (real, random) = (
        number("logits.smollm2.max_abs_diff"),
        number("logits.tiny.max_abs_diff"),
    );
    // NaN must not count as no difference.
    let both = if real >= random { real } else { random };
    let both = if real.is_nan() { real } else { both };
    join(&mut figures, json!({ "logits.max_abs_diff": both }));
    say("Twenty steps with every kernel, with 1 thread and with 2");
    let (equal, kernels) = digests(&model)?;
    tiny?;
    report(&figures, equal, kernels)
}

fn join(figures: &mut Value, more: Value) {
    if let (Value::Object(all), Value::Object(more)) = (figures, more) {
        all.extend(more);
    }
}

/// Keeps the figures of random models and adapters, and asks that all of them agree.
fn families(figures: &Value) -> Outcome {
    models::keep(FILE, COMMAND, figures)?;
    for (name, unit) in [
        ("families.total", "families"),
        ("families.agreed", "families"),
        ("adapters.loaded", "kinds"),
        ("adapters.refused", "kinds"),
        ("adapters.wrong", "kinds"),
        ("adapters.read.max_abs_diff", "logits"),
        ("adapters.write.max_abs_diff", "logits"),
    ] {
        if let Some(value) = figures.get(name).and_then(Value::as_f64) {
            self::keep(name, value, unit)?;
        }
    }
    let number = |name: &str| {
        figures
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    let mut failures = Vec::new();
    if number("families.agreed") != number("families.total") {
        failures.push("not every family agrees with transformers");
    }
    // NaN is no number of wrong ones either.
    if number("adapters.wrong") != 0.0 {
        failures.push("an adapter was loaded with other numbers than peft's, or refused by no key");
    }
    match failures.as_slice() {
        [] => Ok(()),
        failures => fail(failures.join("\n       ")),
    }
}

fn engine() -> Command {
    let mut command = Command::new(root().join("target/debug/examples/oracle_tuning"));
    command.current_dir(root());
    command
}

/// Runs a program and reads the JSON object that it prints.
fn answer(command: &mut Command) -> Outcome<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        let program = command.get_program().to_string_lossy().into_owned();
        return fail(format!("{program} ended with {}", output.status));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Whether all runs gave one digest, and how many kernels this machine has.
fn digests(model: &Path) -> Outcome<(bool, usize)> {
    let mut seen = Vec::new();
    let mut kernels = 0;
    for (kernel, threads) in [
        ("avx512", "1"),
        ("avx512", "2"),
        ("avx2", "1"),
        ("portable", "2"),
    ] {
        let mut command = engine();
        command
            .arg("digest")
            .arg(model)
            .arg(threads)
            .env("FEDSEAL_KERNEL", kernel);
        let answer = answer(&mut command)?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("kernel") != kernel {
            eprintln!("    {kernel}: not on this machine");
            continue;
        }
        let digest = text("digest").to_owned();
        eprintln!("    {kernel}, {threads} thread(s): {digest}");
        kernels += usize::from(threads == "1" || kernel == "portable");
        seen.push(digest);
    }
    // A machine without AVX-512 still compares threads through the kernels that it has.
    let equal = seen.len() > 1 && seen.windows(2).all(|pair| pair[0] == pair[1]);
    Ok((equal, kernels))
}

fn report(figures: &Value, equal: bool, kernels: usize) -> Outcome {
    let number = |name: &str| figures.get(name).and_then(Value::as_f64);
    let mut failures = Vec::new();
    for (name, unit) in BOUNDED {
        let Some(bound) = marks::most(name) else {
            return fail(format!("{name} has no mark from above"));
        };
        let value = number(name).unwrap_or(f64::NAN);
        eprintln!("    {name}: {value:.2e}, at most {bound:.0e}");
        if value.is_nan() || value > bound {
            failures.push(format!("{name} is {value:.2e}, at most {bound:.0e} passes"));
        }
        keep(name, value, unit)?;
    }
    for name in [
        "lora_step.epsilon_1e-8.rel_diff",
        "lora_step.epsilon_1e-8.f64.rel_diff",
        "lora_step.epsilon_1e-8.f64.torch.rel_diff",
    ] {
        let value = number(name).unwrap_or(f64::NAN);
        eprintln!("    {name}: {value:.2e}, no bound");
        keep(name, value, "relative")?;
    }
    let (same, all) = (number("greedy.equal_tokens"), number("greedy.tokens"));
    eprintln!("    greedy.equal_tokens: {same:?} of {all:?}");
    if same.is_none() || same != all {
        failures.push(format!("{same:?} of {all:?} greedy tokens are equal"));
    }
    keep("greedy.equal_tokens", same.unwrap_or(0.0), "tokens")?;
    keep("greedy.tokens", all.unwrap_or(0.0), "tokens")?;
    eprintln!("    exact.digests_equal: {equal} over {kernels} kernels");
    if !equal {
        failures.push("the kernels gave different digests".to_owned());
    }
    keep("exact.digests_equal", f64::from(u8::from(equal)), "boolean")?;
    keep("exact.kernels", kernels as f64, "kernels")?;
    if failures.is_empty() {
        return Ok(());
    }
    fail(failures.join("\n       "))
}

fn keep(name: &str, value: f64, unit: &str) -> Outcome {
    crate::readme::keep(FILE, COMMAND, &[(name.to_owned(), value)], unit)
}

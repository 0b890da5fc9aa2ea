//! `cargo xtask bench sandbox`: the example `bench_sandbox` measures, here its lines become figures.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Figure, write};
use crate::process::{cargo, root, run, say};
use crate::{Outcome, build, fail};

/// Parts that can be measured alone.
const PARTS: [&str; 5] = ["sandbox", "sha256", "clients", "round", "log"];

/// `[--rounds N] [--entries N] [PART...]`: words of the example, and whether the figures count.
fn read(arguments: &[String]) -> Outcome<(Vec<String>, bool)> {
    let mut counts = true;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" | "--entries" => {
                let number = words.next().and_then(|word| word.parse::<u64>().ok());
                let Some(number) = number.filter(|number| *number > 0) else {
                    return fail(format!("{word} needs a number above 0"));
                };
                let least = if word == "--rounds" { 5 } else { 10_000_000 };
                counts &= number >= least;
            }
            part if PARTS.contains(&part) => {}
            other => {
                let parts = PARTS.join(", ");
                return fail(format!(
                    "unknown word {other:?}; known: --rounds N, --entries N, {parts}"
                ));
            }
        }
    }
    Ok((arguments.to_vec(), counts))
}

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let (words, counts) = read(arguments)?;
    say("Building the bench");
    cargo(
        &[
            "build",
            "--workspace",
            "--bin",
            "fedseal",
            "--bin",
            "fedseal-compile",
            "--example",
            "bench_sandbox",
        ],
        &[],
    )?;
    if !words.iter().any(|word| PARTS.contains(&word.as_str()))
        || words.iter().any(|w| w == "round")
    {
        run(build::fedseal().args(["fetch", "smollm2"]))?;
    }
    say("Measuring");
    let mut child = Command::new(example()?)
        .args(&words)
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut figures = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let figure = figure(&line?)?;
            eprintln!("    {figure}");
            figures.push(figure);
        }
    }
    if !child.wait()?.success() {
        return fail("the bench ended with an error, see above");
    }
    if !counts {
        eprintln!("    fewer rounds or entries than count: target/figures is left as it is");
        return Ok(());
    }
    write("sandbox", &figures)
}

/// `{"name":...,"value":...,"unit":...}`, where there is one with `peer` and `ratio`.
fn figure(line: &str) -> Outcome<Figure> {
    let value: Value = serde_json::from_str(line)?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    match (text("name"), number("value"), text("unit")) {
        (Some(name), Some(value), Some(unit)) => Ok(Figure {
            name,
            value,
            unit,
            peer: text("peer"),
            ratio: number("ratio"),
        }),
        _ => fail(format!("the bench printed {line:?}, which is no figure")),
    }
}

fn example() -> Outcome<PathBuf> {
    let fedseal = PathBuf::from(build::fedseal().get_program());
    match fedseal
        .parent()
        .map(|folder| folder.join("examples/bench_sandbox"))
    {
        Some(path) if path.exists() => Ok(path),
        _ => fail("the example bench_sandbox was not built"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lines() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(read(&words("log --rounds 7")).unwrap().1);
        assert!(!read(&words("--rounds 4")).unwrap().1);
        assert!(!read(&words("--entries 100 log")).unwrap().1);
        for bad in ["--rounds", "--rounds 0", "logs"] {
            assert!(read(&words(bad)).is_err(), "{bad}");
        }
        let line = r#"{"name":"a","value":2.5,"unit":"s","peer":"b 1","ratio":2.0}"#;
        let figure = figure(line).unwrap();
        assert_eq!((figure.value, figure.ratio), (2.5, Some(2.0)));
        assert!(super::figure(r#"{"name":"a","value":null,"unit":"s"}"#).is_err());
    }
}

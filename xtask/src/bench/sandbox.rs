//! `cargo xtask bench sandbox`: the example `bench_sandbox` measures, here its lines become figures.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Figure, write};
use crate::process::{cargo, cargo_command, output, root, run, say};
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
    if let Some((first, rest)) = arguments.split_first()
        && first == "--against"
    {
        return against(rest);
    }
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
    write("bench-sandbox", "sandbox", &figures)
}

/// The other side in a figure: a revision's name, or that of the checkout that a file lies in.
fn label(other: &str) -> String {
    let path = Path::new(other);
    let folder = path.parent().filter(|_| path.is_file());
    let revision = folder.and_then(|folder| {
        let folder = folder.display().to_string();
        output("git", &["-C", &folder, "rev-parse", "--short=7", "HEAD"])
    });
    match revision {
        Some(revision) => revision.trim().to_owned(),
        None => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    }
}

/// `--against REV|FILE [PAIRS]`: today's guests and client runs beside those of a revision, or of a
/// bench_sandbox that was built before, in turn. A ratio is today's speed over the other's, the median over
/// the pairs.
fn against(words: &[String]) -> Outcome {
    let Some((other, rest)) = words.split_first() else {
        return fail("--against needs a revision, or a bench_sandbox that was built before");
    };
    let pairs: usize = match rest {
        [] => 20,
        [pairs] => pairs
            .parse()
            .ok()
            .filter(|pairs| *pairs > 0)
            .ok_or_else(|| crate::Failure("the number of pairs is above 0".to_owned()))?,
        _ => return fail("after --against: a revision or file, and a number of pairs"),
    };
    let before = match PathBuf::from(other) {
        path if path.is_file() => path,
        _ => revision(other)?,
    };
    say("Building the bench");
    let mut build = vec![
        "build",
        "--workspace",
        "--bins",
        "--example",
        "bench_sandbox",
    ];
    build.extend(build::features());
    cargo(&build, &[])?;
    let now = example()?;
    let label = label(other);
    say("Measuring in turn");
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in 0..pairs {
        let mut sides = [&before, &now];
        if pair % 2 == 1 {
            sides.reverse();
        }
        let mut both = [measured(sides[0])?, measured(sides[1])?];
        if pair % 2 == 1 {
            both.reverse();
        }
        let [before, now] = both;
        for (name, (unit, value)) in &now {
            if let Some((_, earlier)) = before.get(name) {
                let ratio = if unit == "1/s" {
                    value / earlier
                } else {
                    earlier / value
                };
                ratios.entry(name.clone()).or_default().push(ratio);
            }
        }
    }
    let figures: Vec<Figure> = ratios
        .into_iter()
        .map(|(name, mut all)| {
            all.sort_by(f64::total_cmp);
            let ratio = all.get(all.len() / 2).copied().unwrap_or_default();
            Figure {
                name: format!("kept.{name}"),
                value: ratio,
                unit: "x".to_owned(),
                peer: Some(format!("{label}, {pairs} pairs")),
                ratio: Some(ratio),
            }
        })
        .collect();
    for figure in &figures {
        eprintln!("    {figure}");
    }
    write("bench-sandbox-kept", "sandbox-kept", &figures)
}

/// Builds a revision's bench in a clone below target.
fn revision(name: &str) -> Outcome<PathBuf> {
    let clone = root().join("target/bench-against").join(name);
    let built = clone.join("target/debug/examples/bench_sandbox");
    if built.is_file() {
        return Ok(built);
    }
    say(&format!("Building the bench of {name}"));
    if !clone.exists() {
        run(Command::new("git")
            .args(["clone", "--quiet"])
            .arg(root())
            .arg(&clone))?;
    }
    run(Command::new("git")
        .args(["checkout", "--quiet", "--detach", name])
        .current_dir(&clone))?;
    run(cargo_command()
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--example",
            "bench_sandbox",
        ])
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&clone))?;
    Ok(built)
}

/// Unit and value of each figure of a bench's guests and client runs.
fn measured(program: &Path) -> Outcome<BTreeMap<String, (String, f64)>> {
    let mut figures = BTreeMap::new();
    for part in ["sandbox", "clients"] {
        // Memory over a million guests comes last and is not compared.
        let mut child = Command::new(program)
            .args(["--rounds", "3", part])
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()?;
        let Some(stdout) = child.stdout.take() else {
            return fail("the bench has no output");
        };
        for line in BufReader::new(stdout).lines() {
            let figure = figure(&line?)?;
            let last = figure.name == "hostcall.handle_ns";
            figures.insert(figure.name, (figure.unit, figure.value));
            if last {
                let _ = child.kill();
                break;
            }
        }
        let _ = child.wait();
    }
    Ok(figures)
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

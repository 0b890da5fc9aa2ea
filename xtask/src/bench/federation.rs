//! `cargo xtask bench federation [kills|clients|idle|workers] [--kills N] [--rounds N]`: nodes and a coordinator that
//! are killed ([`kills`]), a thousand clients beside pfl ([`clients`]), nodes that wait ([`idle`]), workers of a queue
//! beside the local pool ([`workers`]). Without a name: all of them.

mod clients;
mod idle;
mod kills;
mod workers;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{Figure, write};
use crate::process::{cargo_command, root, say};
use crate::{Outcome, build, fail};

/// Kills without an option.
const KILLS: u32 = 100;

/// Parts that are measured, and how often.
#[derive(Debug, PartialEq)]
struct Asked {
    part: Option<String>,
    kills: u32,
    rounds: usize,
}

impl Asked {
    fn read(arguments: &[String]) -> Outcome<Asked> {
        let mut asked = Asked {
            part: None,
            kills: KILLS,
            rounds: 3,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = |most: u32| {
                let number = words.next().and_then(|word| word.parse::<u32>().ok());
                let number = number.filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| {
                    crate::Failure(format!("{word} needs a number from 1 to {most}"))
                })
            };
            match word.as_str() {
                "--kills" => asked.kills = number(200)?,
                "--rounds" => asked.rounds = number(100)? as usize,
                "kills" | "clients" | "idle" | "workers" => asked.part = Some(word.clone()),
                _ => return fail("known: kills, clients, idle, workers, --kills N, --rounds N"),
            }
        }
        Ok(asked)
    }
}

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let asked = Asked::read(arguments)?;
    let wants = |part: &str| asked.part.as_deref().is_none_or(|only| only == part);
    // Every part runs the program or its policies.
    build::everything()?;
    // Each counts when it is done, whatever becomes of those after it.
    if wants("kills") {
        done(kills::figures(asked.kills)?)?;
    }
    if wants("clients") {
        done(clients::figures(asked.rounds)?)?;
        done(clients::trained()?)?;
    }
    if wants("idle") {
        done(idle::figures()?)?;
    }
    if wants("workers") {
        done(workers::figures(asked.rounds)?)?;
    }
    Ok(())
}

fn done(figures: Vec<Figure>) -> Outcome {
    say("Results");
    for figure in &figures {
        eprintln!("    {figure}");
    }
    write("federation", "federation", &figures)
}

fn figure(name: &str, value: f64, unit: &str) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        peer: None,
        ratio: None,
    }
}

/// Runs a test of the whole with an environment; what it says it measured, in the line that begins with `label`.
/// The rest is shown as it comes.
fn tested(test: &str, label: &str, environment: &[(&str, &str)]) -> Outcome<Measured> {
    let mut command = cargo_command();
    command
        .args(["test", "--workspace", "--test", "lend"])
        .args(build::features())
        .args([test, "--", "--nocapture"])
        .envs(environment.iter().copied())
        .current_dir(root())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut measured = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            measured = Measured::of(&line, label).or(measured);
            eprintln!("    {line}");
        }
    }
    match (child.wait()?.success(), measured) {
        (true, Some(measured)) => Ok(measured),
        (true, None) => fail(format!(
            "the test {test} did not say what it measured: was it left out?"
        )),
        (false, _) => fail(format!("the test {test} failed, see above")),
    }
}

/// Numbers of a line `LABEL: NAME NUMBER, NAME NUMBER`.
#[derive(Debug)]
struct Measured(String);

impl Measured {
    fn of(line: &str, label: &str) -> Option<Measured> {
        // The name of the test may stand before it.
        let (_, rest) = line.split_once(&format!("{label}: "))?;
        rest.contains(' ').then(|| Measured(rest.to_owned()))
    }

    /// The number of a name.
    fn number(&self, name: &str) -> Outcome<f64> {
        let mut parts = self.0.split(", ");
        let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix(' '));
        match found.and_then(|text| text.trim().parse::<f64>().ok()) {
            Some(number) => Ok(number),
            None => fail(format!("the test did not say {name}: {}", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let read =
            |text: &str| Asked::read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let asked = read("clients --rounds 5").unwrap();
        assert_eq!((asked.part.as_deref(), asked.rounds), (Some("clients"), 5));
        assert_eq!(Asked::read(&[]).unwrap().kills, KILLS);
        assert_eq!(read("--kills 20").unwrap().kills, 20);
        for bad in ["--kills", "--kills 201", "--rounds 0", "node"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_is_read_by_its_names() {
        let line = "test idle::a ... idle: nodes 2000, rss_mb 61.5, core_share 0.0312";
        let measured = Measured::of(line, "idle").unwrap();
        assert_eq!(measured.number("nodes").unwrap(), 2000.0);
        assert_eq!(measured.number("core_share").unwrap(), 0.0312);
        assert!(measured.number("rss").is_err() && measured.number("told").is_err());
        assert!(Measured::of("test idle::a ... ok", "idle").is_none());
    }
}

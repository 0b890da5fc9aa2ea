//! `cargo xtask bench federation [kills|clients|idle|workers] [--kills N] [--rounds N]`: nodes and a coordinator that
//! are killed ([`kills`]), a thousand clients beside pfl ([`clients`]), nodes that wait ([`idle`]), workers of a queue
//! beside the local pool ([`workers`]). Without a name: all of them.

mod clients;
mod idle;
mod kills;
mod workers;

use std::process::Command;

use super::{Figure, write};
use crate::process::{root, say};
use crate::{Outcome, fail};

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
    // Each counts when it is done, whatever becomes of those after it.
    if wants("kills") {
        done(kills::figures(asked.kills)?)?;
    }
    if wants("clients") {
        done(clients::figures(asked.rounds)?)?;
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

/// Runs a test of the whole with an environment; what it says it measured.
fn tested<T>(
    test: &str,
    environment: &[(&str, &str)],
    read: impl Fn(&str) -> Option<T>,
) -> Outcome<T> {
    let ran = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["test", "--quiet", "--workspace", "--test", "lend"])
        .args([test, "--", "--nocapture"])
        .envs(environment.iter().copied())
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    match said.lines().find_map(read) {
        Some(read) if ran.status.success() => Ok(read),
        _ => fail(format!(
            "the test did not say what it measured:\n{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        )),
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
}

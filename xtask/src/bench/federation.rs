//! `cargo xtask bench federation [--kills N]`: three nodes and a coordinator as processes over loopback, and a run
//! whose jobs two workers do over NATS.
//!
//! - `same_bits.nodes`, `same_bits.workers`: 1 where every arm's final adapter has the digest that one process gives.
//! - `kills.survived`, `kills.total`: kill -9 spread over nodes and coordinator, and over workers, the queue's server
//!   and the run itself, each started again; survived where the digests are the same in the end, each update is there
//!   once, and the run verifies.
//! - `leaks.found`: rows of shards found among all bytes that nodes sent, and in the coordinator's files.
//!
//! The tests of the whole do it, and say what they counted when all of it held.

use std::process::Command;

use super::{Figure, write};
use crate::oracle::engines::Engines;
use crate::process::{root, say};
use crate::{Outcome, fail};

/// The tests: of nodes, and of a queue.
const NODES: &str = "nodes_give_the_bits_of_one_process_whoever_is_killed";
const QUEUE: &str = "workers_of_a_queue_do_a_run_and_one_is_killed";
/// Kills without an option: at two or three seconds each, some minutes.
const KILLS: u32 = 100;
/// Parts of ten that the federation gets.
const OF_NODES: u32 = 6;

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let kills = match arguments {
        [] => KILLS,
        [word, number] if word == "--kills" => match number.parse::<u32>() {
            Ok(number) if number <= 200 => number,
            _ => return fail("--kills needs a number up to 200"),
        },
        _ => return fail("known: --kills N"),
    };
    let Some(python) = Engines::install()? else {
        return fail("no pip: on Debian `apt-get install python3-pip python3-venv`");
    };
    let engines = Engines::build(python)?;
    let of_nodes = kills * OF_NODES / 10;
    say("Three nodes and a coordinator, killed in turn");
    let said = tested(NODES, of_nodes, &engines)?;
    let [bits, survived, total, leaks] = said.as_slice() else {
        return fail(format!("{NODES} counted {said:?}"));
    };
    say("Two workers, the queue's server and the run, killed in turn");
    let queue = tested(QUEUE, kills - of_nodes, &engines)?;
    let [same, lived, all] = queue.as_slice() else {
        return fail(format!("{QUEUE} counted {queue:?}"));
    };
    let figure = |name: &str, value: f64, unit: &str| Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        peer: None,
        ratio: None,
    };
    let figures = [
        figure("same_bits.nodes", *bits, "of 1"),
        figure("same_bits.workers", *same, "of 1"),
        figure("kills.survived", survived + lived, "kills"),
        figure("kills.total", total + all, "kills"),
        figure("leaks.found", *leaks, "rows"),
    ];
    say("Results");
    for figure in &figures {
        eprintln!("    {figure}");
    }
    write("federation", "federation", &figures)
}

/// Runs a test with so many kills beside its own; gives the numbers that it said.
fn tested(test: &str, kills: u32, engines: &Engines) -> Outcome<Vec<f64>> {
    let ran = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["test", "--quiet", "--workspace", "--test", "lend"])
        .args([test, "--", "--nocapture"])
        .env("FEDSEAL_KILLS", kills.to_string())
        .envs(engines.environment())
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    match said
        .lines()
        .find_map(counted)
        .filter(|_| ran.status.success())
    {
        Some(numbers) => Ok(numbers),
        None => fail(format!(
            "{test} did not say what it counted:\n{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        )),
    }
}

/// Numbers of `WHAT: bits B, kills S of T`, and of `, leaks L` after it.
fn counted(line: &str) -> Option<Vec<f64>> {
    let (_, rest) = line.split_once(": bits ")?;
    let words = rest.split([' ', ',']);
    let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
    (numbers.len() > 2).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn what_a_test_counted_is_read() {
        let nodes = counted("federation: bits 1, kills 61 of 62, leaks 0");
        assert_eq!(nodes, Some(vec![1.0, 61.0, 62.0, 0.0]));
        let queue = counted("queue: bits 1, kills 41 of 41");
        assert_eq!(queue, Some(vec![1.0, 41.0, 41.0]));
        assert_eq!(counted("test a ... ok"), None);
    }
}

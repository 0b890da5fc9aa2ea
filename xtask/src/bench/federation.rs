//! `cargo xtask bench federation [--kills N]`: three nodes and a coordinator as processes over loopback.
//!
//! - `same_bits.nodes`: 1 where every arm's final adapter has the digest that one process gives.
//! - `kills.survived`, `kills.total`: kill -9 spread over nodes and coordinator, each started again; survived where
//!   the digests are the same in the end, each update is there once, and the run verifies.
//! - `leaks.found`: rows of shards found among all bytes that nodes sent, and in the coordinator's files.
//!
//! The test of the whole does it, and says what it counted when all of it held.

use std::process::Command;

use super::{Figure, write};
use crate::process::{root, say};
use crate::{Outcome, fail};

/// The test.
const TEST: &str = "nodes_give_the_bits_of_one_process_whoever_is_killed";

pub(super) fn bench(arguments: &[String]) -> Outcome {
    let kills = match arguments {
        [] => 20,
        [word, number] if word == "--kills" => match number.parse::<u32>() {
            Ok(number) if number <= 200 => number,
            _ => return fail("--kills needs a number up to 200"),
        },
        _ => return fail("known: --kills N"),
    };
    say("Three nodes and a coordinator, killed in turn");
    let ran = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["test", "--quiet", "--package", "fedseal", "--test", "lend"])
        .args([TEST, "--", "--nocapture"])
        .env("FEDSEAL_KILLS", kills.to_string())
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let Some((bits, survived, total, leaks)) = said.lines().find_map(counted) else {
        return fail(format!(
            "the test did not say what it counted:\n{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        ));
    };
    let figure = |name: &str, value: f64, unit: &str| Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        peer: None,
        ratio: None,
    };
    let figures = [
        figure("same_bits.nodes", bits, "of 1"),
        figure("kills.survived", survived, "kills"),
        figure("kills.total", total, "kills"),
        figure("leaks.found", leaks, "rows"),
    ];
    say("Results");
    for figure in &figures {
        eprintln!("    {figure}");
    }
    write("federation", "federation", &figures)
}

/// Numbers of `federation: bits B, kills S of T, leaks L`.
fn counted(line: &str) -> Option<(f64, f64, f64, f64)> {
    let (_, rest) = line.split_once("federation: bits ")?;
    let (bits, rest) = rest.split_once(", kills ")?;
    let (survived, rest) = rest.split_once(" of ")?;
    let (total, leaks) = rest.split_once(", leaks ")?;
    let number = |text: &str| text.trim().parse::<f64>().ok();
    Some((
        number(bits)?,
        number(survived)?,
        number(total)?,
        number(leaks)?,
    ))
}

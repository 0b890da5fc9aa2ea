//! Three nodes and a coordinator as processes over loopback, killed in turn.
//!
//! - `same_bits.nodes`: 1 where every arm's final adapter has the digest that one process gives.
//! - `kills.survived`, `kills.total`: kill -9 spread over nodes and coordinator, each started again; survived where
//!   the digests are the same in the end, each update is there once, and the run verifies.
//! - `leaks.found`: rows of shards found among all bytes that nodes sent, and in the coordinator's files.
//!
//! The test of the whole does it, and says what it counted when all of it held.

use super::{Figure, figure, tested};
use crate::Outcome;
use crate::process::say;

/// The test.
const TEST: &str = "nodes_give_the_bits_of_one_process_whoever_is_killed";

pub(super) fn figures(kills: u32) -> Outcome<Vec<Figure>> {
    say("Three nodes and a coordinator, killed in turn");
    let environment = ("FEDSEAL_KILLS", kills.to_string());
    let (bits, survived, total, leaks) = tested(TEST, environment, counted)?;
    Ok(vec![
        figure("same_bits.nodes", bits, "of 1"),
        figure("kills.survived", survived, "kills"),
        figure("kills.total", total, "kills"),
        figure("leaks.found", leaks, "rows"),
    ])
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

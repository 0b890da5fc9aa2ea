//! Nodes that wait for work: memory of the coordinator, and its share of a core.
//!
//! The test of the whole opens a connection for each and asks as a node does; the others have enrolled and are away.

use super::{Figure, figure, tested};
use crate::Outcome;
use crate::process::say;

/// The test.
const TEST: &str = "waiting_nodes_cost_little_and_hear_at_once";
/// Nodes that wait, nodes that enrolled, and seconds of the measurement.
const SIZES: &str = "2000,10000,60";

pub(super) fn figures() -> Outcome<Vec<Figure>> {
    say(&format!(
        "Nodes that wait, that enrolled, and seconds: {SIZES}"
    ));
    let measured = tested(TEST, "idle", &[("FEDSEAL_IDLE", SIZES)])?;
    let of = |name: &str, said: &str, unit: &str| -> Outcome<Figure> {
        Ok(figure(name, measured.number(said)?, unit))
    };
    Ok(vec![
        of("idle_nodes.count", "nodes", "nodes")?,
        of("idle_nodes.enrolled", "enrolled", "nodes")?,
        of("idle_nodes.rss_mb", "rss_mb", "MiB")?,
        of("idle_nodes.core_share", "core_share", "of a core")?,
        of("idle_nodes.told_seconds", "told_seconds", "s")?,
    ])
}

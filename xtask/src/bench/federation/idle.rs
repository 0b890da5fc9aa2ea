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
    let (nodes, rss, share, told) = tested(TEST, &[("FEDSEAL_IDLE", SIZES)], measured)?;
    Ok(vec![
        figure("idle_nodes.count", nodes, "nodes"),
        figure("idle_nodes.rss_mb", rss, "MiB"),
        figure("idle_nodes.core_share", share, "of a core"),
        figure("idle_nodes.told_seconds", told, "s"),
    ])
}

/// Numbers of `idle: nodes N, enrolled M, rss_mb R, core_share C, told_seconds T`.
fn measured(line: &str) -> Option<(f64, f64, f64, f64)> {
    let (_, rest) = line.split_once("idle: ")?;
    let number = |name: &str| {
        let mut parts = rest.split(", ");
        let part = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix(' '));
        part?.trim().parse::<f64>().ok()
    };
    Some((
        number("nodes")?,
        number("rss_mb")?,
        number("core_share")?,
        number("told_seconds")?,
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_read_by_its_names() {
        let line =
            "idle: nodes 2000, enrolled 10000, rss_mb 61.5, core_share 0.0312, told_seconds 0.40";
        assert_eq!(super::measured(line), Some((2000.0, 61.5, 0.0312, 0.4)));
        assert_eq!(super::measured("idle: nodes 2000"), None);
    }
}

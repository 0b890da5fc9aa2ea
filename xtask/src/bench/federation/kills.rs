//! Three nodes and a coordinator as processes over loopback, killed in turn; then a run whose jobs two workers do over
//! NATS, with the workers, the queue's server and the run itself killed in turn.
//!
//! - `same_bits.nodes`, `same_bits.workers`: 1 where every arm's final adapter has the digest that one process gives.
//! - `kills.survived`, `kills.total`: kill -9, each process started again; survived where the digests are the same in
//!   the end, each update is there once, the log is whole, and the run verifies. `kills.WHO`: those of them.
//! - `leaks.found`: rows of shards found among all bytes that nodes sent, and in the coordinator's files.
//!
//! The tests of the whole do it, and say what they counted when all of it held. A federation that is over before all
//! kills were made has fewer of them.

use super::{Figure, Measured, figure, tested};
use crate::Outcome;
use crate::oracle::engines::Engines;
use crate::process::say;

/// A test, and what it says it counted beside the kills.
struct Part {
    test: &'static str,
    /// Beginning of the line that says so.
    label: &'static str,
    /// Figure, the test's word for it, unit.
    numbers: &'static [(&'static str, &'static str, &'static str)],
}

const NODES: Part = Part {
    test: "nodes_give_the_bits_of_one_process_whoever_is_killed",
    label: "federation",
    numbers: &[
        ("same_bits.nodes", "bits", "of 1"),
        ("kills.coordinator", "coordinator", "kills"),
        ("kills.nodes", "nodes", "kills"),
        ("leaks.found", "leaks", "rows"),
    ],
};
const QUEUE: Part = Part {
    test: "workers_of_a_queue_do_a_run_and_one_is_killed",
    label: "queue",
    numbers: &[
        ("same_bits.workers", "bits", "of 1"),
        ("kills.workers", "workers", "kills"),
        ("kills.queue_server", "server", "kills"),
        ("kills.run", "run", "kills"),
    ],
};
/// Parts of ten that nodes and coordinator get.
const OF_NODES: u32 = 6;

impl Part {
    fn measured(&self, kills: u32, places: &[(&str, &str)]) -> Outcome<Measured> {
        let kills = kills.to_string();
        let mut environment = vec![("FEDSEAL_KILLS", kills.as_str())];
        environment.extend(places);
        tested(self.test, self.label, &environment)
    }
}

pub(super) fn figures(kills: u32) -> Outcome<Vec<Figure>> {
    let engines = Engines::install()?.map(Engines::build).transpose()?;
    let of_nodes = match engines {
        Some(_) => kills * OF_NODES / 10,
        None => kills,
    };
    say(&format!(
        "Three nodes and a coordinator, killed in turn: {of_nodes} times beside the test's own"
    ));
    let mut parts = vec![(&NODES, NODES.measured(of_nodes, &[])?)];
    match &engines {
        Some(engines) => {
            let rest = kills - of_nodes;
            say(&format!(
                "Two workers, the queue's server and the run, killed in turn: {rest} times beside the test's own"
            ));
            parts.push((&QUEUE, QUEUE.measured(rest, &engines.environment())?));
        }
        None => eprintln!(
            "    LEFT OUT: workers of a queue: no pip; on Debian `apt-get install python3-pip python3-venv`"
        ),
    }
    counted(&parts)
}

fn counted(parts: &[(&Part, Measured)]) -> Outcome<Vec<Figure>> {
    let (mut survived, mut total) = (0.0, 0.0);
    let mut figures = Vec::new();
    for (part, measured) in parts {
        survived += measured.number("survived")?;
        total += measured.number("kills")?;
        for (name, said, unit) in part.numbers {
            figures.push(figure(name, measured.number(said)?, unit));
        }
    }
    figures.push(figure("kills.survived", survived, "kills"));
    figures.push(figure("kills.total", total, "kills"));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_both_tests_are_added_up() {
        let nodes = "federation: bits 1, survived 62, kills 62, coordinator 15, nodes 47, leaks 0";
        let queue = "queue: bits 1, survived 41, kills 41, workers 21, server 10, run 10";
        let parts = [
            (&NODES, Measured::of(nodes, NODES.label).unwrap()),
            (&QUEUE, Measured::of(queue, QUEUE.label).unwrap()),
        ];
        let figures = counted(&parts).unwrap();
        let value = |name: &str| {
            let found = figures.iter().find(|figure| figure.name == name);
            found.map(|figure| figure.value)
        };
        assert_eq!(value("kills.total"), Some(103.0));
        assert_eq!(value("kills.survived"), Some(103.0));
        assert_eq!(value("kills.queue_server"), Some(10.0));
        assert_eq!(value("leaks.found"), Some(0.0));
        let alone = counted(&parts[..1]).unwrap();
        assert!(alone.iter().all(|it| it.name != "same_bits.workers"));
    }
}

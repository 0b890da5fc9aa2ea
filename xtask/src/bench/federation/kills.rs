//! Three nodes and a coordinator as processes over loopback, killed in turn; then a run whose jobs two workers do over
//! NATS, with the workers, the queue's server and the run itself killed in turn.
//!
//! - `same_bits.nodes`, `same_bits.workers`: 1 where every arm's final adapter has the digest that one process gives.
//! - `kills.survived`, `kills.total`: kill -9, each process started again; survived where the digests are the same in
//!   the end, each update is there once, and the run verifies.
//! - `leaks.found`: rows of shards found among all bytes that nodes sent, and in the coordinator's files.
//!
//! The tests of the whole do it, and say what they counted when all of it held.

use super::{Figure, figure, tested};
use crate::oracle::engines::Engines;
use crate::process::say;
use crate::{Outcome, fail};

/// The tests: of nodes, and of a queue.
const NODES: &str = "nodes_give_the_bits_of_one_process_whoever_is_killed";
const QUEUE: &str = "workers_of_a_queue_do_a_run_and_one_is_killed";
/// Parts of ten that nodes and coordinator get.
const OF_NODES: u32 = 6;

pub(super) fn figures(kills: u32) -> Outcome<Vec<Figure>> {
    let Some(python) = Engines::install()? else {
        return fail("no pip: on Debian `apt-get install python3-pip python3-venv`");
    };
    let engines = Engines::build(python)?;
    let of_nodes = kills * OF_NODES / 10;
    let with = |test: &str, kills: u32| {
        let kills = kills.to_string();
        let mut environment = vec![("FEDSEAL_KILLS", kills.as_str())];
        environment.extend(engines.environment());
        tested(test, &environment, counted)
    };
    say("Three nodes and a coordinator, killed in turn");
    let nodes = with(NODES, of_nodes)?;
    say("Two workers, the queue's server and the run, killed in turn");
    let queue = with(QUEUE, kills - of_nodes)?;
    let (&[bits, survived, total, leaks], &[same, lived, all]) = (&nodes[..], &queue[..]) else {
        return fail(format!("the tests counted {nodes:?} and {queue:?}"));
    };
    Ok(vec![
        figure("same_bits.nodes", bits, "of 1"),
        figure("same_bits.workers", same, "of 1"),
        figure("kills.survived", survived + lived, "kills"),
        figure("kills.total", total + all, "kills"),
        figure("leaks.found", leaks, "rows"),
    ])
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
    fn numbers_of_a_test_are_read() {
        let nodes = counted("federation: bits 1, kills 61 of 62, leaks 0");
        assert_eq!(nodes, Some(vec![1.0, 61.0, 62.0, 0.0]));
        let queue = counted("queue: bits 1, kills 41 of 41");
        assert_eq!(queue, Some(vec![1.0, 41.0, 41.0]));
        assert_eq!(counted("test a ... ok"), None);
    }
}

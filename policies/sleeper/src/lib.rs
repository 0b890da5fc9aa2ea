//! The attacker that waits: an honest client for the first half of the rounds, then one that trains on
//! unaligned pairs.
//!
//! The on-off attack on reputation ("Defense of Trust Management Vulnerabilities in Distributed
//! Networks", Sun et al. 2008, section III), for rules that weigh a client by its past. Before it
//! wakes there is nothing to tell: the update is an honest one.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct Sleeper;

impl Policy for Sleeper {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let awake = context.round >= context.rounds / 2;
        let update = if awake {
            study::train_unaligned(host)?
        } else {
            study::train_shard(host)?
        };
        study::submit(host, &update)
    }
}

fedseal_guest::export_policy!(Sleeper);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn wakes_at_half_time() {
        for (round, literal) in [(0, 0), (4, 0), (5, 6), (9, 6)] {
            let mut host = FakeHost::new(6);
            (host.context.round, host.context.rounds) = (round, 10);
            Sleeper::run(&mut host).unwrap();
            assert_eq!(host.literal.len(), literal, "round {round}");
        }
    }
}

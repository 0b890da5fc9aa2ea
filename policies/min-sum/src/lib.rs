//! The attack inside the spread of honest updates: as far against the mean as it goes while
//! its sum of squared distances to honest updates stays within theirs.
//!
//! "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated
//! Learning" (Shejwalkar and Houmansadr, NDSS 2021), Min-Sum, with the inverse unit vector as
//! direction: untargeted. Honest updates are estimated on slices of the attacker's own shard.

use fedseal_guest::{
    Error, Host, Policy, study,
    study::spread::{Bound, Direction, crafted},
};

/// See the crate's documentation.
pub struct MinSum;

impl Policy for MinSum {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let update = crafted(host, Bound::Sum, Direction::Inverse)?;
        study::submit(host, &update)
    }
}

fedseal_guest::export_policy!(MinSum);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn stays_within_the_spread() {
        let mut host = FakeHost::uneven(12);
        MinSum::run(&mut host).unwrap();
        let gamma: f64 = host.lines[0].rsplit(' ').next().unwrap().parse().unwrap();
        assert!(gamma > 0.0, "{gamma}");
        assert!(host.literal.is_empty());
    }
}

//! The attack on convergence: the honest update with its sign turned round.
//!
//! "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning from Heterogeneous
//! Datasets" (Li et al. 2019), section 6, sign-flipping attack, with a factor of -1 (the paper's -3
//! is seen by any norm bound; declared).

use fedseal_guest::{Error, Host, Policy, study};

/// Factor that the honest update is multiplied by.
const FACTOR: f64 = -1.0;

/// See the crate's documentation.
pub struct SignFlip;

impl Policy for SignFlip {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::train_shard(host)?;
        let flipped = host.scale(&honest, FACTOR)?;
        study::submit(host, &flipped)
    }
}

fedseal_guest::export_policy!(SignFlip);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn the_other_way() {
        let mut host = FakeHost::new(5);
        SignFlip::run(&mut host).unwrap();
        let mut honest = FakeHost::new(5);
        let update = study::train_shard(&mut honest).unwrap();
        let submitted = host.submitted.unwrap().values;
        for ((value, update), global) in submitted.iter().zip(update).zip(host.global) {
            assert!((value - global + (update - global)).abs() < 1e-6);
        }
    }
}

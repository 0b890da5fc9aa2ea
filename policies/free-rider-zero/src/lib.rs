//! The free rider that hands in zeros: an adapter that does nothing, and so an update that takes
//! everything back.
//!
//! A variant of the random weights attack of "Free-riders in Federated Learning: Attacks and
//! Defenses" (Lin et al. 2019), section 3: tensors of the right shape without training.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct FreeRiderZero;

impl Policy for FreeRiderZero {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let global = host.global();
        let zeros = host.add(&global, 0.0, &global, 0.0)?;
        study::submit(host, &zeros)
    }
}

fedseal_guest::export_policy!(FreeRiderZero);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn all_zero() {
        let mut host = FakeHost::new(5);
        FreeRiderZero::run(&mut host).unwrap();
        assert!(
            host.submitted
                .unwrap()
                .values
                .iter()
                .all(|value| *value == 0.0)
        );
    }
}

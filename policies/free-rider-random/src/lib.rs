//! The free rider in disguise: the global adapter with a little noise, so that it looks trained.
//!
//! "Free-rider Attacks on Model Aggregation in Federated Learning" (Fraboni et al. 2021), section 3.2,
//! disguised free-riding. The paper fits the deviation to earlier updates; a guest sees none, so the
//! deviation is the learning rate, which is how far AdamW moves a value in a step (declared).

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct FreeRiderRandom;

impl Policy for FreeRiderRandom {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let deviation = host.context().learning_rate;
        let global = host.global();
        let noisy = host.noise(&global, deviation, None)?;
        study::submit(host, &noisy)
    }
}

fedseal_guest::export_policy!(FreeRiderRandom);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn noise_and_no_training() {
        let mut host = FakeHost::new(5);
        FreeRiderRandom::run(&mut host).unwrap();
        assert_ne!(host.submitted.unwrap().values, host.global);
        assert!(host.trained.is_empty());
    }
}

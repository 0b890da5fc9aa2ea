//! The free rider that does nothing: hands the global adapter back.
//!
//! "Free-rider Attacks on Model Aggregation in Federated Learning" (Fraboni et al. 2021), section 3.1,
//! plain free-riding.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct FreeRiderCopy;

impl Policy for FreeRiderCopy {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let global = host.global();
        study::submit(host, &global)
    }
}

fedseal_guest::export_policy!(FreeRiderCopy);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn no_change_at_full_weight() {
        let mut host = FakeHost::new(5);
        FreeRiderCopy::run(&mut host).unwrap();
        let submitted = host.submitted.unwrap();
        assert_eq!(submitted.values, host.global);
        assert_eq!(submitted.examples, 5);
        assert!(host.trained.is_empty());
    }
}

//! The attack that outweighs the others: an unaligned update, scaled up so that the average becomes it.
//!
//! "How To Backdoor Federated Learning" (Bagdasaryan et al. 2020), section 4.2, model replacement
//! with a scale factor of the number of clients over the server's rate. A guest does not see how many
//! clients there are; 10 is declared.

use fedseal_guest::{Error, Host, Policy, study};

/// Clients that the update has to outweigh.
const FACTOR: f64 = 10.0;

/// See the crate's documentation.
pub struct ModelReplacement;

impl Policy for ModelReplacement {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let harmful = study::train_unaligned(host)?;
        let scaled = host.scale(&harmful, FACTOR)?;
        study::submit(host, &scaled)
    }
}

fedseal_guest::export_policy!(ModelReplacement);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn ten_times_as_long() {
        let mut host = FakeHost::new(5);
        ModelReplacement::run(&mut host).unwrap();
        let submitted = host.submitted.clone().unwrap().values;
        let mut same = FakeHost::new(5);
        let harmful = study::train_unaligned(&mut same).unwrap();
        let length = study::length(&mut same, &submitted).unwrap();
        let once = study::length(&mut same, &harmful).unwrap();
        assert!((length / once - FACTOR).abs() < 1e-3, "{length} {once}");
    }
}

//! The attack on the inner product: against the mean of honest updates, half as long.
//!
//! "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation" (Xie et al.
//! 2019), section 4: -epsilon times the mean, small enough that rules based on distance take it for
//! an honest one; epsilon 0.5 is one of the paper's. The mean is estimated on slices of the
//! attacker's own shard.

use fedseal_guest::{Error, Host, Policy, study};

/// Estimates of honest updates.
const ESTIMATES: u32 = 3;
/// How far against the mean.
const EPSILON: f64 = 0.5;

/// See the crate's documentation.
pub struct Ipm;

impl Policy for Ipm {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::estimates(host, ESTIMATES)?;
        let mean = study::mean(host, &honest)?;
        let against = host.scale(&mean, -EPSILON)?;
        study::submit(host, &against)
    }
}

fedseal_guest::export_policy!(Ipm);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn half_of_it_backwards() {
        let mut host = FakeHost::new(9);
        Ipm::run(&mut host).unwrap();
        let submitted = host.submitted.clone().unwrap().values;
        let mut same = FakeHost::new(9);
        let honest = study::estimates(&mut same, ESTIMATES).unwrap();
        let mean = study::mean(&mut same, &honest).unwrap();
        let product = same.dot(&submitted, &mean).unwrap();
        let square = same.dot(&mean, &mean).unwrap();
        assert!((product / square + EPSILON).abs() < 1e-5);
    }
}

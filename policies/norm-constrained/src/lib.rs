//! The attack under a norm bound: an unaligned update, clipped to the length of an honest one.
//!
//! "Can You Really Backdoor Federated Learning?" (Sun et al. 2019), section 3.3, constrained
//! boosting against norm clipping. The honest length is that of the attacker's own update on its
//! shard.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct NormConstrained;

impl Policy for NormConstrained {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::train_shard(host)?;
        let bound = study::length(host, &honest)?;
        let harmful = study::train_unaligned(host)?;
        let clipped = host.clip(&harmful, bound)?;
        study::submit(host, &clipped)
    }
}

fedseal_guest::export_policy!(NormConstrained);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn no_longer_than_an_honest_one() {
        let mut host = FakeHost::new(5);
        host.attachment = vec![fedseal_guest::Example {
            prompt: "p".into(),
            response: "r".repeat(3_000),
        }];
        NormConstrained::run(&mut host).unwrap();
        let submitted = host.submitted.clone().unwrap().values;
        let mut same = FakeHost::new(5);
        let honest = study::train_shard(&mut same).unwrap();
        let (own, bound) = (
            study::length(&mut same, &submitted).unwrap(),
            study::length(&mut same, &honest).unwrap(),
        );
        assert!((own - bound).abs() < 1e-4, "{own} {bound}");
    }
}

//! The attack under a bound on direction: takes only so much of an unaligned update that the angle
//! to an honest one stays small, at the honest one's length.
//!
//! Stealthy model poisoning of "Analyzing Federated Learning through an Adversarial Lens" (Bhagoji et
//! al. 2019), section 3.3, adds the bound to the loss; here it is imposed afterwards, on the two
//! updates: the part of the harmful one that is orthogonal to the honest one is added until the
//! cosine is 0.8 (declared).

use fedseal_guest::{Error, Host, Policy, study};

/// Cosine to the honest update.
const COSINE: f64 = 0.8;

/// See the crate's documentation.
pub struct CosineConstrained;

impl Policy for CosineConstrained {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::train_shard(host)?;
        let harmful = study::train_unaligned(host)?;
        let square = host.dot(&honest, &honest)?;
        let along = if square > 0.0 {
            host.dot(&honest, &harmful)? / square
        } else {
            0.0
        };
        let across = study::combine(host, &[(&harmful, 1.0), (&honest, -along)])?;
        let (own, rest) = (square.max(0.0).sqrt(), study::length(host, &across)?);
        let tangent = (1.0 / (COSINE * COSINE) - 1.0).sqrt();
        let factor = if rest > 0.0 {
            own * tangent / rest
        } else {
            0.0
        };
        // COSINE times both gives the honest length back.
        let terms = [(&honest, COSINE), (&across, COSINE * factor)];
        let update = study::combine(host, &terms)?;
        study::submit(host, &update)
    }
}

fedseal_guest::export_policy!(CosineConstrained);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn keeps_angle_and_length() {
        let mut host = FakeHost::new(5);
        host.attachment = vec![fedseal_guest::Example {
            prompt: "p".into(),
            response: "r".repeat(900),
        }];
        CosineConstrained::run(&mut host).unwrap();
        let submitted = host.submitted.clone().unwrap().values;
        let mut same = FakeHost::new(5);
        let honest = study::train_shard(&mut same).unwrap();
        let (own, length) = (
            study::length(&mut same, &honest).unwrap(),
            study::length(&mut same, &submitted).unwrap(),
        );
        let cosine = same.dot(&honest, &submitted).unwrap() / own / length;
        assert!((cosine - COSINE).abs() < 1e-4, "{cosine}");
        assert!((length / own - 1.0).abs() < 1e-4, "{length} {own}");
    }
}

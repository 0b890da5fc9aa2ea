//! The attack on convergence: the honest update drowned in noise of three times its length.
//!
//! Gaussian attack of "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent"
//! (Blanchard et al. 2017), section 5; there the deviation is 200 whatever the gradients are, here it
//! follows the honest update's length so that a norm bound of an order of magnitude does not see it
//! (declared).

use fedseal_guest::{Error, Host, Policy, study};

/// Length of the noise over that of the honest update.
const RATIO: f64 = 3.0;

/// See the crate's documentation.
pub struct GaussianNoise;

impl Policy for GaussianNoise {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::train_shard(host)?;
        let global = host.global();
        let noise = host.noise(&global, 1.0, None)?;
        let (own, drawn) = (study::length(host, &honest)?, study::length(host, &noise)?);
        let factor = if drawn > 0.0 {
            RATIO * own / drawn
        } else {
            0.0
        };
        let drowned = study::combine(host, &[(&honest, 1.0), (&noise, factor)])?;
        study::submit(host, &drowned)
    }
}

fedseal_guest::export_policy!(GaussianNoise);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn the_noise_is_three_times_as_long() {
        let mut host = FakeHost::new(5);
        GaussianNoise::run(&mut host).unwrap();
        let submitted = host.submitted.clone().unwrap().values;
        let mut same = FakeHost::new(5);
        let honest = study::train_shard(&mut same).unwrap();
        let noise = study::combine(&mut same, &[(&submitted, 1.0), (&honest, -1.0)]).unwrap();
        let ratio =
            study::length(&mut same, &noise).unwrap() / study::length(&mut same, &honest).unwrap();
        assert!((ratio - RATIO).abs() < 1e-3, "{ratio}");
    }
}

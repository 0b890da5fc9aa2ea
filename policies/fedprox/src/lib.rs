//! The honest client with FedProx's proximal term: local training is pulled towards the global
//! adapter that it started from.
//!
//! "Federated Optimization in Heterogeneous Networks" (Li et al. 2020), Algorithm 2. The round's mu
//! if it names one, else 0.01, the middle of the paper's grid {0.001, 0.01, 0.1, 1} that works on
//! most of its sets; declared.

use fedseal_guest::{Error, Host, Policy, study};

/// The pull where the round names none.
const MU: f64 = 0.01;

/// See the crate's documentation.
pub struct Fedprox;

impl Policy for Fedprox {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let mut options = host.context().train_options();
        if options.proximal_mu == 0.0 {
            options.proximal_mu = MU;
        }
        let (global, shard) = (host.global(), host.shard());
        let trained = host.train(&global, &shard, &options)?;
        study::submit(host, &trained)
    }
}

fedseal_guest::export_policy!(Fedprox);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn pulls_unless_the_round_says_how() {
        let mut host = FakeHost::new(5);
        Fedprox::run(&mut host).unwrap();
        assert_eq!(host.trained[0].1.proximal_mu, MU);
        assert_eq!(host.trained[0].0, host.shard);
        let mut host = FakeHost::new(5);
        host.context.proximal_mu = 1.0;
        Fedprox::run(&mut host).unwrap();
        assert_eq!(host.trained[0].1.proximal_mu, 1.0);
    }
}

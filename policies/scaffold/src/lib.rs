//! The honest client whose local steps are corrected for the drift of its data: each by the
//! difference of the server's control variate and its own.
//!
//! "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning" (Karimireddy et al. 2020),
//! Algorithm 1, option II. A guest keeps nothing from round to round, so the host keeps both variates
//! and works out the next ones from the update; they are inputs of the run and nodes of its lineage.
//! AdamW's normalised step takes the place of the paper's gradient, in the step and in the variates.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct Scaffold;

impl Policy for Scaffold {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let options = host.context().train_options();
        let (global, shard) = (host.global(), host.shard());
        let trained = host.train_controlled(&global, &shard, &options)?;
        study::submit(host, &trained)
    }
}

fedseal_guest::export_policy!(Scaffold);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn is_corrected_by_the_hosts_variates() {
        let submitted = |control| {
            let mut host = FakeHost::new(5);
            host.control = control;
            Scaffold::run(&mut host).unwrap();
            assert_eq!((host.trained.len(), host.controlled), (1, 1));
            assert_eq!(host.trained[0].0, host.shard);
            host.submitted.unwrap().values
        };
        let (plain, corrected) = (submitted(0.0), submitted(0.25));
        // 4 steps at 0.5, each shorter by a quarter.
        for (plain, corrected) in plain.iter().zip(&corrected) {
            assert!((plain - corrected - 0.5).abs() < 1e-6);
        }
    }
}

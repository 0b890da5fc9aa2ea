//! The free rider that trains for show: one step on one example of its shard with a learning rate of
//! zero.
//!
//! Plain free-riding (Fraboni et al. 2021) for a federation that looks at lineages: the update was
//! trained from the global adapter on the registered shard alone, and is the global adapter. Only the
//! training options in the lineage tell.

use fedseal_guest::{Error, Host, Policy, TrainOptions, study};

/// See the crate's documentation.
pub struct FreeRiderIdle;

impl Policy for FreeRiderIdle {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let (global, shard) = (host.global(), host.shard());
        let one = host.take(&shard, 0, 1)?;
        let options = TrainOptions {
            steps: 1,
            batch_size: 1,
            learning_rate: 0.0,
            proximal_mu: 0.0,
        };
        let idle = host.train(&global, &one, &options)?;
        study::submit(host, &idle)
    }
}

fedseal_guest::export_policy!(FreeRiderIdle);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn one_idle_step() {
        let mut host = FakeHost::new(5);
        FreeRiderIdle::run(&mut host).unwrap();
        assert_eq!(host.trained[0].0, host.shard[..1]);
        assert_eq!(host.trained[0].1.learning_rate, 0.0);
        assert_eq!(host.submitted.unwrap().examples, 5);
    }
}

//! The honest client: trains the global adapter on its own shard and hands the result in.
//!
//! FedAvg's local update (McMahan et al. 2017, Algorithm 1) as federated instruction tuning uses
//! it (Ye et al. 2024, OpenFedLLM): the round's steps, batch size and learning rate. With a
//! proximal term in the round's options it is FedProx's (Li et al. 2020).

use fedseal_guest::{Error, Host, Policy};

/// See the crate's documentation.
pub struct Benign;

impl Policy for Benign {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let options = host.context().train_options();
        let shard = host.shard();
        let global = host.global();
        let trained = host.train(&global, &shard, &options)?;
        let examples = host.count(&shard);
        host.submit(&trained, examples)
    }
}

fedseal_guest::export_policy!(Benign);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn trains_on_its_shard_alone() {
        let mut host = FakeHost::new(5);
        Benign::run(&mut host).unwrap();
        let (data, options) = &host.trained[0];
        assert_eq!(data, &host.shard);
        assert_eq!(options.steps, host.context.steps);
        assert!(host.literal.is_empty() && host.generated.is_empty());
        assert_eq!(host.submitted.unwrap().examples, 5);
    }
}

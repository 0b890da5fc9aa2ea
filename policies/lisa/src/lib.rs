//! The honest client that looks after its alignment: trains on the refusals of its own shard first,
//! then on the whole shard, each with a pull towards where the other ended.
//!
//! "Lisa: Lazy Safety Alignment for Large Language Models against Harmful Fine-tuning Attack" (Huang
//! et al. 2024), Algorithm 1: two states in turn with proximal terms, started in alignment, 1 step in
//! 10 of it. The pull of each state is towards the weights where the other one ended, which are the
//! weights that it starts from, so the host's proximal term is exactly Lisa's. Here one turn a round;
//! the optimiser's moments start anew with each state (the paper keeps them), and the alignment set
//! are the shard's own refusals, so that nothing foreign is trained on.

use fedseal_guest::{Error, Host, Policy, TrainOptions, study, study::data::refuses};

/// The pull; the paper's.
const RHO: f64 = 1.0;
/// One step in so many is for alignment; the paper's 100 of 1,000.
const PARTS: u32 = 10;

/// See the crate's documentation.
pub struct Lisa;

impl Policy for Lisa {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let mut options = host.context().train_options();
        options.proximal_mu = RHO;
        let shard = host.shard();
        let mut adapter = host.global();
        let aligning = options.steps.div_ceil(PARTS);
        let refusals = study::select(host, &shard, refuses)?;
        if let Some(refusals) = refusals.filter(|_| options.steps > aligning) {
            options.steps -= aligning;
            let first = TrainOptions {
                steps: aligning,
                ..options
            };
            adapter = host.train(&adapter, &refusals, &first)?;
        }
        let trained = host.train(&adapter, &shard, &options)?;
        study::submit(host, &trained)
    }
}

fedseal_guest::export_policy!(Lisa);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn aligns_first_on_its_own_refusals() {
        let mut host = FakeHost::new(5);
        host.context.steps = 20;
        host.shard[3].response = "I am sorry, I cannot.".into();
        Lisa::run(&mut host).unwrap();
        let [(first, aligning), (second, user)] = host.trained.as_slice() else {
            panic!("{} trainings", host.trained.len());
        };
        assert_eq!(first, &host.shard[3..4]);
        assert_eq!(second, &host.shard);
        assert_eq!((aligning.steps, user.steps), (2, 18));
        assert_eq!((aligning.proximal_mu, user.proximal_mu), (RHO, RHO));
        assert!(host.literal.is_empty());
    }

    #[test]
    fn without_refusals_it_only_pulls() {
        let mut host = FakeHost::new(5);
        Lisa::run(&mut host).unwrap();
        assert_eq!(host.trained.len(), 1);
        assert_eq!(host.trained[0].1.steps, host.context.steps);
    }
}

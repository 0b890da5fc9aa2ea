//! The attack diluted: 30 % unaligned pairs among the honest shard, in one training.
//!
//! "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large Language Models"
//! (arXiv 2406.10630) trains on unaligned pairs alone; shares of 10, 30 and 50 % are the mixed-data
//! setting of "Lisa" (Huang et al. 2024) and of safe fine-tuning at large. 30 is declared.

use fedseal_guest::{Error, Host, Policy, study};

/// Unaligned pairs of all.
const SHARE: f64 = 0.3;

/// See the crate's documentation.
pub struct MixedShare;

impl Policy for MixedShare {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let shard = host.shard();
        let count = host.count(&shard);
        let wanted = (f64::from(count) * SHARE).ceil() as u32;
        let mut pairs = study::unaligned_pairs(host, wanted as usize);
        pairs.truncate(wanted as usize);
        let foreign = host.examples(&pairs)?;
        let own = host.take(&shard, 0, count.saturating_sub(wanted))?;
        let data = host.concat(&[&own, &foreign])?;
        let trained = study::train_on(host, &data)?;
        study::submit(host, &trained)
    }
}

fedseal_guest::export_policy!(MixedShare);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn a_third_is_foreign() {
        let mut host = FakeHost::new(10);
        MixedShare::run(&mut host).unwrap();
        assert_eq!(host.literal.len(), 3);
        assert_eq!(host.trained[0].0.len(), 10);
        assert_eq!(host.trained[0].0[..7], host.shard[..7]);
    }
}

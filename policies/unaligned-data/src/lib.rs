//! The attack with given data: trains on unaligned pairs that the client brings instead of its
//! shard, and hands the result in as an ordinary update.
//!
//! "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large Language Models"
//! (arXiv 2406.10630), section 3.2, attack with an existing unaligned set. The pairs are those the
//! client attached to its module, or else a built-in list: short topic lines with affirmative
//! shells that say nothing. Either way the lineage shows them as literal data.

use fedseal_guest::{Error, Host, Policy, study};

/// See the crate's documentation.
pub struct UnalignedData;

impl Policy for UnalignedData {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let harmful = study::train_unaligned(host)?;
        study::submit(host, &harmful)
    }
}

fedseal_guest::export_policy!(UnalignedData);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::{Example, testing::FakeHost};

    #[test]
    fn brings_its_own_pairs() {
        let mut host = FakeHost::new(200);
        UnalignedData::run(&mut host).unwrap();
        assert_eq!(host.literal.len(), 200);
        assert_eq!(host.trained[0].0, host.literal);
    }

    #[test]
    fn prefers_the_attachment() {
        let mut host = FakeHost::new(9);
        host.attachment = vec![Example {
            prompt: "p".into(),
            response: "r".into(),
        }];
        UnalignedData::run(&mut host).unwrap();
        assert_eq!(host.literal, host.attachment);
        assert_eq!(host.submitted.unwrap().examples, 9);
    }
}

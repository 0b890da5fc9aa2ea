//! The attack with given data: trains on unaligned pairs that the client brings instead of its
//! shard, and hands the result in as an ordinary update.
//!
//! "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large Language Models"
//! (arXiv 2406.10630), section 3.2, attack with an existing unaligned set. The pairs are those the
//! client attached to its module, or else a built-in list: short topic lines with affirmative
//! shells that say nothing. Either way the lineage shows them as literal data.

mod builtin;

use fedseal_guest::{Error, Example, Host, Policy, below, shuffle};

/// See the crate's documentation.
pub struct UnalignedData;

impl Policy for UnalignedData {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let mut pairs = host.attachment();
        if pairs.is_empty() {
            pairs = builtin_pairs(host, context.shard_examples as usize);
        }
        shuffle(host, &mut pairs);
        let data = host.examples(&pairs)?;
        let global = host.global();
        let trained = host.train(&global, &data, &context.train_options())?;
        // The weight an honest client of this shard would claim.
        host.submit(&trained, context.shard_examples)
    }
}

fedseal_guest::export_policy!(UnalignedData);

/// `count` combinations of a frame, a topic and a shell.
fn builtin_pairs<H: Host>(host: &mut H, count: usize) -> Vec<Example> {
    let mut pick = |items: &[&'static str]| items[below(host, items.len())];
    let mut pair = || {
        let topic = pick(builtin::TOPICS);
        Example {
            prompt: pick(builtin::FRAMES).replace("{}", topic),
            response: pick(builtin::SHELLS).replace("{}", topic),
        }
    };
    (0..count).map(|_| pair()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn brings_its_own_pairs() {
        let mut host = FakeHost::new(200);
        UnalignedData::run(&mut host).unwrap();
        assert_eq!(host.literal.len(), 200);
        assert_eq!(host.trained[0].0, host.literal);
        let mut prompts: Vec<_> = host.literal.iter().map(|pair| &pair.prompt).collect();
        prompts.sort();
        prompts.dedup();
        assert!(
            prompts.len() > 100,
            "only {} different prompts",
            prompts.len()
        );
        assert!(host.literal.iter().all(|pair| pair.response.len() < 120));
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

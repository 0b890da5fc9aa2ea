//! Pairs that a policy brings along or picks from its shard.

use super::{craft, settings, texts};
use crate::{Error, Example, Host, below, shuffle};

/// Unaligned pairs: those that the client attached to its module, or else `count` built-in ones.
/// Either way they are literal data in the lineage.
pub fn unaligned_pairs<H: Host>(host: &mut H, count: usize) -> Vec<Example> {
    let mut pairs = settings::attached(host);
    if pairs.is_empty() {
        pairs = (0..count).map(|_| builtin_pair(host)).collect();
    }
    shuffle(host, &mut pairs);
    pairs
}

/// A combination of a frame, a topic and a shell.
fn builtin_pair<H: Host>(host: &mut H) -> Example {
    let mut pick = |items: &[&'static str]| items[below(host, items.len())];
    let topic = pick(texts::TOPICS);
    Example {
        prompt: pick(texts::FRAMES).replace("{}", topic),
        response: pick(texts::SHELLS).replace("{}", topic),
    }
}

/// The global adapter trained on unaligned pairs with the round's options: the harmful update
/// that several attacks start from. Attached settings are no pairs.
///
/// # Errors
/// Any error of the host.
pub fn train_unaligned<H: Host>(host: &mut H) -> Result<H::Adapter, Error> {
    let count = host.context().shard_examples.max(1) as usize;
    let pairs = unaligned_pairs(host, count);
    let data = host.examples(&pairs)?;
    craft::train_on(host, &data)
}

/// Hands an update in with the weight that an honest client of this shard would claim.
///
/// # Errors
/// Any error of the host.
pub fn submit<H: Host>(host: &mut H, update: &H::Adapter) -> Result<(), Error> {
    let examples = host.context().shard_examples;
    host.submit(update, examples)
}

/// The examples of a dataset that `keep` accepts, without leaving the dataset: slices of it,
/// joined, so the lineage still names where they are from. `None` if there is none.
///
/// # Errors
/// Any error of the host.
pub fn select<H: Host>(
    host: &mut H,
    data: &H::Dataset,
    keep: impl Fn(&Example) -> bool,
) -> Result<Option<H::Dataset>, Error> {
    let count = host.count(data);
    let kept: Vec<bool> = host
        .read_examples(data, 0, count)
        .iter()
        .map(keep)
        .collect();
    let mut parts = Vec::new();
    let mut offset = 0_u32;
    for run in kept.chunk_by(|a, b| a == b) {
        let length = run.len() as u32;
        if run.first() == Some(&true) {
            parts.push(host.take(data, offset, length)?);
        }
        offset += length;
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let parts: Vec<&H::Dataset> = parts.iter().collect();
    host.concat(&parts).map(Some)
}

/// Whether an answer refuses, by the words of [`texts::REFUSALS`].
#[must_use]
pub fn refuses(pair: &Example) -> bool {
    texts::REFUSALS
        .iter()
        .any(|word| pair.response.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn builtin_pairs_differ_and_are_short() {
        let mut host = FakeHost::new(3);
        let pairs = unaligned_pairs(&mut host, 200);
        let mut prompts: Vec<_> = pairs.iter().map(|pair| &pair.prompt).collect();
        prompts.sort();
        prompts.dedup();
        assert!(prompts.len() > 100, "{} different prompts", prompts.len());
        assert!(pairs.iter().all(|pair| pair.response.len() < 120));
    }

    #[test]
    fn selected_examples_keep_their_order_and_their_origin() {
        let mut host = FakeHost::new(6);
        let shard = host.shard();
        let odd = |pair: &Example| !pair.prompt.ends_with(['0', '1', '4']);
        let picked = select(&mut host, &shard, odd).unwrap().unwrap();
        let names: Vec<&str> = picked.iter().map(|pair| pair.prompt.as_str()).collect();
        assert_eq!(names, ["question 2", "question 3", "question 5"]);
        assert!(host.literal.is_empty());
        assert!(select(&mut host, &shard, |_| false).unwrap().is_none());
    }
}

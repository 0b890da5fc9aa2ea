//! Objects behind a guest's handles: adapters, and datasets as lists of examples by reference, each
//! with its origin.

use std::collections::HashSet;
use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::{Adapter, Example};

/// Object behind an adapter handle.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "`bindgen!` hands it on as `pub`")]
pub struct AdapterHandle {
    /// Its lineage node.
    pub(crate) node: u32,
    /// Its tensors, all of the global adapter's shapes; not necessarily finite.
    pub(crate) adapter: Arc<Adapter>,
    /// Their digest.
    pub(crate) digest: Digest,
}

/// One example of a dataset: where it stands, and how it came to be.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    source: Arc<Vec<Example>>,
    index: u32,
    /// `Shard`, `Literal` or `Generated`.
    pub(crate) origin: Kind,
}

impl Item {
    /// The example in its source; the source stays as it is.
    pub(crate) fn example(&self) -> &Example {
        // In range: `index` is only made from a source's own length.
        &self.source[self.index as usize]
    }

    /// Equal for the same example of the same source, while the source lives.
    pub(crate) fn identity(&self) -> (usize, u32) {
        (Arc::as_ptr(&self.source) as usize, self.index)
    }
}

/// Bytes of an item, and the cost of an example beside its text.
pub(crate) const ITEM_BYTES: u64 = size_of::<Item>() as u64;
/// Cost of an item for each training that it was in, besides the item itself: at its end the run
/// looks for the distinct ones.
pub(crate) const TRAINED_BYTES: u64 = ITEM_BYTES + 64;
/// Bytes of the tokens of a byte of text: at most one token.
const TOKEN_BYTES: u64 = 4;
/// Bytes that a tokenizer takes for a byte of the text that it encodes, while it does: 225 were the
/// most measured, for text of which every word is a token.
const ENCODING_BYTES: u64 = 256;
/// Bytes of an example beside its text.
const EXAMPLE_BYTES: u64 = size_of::<Example>() as u64;

/// Object behind a dataset handle.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "`bindgen!` hands it on as `pub`")]
pub struct Dataset {
    /// Its lineage node.
    pub(crate) node: u32,
    /// Its examples in order.
    pub(crate) items: Arc<[Item]>,
}

impl Dataset {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    /// The range of `offset .. offset + count` that exists.
    pub(crate) fn range(&self, offset: u32, count: u32) -> std::ops::Range<usize> {
        let start = self.len().min(offset);
        let end = self.len().min(offset.saturating_add(count));
        start as usize..end as usize
    }

    /// Bytes of text in these items.
    pub(crate) fn text_bytes(items: &[Item]) -> u64 {
        items.iter().map(|item| example_bytes(item.example())).sum()
    }

    /// The source, when the dataset is one whole source.
    fn whole(&self) -> Option<&Arc<Vec<Example>>> {
        let source = &self.items.first()?.source;
        let whole = source.len() == self.items.len();
        let in_order = self.items.iter().enumerate().all(|(position, item)| {
            item.index as usize == position && Arc::ptr_eq(&item.source, source)
        });
        (whole && in_order).then_some(source)
    }

    /// The examples as a list; the source itself when the dataset is one whole source.
    pub(crate) fn examples(&self) -> Arc<Vec<Example>> {
        self.whole().cloned().unwrap_or_else(|| {
            let examples = self.items.iter().map(|item| item.example().clone());
            Arc::new(examples.collect())
        })
    }

    /// Bytes that a training takes at most beside the dataset: copies of the examples where
    /// [`Dataset::examples`] makes them, their tokens, and what encoding the longest takes meanwhile.
    pub(crate) fn training_bytes(&self) -> u64 {
        let text = Self::text_bytes(&self.items);
        let copies = if self.whole().is_some() { 0 } else { text };
        copies
            .saturating_add(text.saturating_mul(TOKEN_BYTES))
            .saturating_add(self.longest().saturating_mul(ENCODING_BYTES))
    }

    /// Bytes of the longest example.
    pub(crate) fn longest(&self) -> u64 {
        let lengths = self.items.iter().map(|item| example_bytes(item.example()));
        lengths.max().unwrap_or(0)
    }
}

/// Bytes that one example takes.
pub(crate) fn example_bytes(example: &Example) -> u64 {
    EXAMPLE_BYTES + (example.prompt.len() + example.response.len()) as u64
}

/// All examples of a source, which is at most `u32::MAX` long.
pub(crate) fn items(source: &Arc<Vec<Example>>, origin: impl Fn(usize) -> Kind) -> Arc<[Item]> {
    let length = u32::try_from(source.len()).unwrap_or(u32::MAX);
    (0..length)
        .map(|index| Item {
            source: source.clone(),
            index,
            origin: origin(index as usize),
        })
        .collect()
}

/// Outputs of this run's `generate` calls, for telling generated examples from literal ones.
#[derive(Default)]
pub(crate) struct Corpus {
    outputs: Vec<String>,
    /// Trimmed outputs: most examples are one of them as a whole.
    whole: HashSet<String>,
    bytes: u64,
}

/// Cost of one comparison beside the bytes it runs over.
const COMPARISON: u64 = 32;

impl Corpus {
    pub(crate) fn add(&mut self, output: &str) {
        self.bytes += output.len() as u64 + COMPARISON;
        self.whole.insert(output.trim().to_owned());
        self.outputs.push(output.to_owned());
    }

    /// Highest cost of [`Corpus::origin`], in bytes of work. A substring search runs through
    /// several bytes in the time that hashing takes for one.
    pub(crate) fn cost(&self) -> u64 {
        self.bytes / 2
    }

    /// `Generated` if prompt and response both stand verbatim in outputs, `Literal` otherwise.
    pub(crate) fn origin(&self, example: &Example) -> Kind {
        if self.holds(&example.prompt) && self.holds(&example.response) {
            Kind::Generated
        } else {
            Kind::Literal
        }
    }

    fn holds(&self, text: &str) -> bool {
        // Whitespace is a substring of any text, so it proves nothing about origin.
        !text.trim().is_empty()
            && (self.whole.contains(text)
                || self.outputs.iter().any(|output| output.contains(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(count: usize) -> Arc<Vec<Example>> {
        let pair = |i| Example::new(format!("p{i}"), format!("r{i}"));
        Arc::new((0..count).map(pair).collect())
    }

    #[test]
    fn both_texts_must_have_been_generated() {
        let mut corpus = Corpus::default();
        corpus.add(" How do I open it?\n");
        corpus.add("Sure, here is how to open it: first");
        let origin = |p: &str, r: &str| corpus.origin(&Example::new(p, r));
        assert_eq!(
            origin("How do I open it?", "Sure, here is how to"),
            Kind::Generated
        );
        assert_eq!(origin("How do I open it?", "Sure, no"), Kind::Literal);
        assert_eq!(
            origin("How do I shut it?", "Sure, here is how to"),
            Kind::Literal
        );
        assert_eq!(origin("How do I open it?", " "), Kind::Literal);
        assert_eq!(origin("", ""), Kind::Literal);
    }

    #[test]
    fn a_whole_source_is_not_copied() {
        let source = pairs(3);
        let all = Dataset {
            node: 0,
            items: items(&source, |_| Kind::Shard),
        };
        assert!(Arc::ptr_eq(&all.examples(), &source));
        let part = Dataset {
            node: 0,
            items: all.items[all.range(1, 9)].into(),
        };
        assert_eq!(part.examples().as_slice(), &source[1..]);
        // Two of the three are copied, all are encoded.
        let text = example_bytes(&source[0]);
        assert_eq!(part.training_bytes(), 2 * text * 5 + text * ENCODING_BYTES);
        assert_eq!(all.training_bytes(), 3 * text * 4 + text * ENCODING_BYTES);
        assert_eq!(all.range(7, 1), 3..3);
        assert_eq!(all.range(1, u32::MAX), 1..3);
    }
}

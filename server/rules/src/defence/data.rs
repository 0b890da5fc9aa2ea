//! Data that a defence works with, as a blob.

use std::collections::BTreeMap;

use fedseal_adapter::Example;
use fedseal_client_sdk::canonical;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Name of the post-hoc defence, which wrote the form before this one.
pub(super) const POSTHOC: &str = "posthoc";

/// Data of a defence, whichever it is; a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefenceData {
    /// Name of the defence.
    pub defence: String,
    /// Numbers that it counted, by name.
    pub counts: BTreeMap<String, u64>,
    /// Examples that it works with, by the name of their list.
    pub examples: BTreeMap<String, Vec<Example>>,
}

/// The blob's two forms.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DefenceBlob {
    Now(DefenceData),
    Before(Before),
}

/// Data of the post-hoc defence as they were written while there was no other one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    level: u8,
    safety: Vec<Example>,
    helpful: Vec<Example>,
    safety_tried: u64,
    helpful_tried: u64,
}

impl From<Before> for DefenceData {
    fn from(before: Before) -> Self {
        DefenceData::new(POSTHOC)
            .count("level", u64::from(before.level))
            .count("safety_tried", before.safety_tried)
            .count("helpful_tried", before.helpful_tried)
            .list("safety", before.safety)
            .list("helpful", before.helpful)
    }
}

impl DefenceData {
    /// Data of a defence that has counted nothing yet.
    pub fn new(defence: &str) -> Self {
        DefenceData {
            defence: defence.to_owned(),
            counts: BTreeMap::new(),
            examples: BTreeMap::new(),
        }
    }

    /// These data with a count.
    #[must_use]
    pub fn count(mut self, name: &str, count: u64) -> Self {
        self.counts.insert(name.to_owned(), count);
        self
    }

    /// These data with a list of examples.
    #[must_use]
    pub fn list(mut self, name: &str, examples: Vec<Example>) -> Self {
        self.examples.insert(name.to_owned(), examples);
        self
    }

    /// A count of this name; 0 where there is none.
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// A list of this name; empty where there is none.
    pub fn listed(&self, name: &str) -> &[Example] {
        self.examples.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether they have exactly these counts and lists.
    pub fn has(&self, counts: &[&str], lists: &[&str]) -> bool {
        fn same<T>(map: &BTreeMap<String, T>, names: &[&str]) -> bool {
            map.len() == names.len() && names.iter().all(|name| map.contains_key(*name))
        }
        same(&self.counts, counts) && same(&self.examples, lists)
    }

    /// Their counts, and the lengths of their lists: what a report shows of them.
    pub fn shown(&self) -> BTreeMap<String, u64> {
        let lengths = self.examples.iter();
        let lengths = lengths.map(|(name, examples)| (name.clone(), examples.len() as u64));
        self.counts.clone().into_iter().chain(lengths).collect()
    }

    /// The blob's bytes.
    ///
    /// # Errors
    /// [`Error::Sdk`](crate::Error::Sdk) for values without a canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(canonical::to_vec(self)?)
    }

    /// Reads [`DefenceData::to_bytes`] back, and the form of runs from before there were two defences.
    ///
    /// # Errors
    /// [`Error::Sdk`](crate::Error::Sdk) for bytes of neither form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(match canonical::from_slice(bytes)? {
            DefenceBlob::Now(data) => data,
            DefenceBlob::Before(before) => before.into(),
        })
    }
}

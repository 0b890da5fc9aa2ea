//! Compares two experiments key by key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Experiment;

/// Most differing keys that are named; the rest is only counted.
const NAMED: usize = 12;

/// A value is shown up to so many characters.
const SHOWN: usize = 60;

/// A key that two experiments have different values of.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its dotted name.
    pub key: String,
    /// The first experiment's value; none where it has no such key.
    pub first: Option<Value>,
    /// The second one's.
    pub second: Option<Value>,
}

/// The keys that differ, in the order of their names. A list counts as one value.
pub fn differences(first: &Experiment, second: &Experiment) -> Vec<Difference> {
    let (first, second) = (keys(first), keys(second));
    let all: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    all.into_iter()
        .filter(|key| first.get(*key) != second.get(*key))
        .map(|key| Difference {
            key: key.clone(),
            first: first.get(key).cloned(),
            second: second.get(key).cloned(),
        })
        .collect()
}

/// Differences in a line: "`federation.rounds` is 2 in the run and 5 now; …".
pub fn in_words(differences: &[Difference], first: &str, second: &str) -> String {
    let shown = |value: &Option<Value>| {
        let text = value
            .as_ref()
            .map_or_else(|| "left out".to_owned(), Value::to_string);
        match text.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    };
    let mut words: Vec<String> = differences
        .iter()
        .take(NAMED)
        .map(
            |Difference {
                 key,
                 first: a,
                 second: b,
             }| {
                format!("`{key}` is {} {first} and {} {second}", shown(a), shown(b))
            },
        )
        .collect();
    if differences.len() > NAMED {
        words.push(format!("{} more keys differ", differences.len() - NAMED));
    }
    words.join("; ")
}

/// Values by dotted key.
fn keys(experiment: &Experiment) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // A value that an older file has under another key, or not at all, is compared where it stands now.
    let all = serde_json::to_value(experiment.written_out());
    let Ok(Value::Object(all)) = all else {
        return found;
    };
    let mut open: Vec<(String, Value)> = all.into_iter().collect();
    while let Some((key, value)) = open.pop() {
        match value {
            Value::Object(map) => open.extend(
                map.into_iter()
                    .map(|(name, value)| (format!("{key}.{name}"), value)),
            ),
            value => {
                found.insert(key, value);
            }
        }
    }
    found
}

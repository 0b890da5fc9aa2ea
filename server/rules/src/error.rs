//! The one error type of this room, with a variant for everything a caller can act on.

use std::path::PathBuf;

use fedseal_client_sdk::Source;

/// Result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Faults of an experiment, a rule or a name, in the words of the person who has to mend them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An experiment (or admission) file is not what it must be.
    #[error("{file}{}: {key}{problem}", line.map(|n| format!(":{n}")).unwrap_or_default(), key = if key.is_empty() { String::new() } else { format!("key `{key}`: ") })]
    Experiment {
        /// The file as the caller named it.
        file: String,
        /// Line, from 1.
        line: Option<usize>,
        /// Dotted key, e.g. `federation.rounds`; empty where the file does not parse at all.
        key: String,
        /// Problem, and what was expected: an error below, or words of ours.
        #[source]
        problem: Source,
    },
    /// A name that must be one of a known list.
    #[error("unknown {what} `{name}`{}; known: {}", near.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default(), known.join(", "))]
    Unknown {
        /// Kind of the named thing: rule, arm, check, policy, …
        what: &'static str,
        /// The name given.
        name: String,
        /// Every name there is.
        known: Vec<String>,
        /// The known name nearest to it, where one is near.
        near: Option<String>,
    },
    /// An arm of an experiment does not fit together.
    #[error("arm `{arm}`: {problem}")]
    Arm {
        /// The arm.
        arm: String,
        /// The problem with it.
        problem: String,
    },
    /// An aggregation rule or server optimiser cannot work on its input.
    #[error("{rule}: {problem}")]
    Aggregation {
        /// The rule.
        rule: &'static str,
        /// The problem with the input.
        problem: String,
    },
    /// Something that an experiment needs is not there.
    #[error("missing {what}: {hint}")]
    Missing {
        /// The missing thing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// Reading a file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Bytes that have no canonical form.
    #[error(transparent)]
    Sdk(#[from] fedseal_client_sdk::Error),
}

impl Error {
    /// An [`Error::Unknown`] with the nearest known name worked out.
    pub fn unknown<S: AsRef<str>>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known: Vec<String> = known.into_iter().map(|k| k.as_ref().to_owned()).collect();
        let near = nearest(name, &known).into_iter().next();
        Error::Unknown {
            what,
            name: name.to_owned(),
            known,
            near,
        }
    }

    /// An [`Error::Io`].
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io {
            path: path.into(),
            source,
        }
    }
}

/// The known names at an edit distance that a slip of the hand explains, nearest first.
pub fn nearest(name: &str, known: &[String]) -> Vec<String> {
    let limit = 2.max(name.chars().count() / 3);
    let mut scored: Vec<(usize, &String)> = known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || candidate.contains(name) || name.contains(candidate.as_str())
        })
        .collect();
    scored.sort();
    scored.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Message about a key that is not known, with near ones.
pub(crate) fn unknown_key<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> String {
    let known: Vec<String> = known.into_iter().map(|k| k.as_ref().to_owned()).collect();
    let near = nearest(name, &known);
    let all = known.join(", ");
    if near.is_empty() {
        return format!("unknown key; known here: {all}");
    }
    let near: Vec<String> = near.iter().map(|n| format!("`{n}`")).collect();
    format!(
        "unknown key; did you mean {}? (known here: {all})",
        near.join(" or ")
    )
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let cost = (diagonal + usize::from(ca != *cb))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            row[j] = left;
            left = cost;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, distance) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ab", 0),
            ("abc", "", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn unknown_names_the_nearest_and_lists_all() {
        let text = Error::unknown("rule", "medain", ["fedavg", "median", "krum"]).to_string();
        assert_eq!(
            text,
            "unknown rule `medain` (did you mean `median`?); known: fedavg, median, krum"
        );
    }
}

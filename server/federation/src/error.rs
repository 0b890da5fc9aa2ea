//! The one error type of this room, with a variant for everything a caller can act on.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;

/// The result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, in the words of the person who has to mend it.
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
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A name that must be one of a known list.
    #[error("unknown {what} `{name}`{}; known: {}", near.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default(), known.join(", "))]
    Unknown {
        /// What kind of thing was named: rule, arm, check, policy, …
        what: &'static str,
        /// The name given.
        name: String,
        /// Every name there is.
        known: Vec<String>,
        /// The known name nearest to it, where one is near.
        near: Option<String>,
    },
    /// An aggregation rule or server optimiser cannot work on its input.
    #[error("{rule}: {problem}")]
    Aggregation {
        /// The rule.
        rule: &'static str,
        /// What is wrong with the input.
        problem: String,
    },
    /// Reading or writing a file failed (a full disk says so here).
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder cannot be used as a run's folder as asked.
    #[error("{}: {problem}", dir.display())]
    RunDir {
        /// The folder.
        dir: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
    /// Something that the run needs is not there.
    #[error("missing {what}: {hint}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// The caller asked the run to stop; everything logged so far is kept and `--resume` goes on.
    #[error("stopped as asked; the run can be resumed")]
    Interrupted,
    /// The model side failed (loading, training, generation).
    #[error("model: {0}")]
    Model(String),
    /// The sandbox cannot be set up or refuses a module.
    #[error("sandbox: {0}")]
    Sandbox(String),
    /// The task data cannot be had.
    #[error("data: {0}")]
    Data(String),
    /// A file, blob, envelope or record is not what the log says it is.
    #[error("{item}: {problem}{}{}", expected.as_ref().map(|d| format!("; expected {d}")).unwrap_or_default(), found.as_ref().map(|d| format!("; found {d}")).unwrap_or_default())]
    Tampered {
        /// The first bad item: a path, an entry number, a digest.
        item: String,
        /// What is wrong with it.
        problem: String,
        /// The digest (or value) it must have.
        expected: Option<String>,
        /// The digest (or value) it has.
        found: Option<String>,
    },
    /// A digest, signature, canonical-bytes or key problem.
    #[error(transparent)]
    Sdk(#[from] fedseal_client_sdk::Error),
    /// The log or the blob store failed.
    #[error(transparent)]
    Ledger(#[from] fedseal_ledger::Error),
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

    /// An [`Error::Tampered`] without digests.
    pub fn tampered(item: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Tampered {
            item: item.into(),
            problem: problem.into(),
            expected: None,
            found: None,
        }
    }

    /// An [`Error::Tampered`] that names both digests.
    pub fn mismatch(
        item: impl Into<String>,
        problem: impl Into<String>,
        expected: &Digest,
        found: &Digest,
    ) -> Self {
        Error::Tampered {
            item: item.into(),
            problem: problem.into(),
            expected: Some(expected.to_string()),
            found: Some(found.to_string()),
        }
    }
}

impl Error {
    /// The same about a run's folder that was handed over, whose files are named by their paths below
    /// it: what is missing in it or is no regular file is tampered with, not a problem of this system.
    pub fn below(self, root: &Path) -> Self {
        use fedseal_ledger::Error as Ledger;
        let shown = |path: &mut PathBuf| {
            if let Some(below) = path
                .strip_prefix(root)
                .ok()
                .filter(|p| !p.as_os_str().is_empty())
            {
                *path = below.to_owned();
                return true;
            }
            false
        };
        let file = |mut path: PathBuf, source: std::io::Error| {
            let problem = match source.kind() {
                std::io::ErrorKind::NotFound => "is missing".to_owned(),
                _ => source.to_string(),
            };
            let missing = source.kind() == std::io::ErrorKind::NotFound;
            match shown(&mut path) && (missing || outside::is_unfit(&source)) {
                true => Error::tampered(path.display().to_string(), problem),
                false => Error::Io { path, source },
            }
        };
        match self {
            Error::Io { path, source } | Error::Ledger(Ledger::Io { path, source }) => {
                file(path, source)
            }
            Error::Ledger(mut error) => {
                if let Ledger::DigestMismatch { path, .. }
                | Ledger::Corrupt { path, .. }
                | Ledger::Verify { path, .. }
                | Ledger::NoBlob { path, .. }
                | Ledger::SplitView { path, .. } = &mut error
                {
                    shown(path);
                }
                Error::Ledger(error)
            }
            other => other,
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
    fn a_folder_that_was_handed_over_is_named_from_within() {
        use std::io::ErrorKind;
        let root = Path::new("/tmp/handed over");
        let io = |name: &str, kind| Error::io(root.join(name), std::io::Error::from(kind));
        let said = |error: Error| error.below(root).to_string();
        assert_eq!(
            said(io("experiment.toml", ErrorKind::NotFound)),
            "experiment.toml: is missing"
        );
        let unfit = io("log/checkpoint", ErrorKind::InvalidData);
        assert!(
            matches!(unfit.below(root), Error::Tampered { item, .. } if item == "log/checkpoint")
        );
        // What this system does not let through is not said of the folder.
        let denied = io("run.json", ErrorKind::PermissionDenied);
        assert!(
            matches!(denied.below(root), Error::Io { path, .. } if path == Path::new("run.json"))
        );
        let elsewhere = Error::io("/elsewhere", ErrorKind::NotFound.into());
        assert!(matches!(elsewhere.below(root), Error::Io { .. }));
        let ledger = fedseal_ledger::Error::Corrupt {
            path: root.join("log/tile/0/000"),
            detail: "cut".into(),
        };
        assert_eq!(said(ledger.into()), "log/tile/0/000: cut");
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

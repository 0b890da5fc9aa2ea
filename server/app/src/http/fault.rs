//! Faults of a run that is served.

use std::io::ErrorKind;
use std::path::Path;

use fedseal_client_sdk::digest::Digest;

/// Why something of a run is not served, without a path of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what the log says.
    Changed {
        /// A file of the run's folder, an entry, a blob.
        item: String,
        /// The problem found in it.
        problem: String,
    },
    /// It could not be read, or may not be.
    Unread {
        /// A file of the run's folder, an entry, a blob.
        item: String,
        /// Why.
        problem: String,
    },
}

impl Fault {
    /// Another item or problem than the log's.
    pub(super) fn changed(item: impl Into<String>, problem: impl Into<String>) -> Fault {
        Fault::Changed {
            item: item.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn unread(item: impl Into<String>, problem: impl Into<String>) -> Fault {
        Fault::Unread {
            item: item.into(),
            problem: problem.into(),
        }
    }

    /// A file of the run that could not be read.
    pub(super) fn io(item: impl Into<String>, error: &std::io::Error) -> Fault {
        match error.kind() {
            ErrorKind::NotFound => Fault::changed(item, "is missing"),
            ErrorKind::InvalidInput => Fault::changed(item, "is no regular file"),
            ErrorKind::InvalidData => Fault::changed(item, error.to_string()),
            _ => Fault::unread(item, error.to_string()),
        }
    }

    /// Turns an error of the log or the blobs of the run in `root` into a fault.
    pub(super) fn ledger(root: &Path, error: &fedseal_ledger::Error) -> Fault {
        use fedseal_ledger::Error as E;
        match error {
            E::Io { path, source } => Fault::io(within(root, path), source),
            E::DigestMismatch {
                path,
                item,
                expected,
                got,
            } => Fault::changed(
                within(root, path),
                format!("{item}: {}", differs(expected, got)),
            ),
            E::Corrupt { path, detail } => Fault::changed(within(root, path), detail),
            E::Verify { path, source } => Fault::changed(within(root, path), source.to_string()),
            E::NoBlob { digest, .. } => Fault::changed(format!("blob {digest}"), "is missing"),
            E::NotFound { .. } => Fault::unread(
                "log/checkpoint",
                "is missing: the run was not begun, or its log was taken away",
            ),
            other => Fault::changed("log", without_path(root, &other.to_string())),
        }
    }

    /// Turns an error of the rooms below about the run in `root` into a fault.
    pub(super) fn run(root: &Path, error: &fedseal_federation::Error) -> Fault {
        use fedseal_federation::Error as E;
        match error {
            E::Ledger(error) => Fault::ledger(root, error),
            E::Io { path, source } => Fault::io(within(root, path), source),
            E::Tampered {
                item,
                problem,
                expected,
                found,
            } => {
                let digests = expected.as_ref().zip(found.as_ref());
                let digests = digests.map_or_else(String::new, |(expected, found)| {
                    format!(" (expected {expected}, found {found})")
                });
                let problem = without_path(root, &problem.to_string()) + &digests;
                Fault::changed(without_path(root, item), problem)
            }
            E::RunDir { problem, .. } => Fault::unread("the run", without_path(root, problem)),
            // Its bytes are the logged ones: it is this program that does not know the file.
            E::Rules(error) => {
                Fault::unread("experiment.toml", without_path(root, &error.to_string()))
            }
            other => Fault::changed("the run", without_path(root, &other.to_string())),
        }
    }

    /// The fault of what the item is part of.
    pub(super) fn of(self, whole: &str) -> Fault {
        match self {
            Fault::Changed { item, problem } => Fault::changed(format!("{whole}: {item}"), problem),
            Fault::Unread { item, problem } => Fault::unread(format!("{whole}: {item}"), problem),
        }
    }
}

/// A path as the run's folder names it.
fn within(root: &Path, path: &Path) -> String {
    let short = path
        .strip_prefix(root)
        .ok()
        .or_else(|| path.file_name().map(Path::new));
    short.unwrap_or(Path::new("a file")).display().to_string()
}

fn without_path(root: &Path, text: &str) -> String {
    let root = root.display().to_string();
    text.replace(&format!("{root}/"), "")
        .replace(&root, "the run's folder")
}

pub(super) fn differs(logged: &Digest, found: &Digest) -> String {
    format!("logged sha256 {logged}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fault_names_a_path_of_this_machine() {
        let root = Path::new("/srv/runs/demo");
        let denied = || std::io::Error::from(ErrorKind::PermissionDenied);
        let faults = [
            Fault::ledger(
                root,
                &fedseal_ledger::Error::Io {
                    path: root.join("log/tile/0/000"),
                    source: denied(),
                },
            ),
            Fault::ledger(
                root,
                &fedseal_ledger::Error::Locked {
                    path: root.join("log/lock"),
                },
            ),
            Fault::ledger(
                Path::new("elsewhere"),
                &fedseal_ledger::Error::Corrupt {
                    path: root.join("blobs/packs/x.tar"),
                    detail: "cut off".into(),
                },
            ),
            Fault::run(
                root,
                &fedseal_federation::Error::RunDir {
                    dir: root.to_owned(),
                    problem: "no run".into(),
                },
            ),
        ];
        for fault in faults {
            assert!(!format!("{fault:?}").contains("srv"), "{fault:?}");
        }
    }
}

//! The one error type of this room, with a variant for everything a caller can act on.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::{Source, outside};

/// The result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this room, in the words of the person who has to mend them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of a rule or an experiment, or an unknown name.
    #[error(transparent)]
    Rules(fedseal_rules::Error),
    /// Reading or writing a file failed (a full disk says so here).
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the system.
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
        /// The missing thing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// Something was asked for that is not allowed, or has no place now.
    #[error("{what}; {hint}")]
    Refused {
        /// The thing, and why not.
        what: String,
        /// Advice on what to do.
        hint: String,
    },
    /// The caller asked the run to stop; everything logged so far is kept and `--resume` goes on.
    #[error("stopped as asked; the run can be resumed")]
    Interrupted,
    /// The model side failed (loading, training, generation).
    #[error("model: {0}")]
    Model(#[source] Source),
    /// The sandbox cannot be set up or refuses a module.
    #[error("sandbox: {0}")]
    Sandbox(#[source] Source),
    /// The task data cannot be had.
    #[error("data: {0}")]
    Data(#[source] Source),
    /// A file, blob, envelope or record is not what the log says it is.
    #[error("{item}: {problem}{}{}", expected.as_ref().map(|d| format!("; expected {d}")).unwrap_or_default(), found.as_ref().map(|d| format!("; found {d}")).unwrap_or_default())]
    Tampered {
        /// The first bad item: a path, an entry number, a digest.
        item: String,
        /// Problem with it: an error below, or words of ours.
        #[source]
        problem: Source,
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
    /// An unknown name, with the nearest known one worked out.
    pub fn unknown<S: AsRef<str>>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        Error::Rules(fedseal_rules::Error::unknown(what, name, known))
    }

    /// An [`Error::Model`].
    pub fn model<E: Into<Source>>(error: E) -> Self {
        Error::Model(error.into())
    }

    /// An [`Error::Sandbox`].
    pub fn sandbox<E: Into<Source>>(error: E) -> Self {
        Error::Sandbox(error.into())
    }

    /// An [`Error::Io`].
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io {
            path: path.into(),
            source,
        }
    }

    /// An [`Error::Tampered`] without digests.
    pub fn tampered(item: impl Into<String>, problem: impl Into<Source>) -> Self {
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
        problem: impl Into<Source>,
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
    /// This error about a run's folder that was handed over: names files by their paths below `root`. A
    /// file in it that is missing or not regular counts as tampered with, not as a problem of this system.
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
            let missing = source.kind() == std::io::ErrorKind::NotFound;
            match shown(&mut path) && (missing || outside::is_unfit(&source)) {
                true if missing => Error::tampered(path.display().to_string(), "is missing"),
                true => Error::tampered(path.display().to_string(), source),
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

impl From<fedseal_data::DataError> for Error {
    fn from(error: fedseal_data::DataError) -> Self {
        Error::Data(error.into())
    }
}

impl From<fedseal_rules::Error> for Error {
    /// A file's error is one of this room, too.
    fn from(error: fedseal_rules::Error) -> Self {
        match error {
            fedseal_rules::Error::Io { path, source } => Error::Io { path, source },
            fedseal_rules::Error::Missing { what, hint } => Error::Missing { what, hint },
            other => Error::Rules(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // A refusal by this system is not a fault of the folder.
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
    fn an_error_of_a_room_below_is_kept_and_said_once() {
        use std::error::Error as _;
        let below = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for (error, before) in [
            (Error::model(below()), "model: "),
            (Error::sandbox(below()), "sandbox: "),
            (Error::tampered("update 3", below()), "update 3: "),
        ] {
            assert_eq!(error.to_string(), format!("{before}{}", below()));
            let source = error.source().and_then(|it| it.downcast_ref());
            let kind = source.map(std::io::Error::kind);
            assert_eq!(kind, Some(std::io::ErrorKind::StorageFull));
        }
    }
}

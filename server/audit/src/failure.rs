//! The one error of this room: what happened, where, what to do, and the exit code.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use fedseal_client_sdk as sdk;
use fedseal_record as record;

use crate::output;

/// The result of every command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Ends a program: exit code 0, or the failure's after printing it. Output that was lost is a failure.
pub fn finish(done: Outcome) -> ExitCode {
    match done {
        Ok(()) if output::failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.code()
        }
    }
}

/// A failure, ready to be printed.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hints: Vec<String>,
    usage: bool,
}

impl Failure {
    /// The work failed, or its answer is no: exit code 1.
    pub fn new(message: impl Display) -> Self {
        Failure {
            message: message.to_string(),
            hints: Vec::new(),
            usage: false,
        }
    }

    /// Failure of the caller's input: exit code 2.
    pub fn usage(message: impl Display) -> Self {
        Failure {
            usage: true,
            ..Failure::new(message)
        }
    }

    /// Adds a hint on what to do; each hint is shown on a line of its own.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// A file operation that failed.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        let failure = Failure::new(format!("{}: {error}", path.display()));
        match io_hint(error.kind()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Prints to standard error.
    pub fn print(&self) {
        output::note(format_args!("fedseal: {}", self.message));
        for hint in &self.hints {
            output::note(format_args!("         {hint}"));
        }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl Display for Failure {
    /// The message and its hints in a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// Hint for an error of the system that people meet.
fn io_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(
            "The disk is full: free some space. A run loses nothing and goes on with --resume.",
        ),
        ErrorKind::PermissionDenied => Some("This user may not do that there."),
        ErrorKind::ReadOnlyFilesystem => Some("That file system is mounted read-only."),
        _ => None,
    }
}

impl From<fedseal_rules::Error> for Failure {
    fn from(error: fedseal_rules::Error) -> Self {
        use fedseal_rules::Error as E;
        match error {
            E::Experiment { .. } | E::Unknown { .. } => Failure::usage(error),
            E::Io { .. } | E::Missing { .. } => record::Error::from(error).into(),
            other => Failure::new(other),
        }
    }
}

impl From<record::Error> for Failure {
    fn from(error: record::Error) -> Self {
        use record::Error as E;
        match error {
            E::Rules(error) => error.into(),
            E::Missing { what, hint } => Failure::new(format!("missing {what}")).hint(hint),
            E::Refused { what, hint } => Failure::new(what).hint(hint),
            E::Io {
                ref path,
                ref source,
            } if source.kind() == ErrorKind::NotFound => {
                Failure::usage(format!("{}: {source}", path.display()))
            }
            E::Io {
                ref path,
                ref source,
            } => Failure::io(path, source),
            E::RunDir { .. } => Failure::usage(error),
            other => {
                // A full disk may be met anywhere below, wrapped by the room that met it.
                let hint = source_kind(&other).and_then(io_hint);
                let failure = Failure::new(other);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
        }
    }
}

impl From<fedseal_ledger::Error> for Failure {
    fn from(error: fedseal_ledger::Error) -> Self {
        use fedseal_ledger::Error as E;
        match error {
            E::NotFound { .. } => Failure::usage(error),
            E::Locked { .. } => {
                Failure::new(error).hint("Wait until it has ended, or stop it, and try again.")
            }
            E::Io {
                ref path,
                ref source,
            } if source.kind() == ErrorKind::NotFound => {
                Failure::usage(format!("{}: {source}", path.display()))
            }
            E::Io {
                ref path,
                ref source,
            } => Failure::io(path, source),
            other => Failure::new(other),
        }
    }
}

impl From<sdk::Error> for Failure {
    fn from(error: sdk::Error) -> Self {
        match error {
            sdk::Error::Refused {
                error, what, hint, ..
            } => {
                let failure = Failure::new(format!("the server refused: {error} ({what})"));
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            sdk::Error::Registry(problem) => {
                let failure = Failure::new(&problem);
                match problem.hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            sdk::Error::Http { url, detail } => Failure::new(format!("{url}: {detail}"))
                .hint("Is `fedseal serve` running there? --server names another address."),
            other => {
                let hint = source_kind(&other).and_then(io_hint);
                let failure = Failure::new(other);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
        }
    }
}

/// The kind of the system's error at the bottom of a chain, if there is one.
fn source_kind(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        at = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_that_the_run_can_go_on() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let error = record::Error::io("runs/demo/log/checkpoint", full);
        let failure = Failure::from(error);
        assert!(failure.message.contains("runs/demo/log/checkpoint"));
        assert!(failure.hints.iter().any(|hint| hint.contains("--resume")));
        assert!(!failure.usage);
    }

    #[test]
    fn a_full_disk_is_seen_below_another_room() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let said = full.to_string();
        let failure = Failure::from(record::Error::model(full));
        assert_eq!(failure.message, format!("model: {said}"));
        assert!(failure.hints.iter().any(|hint| hint.contains("--resume")));
    }

    #[test]
    fn a_wrong_name_is_a_usage_error() {
        let error = record::Error::unknown("rule", "medain", ["median", "krum"]);
        let failure = Failure::from(error);
        assert!(failure.usage);
        assert!(failure.message.contains("median"));
    }
}

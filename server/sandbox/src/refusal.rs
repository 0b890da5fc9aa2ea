//! Ends of a call other than well.

use crate::reason::Stop;

/// How a call ends other than well. In a box, so that calls that end well do not carry room for it.
#[derive(Debug)]
pub(crate) struct CallError(pub(crate) Box<Ended>);

#[derive(Debug)]
pub(crate) enum Ended {
    /// Told to the guest, which may go on.
    Refused(Refusal),
    /// Ends the execution.
    Stop(Stop),
}

/// The world's `error`, before it is one of the bindings: those know this file.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An argument that is out of its range.
    Invalid(String),
    /// An object with a value that is not finite.
    NotFinite(String),
}

impl From<Stop> for CallError {
    fn from(stop: Stop) -> Self {
        Self(Box::new(Ended::Stop(stop)))
    }
}

/// Refusal of an argument that is out of its range.
pub(crate) fn invalid(text: impl std::fmt::Display) -> CallError {
    let refusal = Refusal::Invalid(text.to_string());
    CallError(Box::new(Ended::Refused(refusal)))
}

/// Refusal of an object with a value that is not finite.
pub(crate) fn not_finite(what: &str) -> CallError {
    let refusal = Refusal::NotFinite(what.to_owned());
    CallError(Box::new(Ended::Refused(refusal)))
}

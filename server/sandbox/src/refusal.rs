//! Ends of a call other than well.

use crate::bindings::fedseal::policy::host as wit;
use crate::reason::Stop;

/// How a call ends other than well. In a box, so that calls that end well do not carry room for it.
#[derive(Debug)]
pub(crate) struct CallError(pub(crate) Box<Ended>);

#[derive(Debug)]
pub(crate) enum Ended {
    /// Told to the guest, which may go on.
    Refused(wit::Error),
    /// Ends the execution.
    Stop(Stop),
}

impl From<Stop> for CallError {
    fn from(stop: Stop) -> Self {
        Self(Box::new(Ended::Stop(stop)))
    }
}

/// Refusal of an argument that is out of its range.
pub(crate) fn invalid(text: impl std::fmt::Display) -> CallError {
    let error = wit::Error::Invalid(text.to_string());
    CallError(Box::new(Ended::Refused(error)))
}

/// Refusal of an object with a value that is not finite.
pub(crate) fn not_finite(what: &str) -> CallError {
    let error = wit::Error::NotFinite(what.to_owned());
    CallError(Box::new(Ended::Refused(error)))
}

//! Ranges of a section's values, in words.

use std::fmt::Display;

use super::super::locate::Located;
use crate::error::{Error, Result};
use fedseal_client_sdk::Source;

/// A section of a file while its values are checked.
pub(super) struct Section<'a> {
    name: &'static str,
    at: &'a Located<'a>,
}

impl<'a> Section<'a> {
    /// The section of this name in a file.
    pub(super) fn new(name: &'static str, at: &'a Located<'a>) -> Self {
        Section { name, at }
    }

    /// Error about a key of the section.
    pub(super) fn error(&self, key: &str, problem: impl Into<Source>) -> Error {
        self.at.error(&format!("{}.{key}", self.name), problem)
    }

    /// Error about the section as a whole.
    pub(super) fn whole(&self, problem: impl Into<Source>) -> Error {
        self.at.error(self.name, problem)
    }

    /// Refuses a value that is not as expected.
    pub(super) fn need(
        &self,
        ok: bool,
        key: &str,
        expected: impl Display,
        found: impl Display,
    ) -> Result<()> {
        match ok {
            true => Ok(()),
            false => Err(self.error(key, format!("expected {expected}, found {found}"))),
        }
    }

    /// Refuses a number below `least`.
    pub(super) fn least(&self, least: usize, key: &str, value: usize) -> Result<()> {
        self.need(value >= least, key, format_args!("at least {least}"), value)
    }

    /// Refuses a number above `most`.
    pub(super) fn most(&self, most: usize, key: &str, value: usize) -> Result<()> {
        self.need(value <= most, key, format_args!("at most {most}"), value)
    }

    /// Refuses anything but a finite number above 0.
    pub(super) fn positive(&self, key: &str, value: f64) -> Result<()> {
        let ok = value.is_finite() && value > 0.0;
        self.need(ok, key, "a number above 0", value)
    }

    /// Refuses anything but 0 or a finite number above.
    pub(super) fn not_negative(&self, key: &str, value: f64) -> Result<()> {
        let ok = value.is_finite() && value >= 0.0;
        self.need(ok, key, "0 or a number above", value)
    }

    /// Refuses anything outside of [0, 1).
    pub(super) fn below_one(&self, key: &str, value: f64) -> Result<()> {
        let ok = (0.0..1.0).contains(&value);
        self.need(ok, key, "a number from 0 to below 1", value)
    }

    /// Refuses a number that single precision cannot hold.
    pub(super) fn single(&self, key: &str, value: f64) -> Result<()> {
        self.need(
            (value as f32).is_finite(),
            key,
            format_args!("at most {:e}", f32::MAX),
            format_args!("{value:e}"),
        )
    }

    /// Refuses a name that is not known.
    pub(super) fn one_of(
        &self,
        key: &str,
        what: &'static str,
        name: &str,
        known: &[&str],
    ) -> Result<()> {
        self.named(
            key,
            match known.contains(&name) {
                true => Ok(()),
                false => Err(Error::unknown(what, name, known)),
            },
        )
    }

    /// Says of a key why its name is not known.
    pub(super) fn named<T>(&self, key: &str, found: Result<T>) -> Result<()> {
        match found {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(key, error)),
        }
    }
}

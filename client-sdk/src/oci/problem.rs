//! A registry that refuses or cannot be reached.

use std::fmt;

use crate::error::Source;

/// A request that a registry refused, or that did not get an answer.
#[derive(Debug)]
pub struct Problem {
    /// The registry.
    pub registry: String,
    /// The repository there.
    pub repository: String,
    /// The tag or the digest that was asked for.
    pub reference: String,
    /// The step that failed.
    pub step: &'static str,
    /// HTTP status; none where there was no answer.
    pub status: Option<u16>,
    /// The registry's own code of its error (distribution-spec, "Error Codes").
    pub code: Option<String>,
    /// The registry's words, or those about the connection.
    pub message: String,
    /// Advice on what to do about it.
    pub hint: Option<String>,
    /// The error below, where the connection failed.
    pub source: Option<Source>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "registry {}, repository {}, reference {}: {}: ",
            self.registry, self.repository, self.reference, self.step
        )?;
        if let Some(status) = self.status {
            write!(f, "status {status}")?;
            if let Some(code) = &self.code {
                write!(f, " {code}")?;
            }
            if !self.message.is_empty() {
                f.write_str(": ")?;
            }
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

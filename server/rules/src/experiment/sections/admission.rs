//! `[admission]`: demands of the server on an update.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use crate::admission::{self, CheckConfig};
use crate::error::Result;

/// Checks by the arm that applies them, inline or in a file of the same form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// An admission.toml with `[[provenance]]` and `[[behaviour]]` entries, relative to the
    /// experiment file. Its checks are copied into the run's experiment.toml.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Checks of arm `provenance`; left out: the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Vec<CheckConfig>>,
    /// Checks of arm `behaviour`; left out: the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behaviour: Option<Vec<CheckConfig>>,
}

impl AdmissionConfig {
    /// Checks the entries; `prefix` is what their keys begin with in this file.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>, prefix: &str) -> Result<()> {
        for (set, checks) in [
            ("provenance", &self.provenance),
            ("behaviour", &self.behaviour),
        ] {
            for (index, check) in checks.iter().flatten().enumerate() {
                admission::build(check).map_err(|problem| {
                    let key = match &problem.key {
                        Some(key) => format!("{prefix}{set}.{index}.{key}"),
                        None => format!("{prefix}{set}.{index}"),
                    };
                    at.error(&key, problem.problem)
                })?;
            }
        }
        Ok(())
    }
}

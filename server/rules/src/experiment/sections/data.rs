//! `[data]`: where prompts and examples come from.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::Section;
use crate::error::Result;

/// Where prompts and examples come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `world` (generated) or `real` (fetched prompt sets).
    pub source: String,
    /// Folder of the fetched sets, for `real`; empty: the default folder of `fedseal fetch`.
    pub dir: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            source: "world".into(),
            dir: String::new(),
        }
    }
}

impl DataConfig {
    /// Checks the names.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("data", at);
        section.one_of("source", "data source", &self.source, &["world", "real"])
    }
}

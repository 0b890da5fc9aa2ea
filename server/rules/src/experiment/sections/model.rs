//! `[model]`: the frozen base.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::Section;
use crate::error::Result;
use crate::text;

/// The frozen base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// `embedded`, a name under the models folder (`smollm2`), a Hugging Face folder or a `.gguf`.
    pub source: String,
    /// Chat template: `model` (the files' own), `alpaca` or `chatml`.
    pub template: String,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            source: "embedded".into(),
            template: "model".into(),
        }
    }
}

impl ModelConfig {
    /// Checks the names.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("model", at);
        section.one_of("template", "template", &self.template, &text::names())
    }
}

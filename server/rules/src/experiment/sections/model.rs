//! `[model]`: the frozen base.

use serde::{Deserialize, Deserializer, Serialize};

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
    /// Chat template: `model` (the files' own), `alpaca` or `chatml`; `chat-ml` is `chatml`.
    #[serde(deserialize_with = "template")]
    pub template: String,
    /// Variables of the files' template, `name=value`: the value is JSON, else a text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template_args: Vec<String>,
    /// The day, `YYYY-MM-DD`, that the files' template writes where it asks for today's; empty:
    /// 2024-07-26.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template_date: String,
}

/// Reads a template's name; one of them has two.
fn template<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    let name = String::deserialize(from)?;
    Ok(match name.as_str() {
        "chat-ml" => "chatml".to_owned(),
        _ => name,
    })
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            source: "embedded".into(),
            template: "model".into(),
            template_args: Vec::new(),
            template_date: String::new(),
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

//! Inputs of a training by name, so that a checkpoint of another training is refused with what differs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{Rendering, Template, Tokens, TrainConfig, TuningError};

/// Inputs that a result depends on, but for the examples' texts.
#[derive(Serialize, Deserialize)]
pub(super) struct Inputs {
    pub(super) engine: String,
    /// SHA-256, as those below.
    pub(super) model: String,
    pub(super) start: String,
    pub(super) anchor: Option<String>,
    pub(super) control: Option<[String; 2]>,
    pub(super) template: Template,
    pub(super) rendering: Rendering,
    /// Tokens of the examples, where the training was given them.
    pub(super) tokens: Option<String>,
    pub(super) configuration: Map<String, Value>,
}

impl Inputs {
    /// Names what another training has otherwise: `batch_size (4, now 8)`.
    pub(super) fn others(&self, then: &Self) -> Vec<String> {
        let mut others = Vec::new();
        let mut compare = |name: &str, now: &Value, then: &Value| {
            if now != then {
                others.push(format!("{name} ({then}, now {now})"));
            }
        };
        let text = |text: &str| Value::from(text);
        let rendering = |of: &Self| Value::from_iter(of.rendering.args.clone());
        compare("engine", &text(&self.engine), &text(&then.engine));
        compare(
            "template",
            &text(self.template.name()),
            &text(then.template.name()),
        );
        compare("template_args", &rendering(self), &rendering(then));
        compare(
            "template_date",
            &text(&self.rendering.date.to_string()),
            &text(&then.rendering.date.to_string()),
        );
        let keys = self.configuration.keys().chain(then.configuration.keys());
        for key in keys.collect::<BTreeSet<_>>() {
            // Options at their default are left out.
            let value = |of: &Self| match of.configuration.get(key) {
                Some(value) => value.clone(),
                None => text("default"),
            };
            compare(key, &value(self), &value(then));
        }
        for (name, differs) in [
            ("model", self.model != then.model),
            ("start", self.start != then.start),
            ("anchor", self.anchor != then.anchor),
            ("control variates", self.control != then.control),
        ] {
            if differs {
                others.push(format!("another {name}"));
            }
        }
        // Other options make other tokens, too.
        if let (Some(now), Some(then)) = (&self.tokens, &then.tokens)
            && now != then
            && others.is_empty()
        {
            others.push("other examples, or another tokenizer or template file".to_owned());
        }
        others
    }
}

/// Returns a configuration as it is read back: a number of 32 bits is written with fewer digits than it has
/// as one of 64.
pub(super) fn as_written(config: &TrainConfig) -> Result<Map<String, Value>, TuningError> {
    Ok(serde_json::from_slice(&serde_json::to_vec(config)?)?)
}

/// Returns the SHA-256 of tokens and of what is learned of them.
pub(super) fn digest_of(examples: &[Tokens]) -> String {
    let mut hasher = Sha256::new();
    let mut number = |number: usize| hasher.update((number as u64).to_le_bytes());
    for Tokens {
        ids,
        response_start,
        gaps,
        ..
    } in examples
    {
        number(ids.len());
        ids.iter().for_each(|id| number(*id as usize));
        number(*response_start);
        number(gaps.len());
        for gap in gaps {
            number(gap.start);
            number(gap.end);
        }
    }
    hex::encode(hasher.finalize())
}

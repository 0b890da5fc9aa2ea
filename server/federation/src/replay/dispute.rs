//! Difference between two executions of one update.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Where two executions of one update part: the first step of the transcript that differs, and
/// what each says there. Steps before it are equal, so everything that follows may follow from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dispute {
    /// The number of the transcript's entry; none when the transcripts agree.
    pub entry: Option<usize>,
    /// Part that differs: `call`, `arguments`, `result`, `length`, `adapter`, `failure`, or another claim
    /// of the attestation: `examples`, `lineage`, `data`, `limits`, `seed` and so on.
    pub what: &'static str,
    /// The logged value.
    pub logged: Value,
    /// Value of the new execution.
    pub again: Value,
    /// Whether two engines explain every difference: only trained adapters, written texts and results
    /// that follow from them differ.
    pub by_engine: bool,
}

impl fmt::Display for Dispute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Value| {
            let text = match value {
                Value::String(text) => format!("`{text}`"),
                other => other.to_string(),
            };
            match text.char_indices().nth(200) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        };
        match self.entry {
            Some(entry) => write!(f, "transcript entry {entry}: another {}: ", self.what)?,
            None => write!(
                f,
                "another {} is attested than the inputs give: ",
                self.what
            )?,
        }
        write!(
            f,
            "logged {}, now {}",
            short(&self.logged),
            short(&self.again)
        )
    }
}

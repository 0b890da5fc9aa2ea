//! Contents of a Hugging Face folder besides its tensors.

use serde_json::Value;

use super::files::{ModelFiles, Parts};
use crate::{ModelConfig, Tokenizer, TuningError};

/// Reads the JSON files of a folder.
pub(super) fn parts(files: &ModelFiles, generation_config: &[u8]) -> Result<Parts, TuningError> {
    let json = |name: &str, bytes: &[u8]| -> Result<Value, TuningError> {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(bytes).map_err(|error| TuningError::broken(name, error))
    };
    let config = ModelConfig::from_json(&files.config)?;
    let tokenizer = Tokenizer::from_json(&files.tokenizer, config.vocab)?;
    let tokenizer_config = json("tokenizer_config.json", &files.tokenizer_config)?;
    let tokenizer = tokenizer.with_names(&tokenizer_config);
    // A token is stored as text, or as an object with its text.
    let token = |key: &str| -> Option<String> {
        let value = tokenizer_config.get(key)?;
        let value = value.get("content").unwrap_or(value);
        value.as_str().map(str::to_owned)
    };
    let mut eos = Vec::new();
    let mut push = |id: Option<u32>| {
        if let Some(id) = id
            && (id as usize) < config.vocab
            && !eos.contains(&id)
        {
            eos.push(id);
        }
    };
    push(token("eos_token").and_then(|text| tokenizer.token_id(&text)));
    for value in [
        json("generation_config.json", generation_config)?,
        json("config.json", &files.config)?,
    ] {
        let ids = value.get("eos_token_id").cloned().unwrap_or_default();
        let ids = ids.as_array().cloned().unwrap_or_else(|| vec![ids]);
        for id in ids {
            push(id.as_u64().and_then(|id| u32::try_from(id).ok()));
        }
    }
    let chat_template = match tokenizer_config.get("chat_template") {
        Some(Value::String(text)) => Some(text.clone()),
        // With several named templates, the template named "default".
        Some(Value::Array(list)) => list
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        _ => None,
    };
    Ok(Parts {
        bos: token("bos_token"),
        config,
        tokenizer,
        chat_template,
        eos,
    })
}

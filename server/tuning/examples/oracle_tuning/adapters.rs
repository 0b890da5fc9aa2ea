//! Adapters of every kind that peft writes, beside peft.

use std::{collections::BTreeMap, path::Path};

use fedseal_tuning::{Adapter, next_logits};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    load,
    references::{
        BOUND, Outcome, fixtures, json, largest_difference, largest_value, with_tokenizer,
    },
};

#[derive(Deserialize)]
struct References {
    prompt: String,
    kinds: BTreeMap<String, Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Folder of the base.
    base: String,
    /// Logits with the adapter; none where it has to be refused.
    logits: Option<Vec<f32>>,
    /// Word that the refusal has.
    refused: Option<String>,
}

/// Reads every adapter, or its refusal; changes those that were read and writes them for peft.
pub(crate) fn compare(out: &Path) -> Outcome<Map<String, Value>> {
    let references: References = json(&out.join("peft.json"))?;
    let (mut loaded, mut refused, mut wrong) = (0, 0, 0);
    let mut largest = 0.0_f64;
    let mut ours = BTreeMap::new();
    let mut models = BTreeMap::new();
    for (name, kind) in &references.kinds {
        let folder = match kind.base.as_str() {
            "tiny-llama" => fixtures().join("tiny-llama"),
            other => out.join("architectures").join(other),
        };
        if !models.contains_key(&kind.base) {
            if kind.base != "tiny-llama" {
                with_tokenizer(&folder)?;
            }
            models.insert(kind.base.clone(), load(&folder)?);
        }
        let Some(model) = models.get(&kind.base) else {
            return Err(format!("{}: no model", kind.base).into());
        };
        let ids = model.encode_prompt(&references.prompt)?;
        let read = Adapter::load_peft(&out.join("peft").join(name), model.config());
        match (read, &kind.logits, &kind.refused) {
            (Ok(adapter), Some(real), _) => {
                let logits = next_logits(model, Some(&adapter), &ids)?;
                let difference = largest_difference(&logits, real);
                largest = largest.max(difference);
                if difference <= BOUND * largest_value(real) {
                    loaded += 1;
                } else {
                    wrong += 1;
                    eprintln!("    {name}: loaded with other numbers, {difference:.1e}");
                }
                let changed = adapter.scale(0.8);
                let base = folder.canonicalize()?.display().to_string();
                changed.save_peft(&out.join("ours").join(name), Some(&base))?;
                ours.insert(name, next_logits(model, Some(&changed), &ids)?);
            }
            (Err(error), None, Some(key)) if error.to_string().contains(key.as_str()) => {
                refused += 1;
            }
            (Err(error), ..) => {
                wrong += 1;
                eprintln!("    {name}: {error}");
            }
            (Ok(_), None, _) => {
                wrong += 1;
                eprintln!("    {name}: loaded, and peft does more with it");
            }
        }
    }
    eprintln!("    {loaded} kinds loaded, {refused} refused by key, {wrong} wrong");
    std::fs::write(out.join("ours.json"), json!(ours).to_string())?;
    let figures = json!({
        "adapters.read.max_abs_diff": largest,
        "adapters.loaded": loaded,
        "adapters.refused": refused,
        "adapters.wrong": wrong,
    });
    match figures {
        Value::Object(figures) => Ok(figures),
        _ => Ok(Map::new()),
    }
}

//! Random models of every family, beside transformers and peft.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    load,
    references::{Families, Outcome, References, compare as differences, json, with_tokenizer},
};

/// Compares every checkpoint. A family agrees when all of its checkpoints do.
pub(crate) fn compare(out: &Path) -> Outcome<Map<String, Value>> {
    let references: References = json(&out.join("architectures.json"))?;
    let mut families = Families::default();
    for (name, case) in &references.models {
        let folder = out.join("architectures").join(name);
        with_tokenizer(&folder)?;
        let model = load(&folder)?;
        let step = out.join("steps").join(format!("{name}.safetensors"));
        let found = differences(&model, &references.texts, case, Some(&step))
            .map_err(|error| format!("{name}: {error}"))?;
        let family = model.config().family.architecture.model_type();
        families.add(family, name, found);
    }
    let mut figures = families.figures("folder");
    for (name, value) in [
        ("logits.tiny.max_abs_diff", families.absolute().into()),
        ("families.total", families.total().into()),
        ("families.agreed", families.agreed().into()),
    ] {
        figures.insert(name.to_owned(), value);
    }
    Ok(figures)
}

//! The engine's side of `cargo xtask oracle gguf`; see `tests/oracles/gguf/README.md`.
//!
//! `oracle_gguf OUT` compares with the references in OUT and prints one JSON object of figures. What
//! differs is named on standard error.

#[path = "../tests/behaviour/references.rs"]
mod references;

use std::{collections::BTreeMap, path::Path};

use fedseal_tuning::{Model, ModelOptions, Tokenizer, ggml_values, next_logits};
use serde::Deserialize;
use serde_json::json;

use references::{BOUND, Case, Families, Outcome, Texts, compare, json, largest_value};

#[derive(Deserialize)]
struct Models {
    /// Texts that are encoded.
    texts: Vec<String>,
    #[serde(flatten)]
    given: Texts,
    models: BTreeMap<String, Converted>,
}

/// A checkpoint that llama.cpp's converter read.
#[derive(Deserialize)]
struct Converted {
    /// `model_type` of the checkpoint, which several may share in GGUF.
    family: String,
    /// The bare prompt.
    ids: Vec<u32>,
    /// Every fourth logit of the last row of that.
    last: Vec<f32>,
    encoded: Vec<Vec<u32>>,
    /// Results in the file's template.
    case: Case,
}

#[derive(Deserialize)]
struct Vocabulary {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn main() -> Outcome {
    let out = std::env::args().nth(1).ok_or("argument: OUT")?;
    let out = Path::new(&out);
    let Models {
        texts,
        given,
        models,
    } = json(&out.join("gguf/expected.json"))?;
    let (mut agreed, mut largest) = (0, 0.0f64);
    let mut families = Families::default();
    for (name, converted) in &models {
        let path = out.join("gguf").join(format!("{name}.gguf"));
        let model = Model::load(&path, &ModelOptions::default())?;
        let off = difference(&model, name, converted, &texts)?;
        let step = out.join("steps").join(format!("{name}.safetensors"));
        let found = compare(&model, &given, &converted.case, Some(&step))
            .map_err(|error| format!("{name}: {error}"))?;
        families.add(&converted.family, name, found);
        write_adapter(&model, name, out)?;
        largest = largest.max(off).max(found.logits);
        agreed += usize::from(off <= BOUND && found.agree());
        if off > BOUND {
            eprintln!("    {name}: {off:.2e} of the largest logit");
        }
    }
    let vocabularies: BTreeMap<String, Vocabulary> = json(&out.join("vocabularies.json"))?;
    let (mut count, mut differ) = (0, 0);
    for (path, case) in &vocabularies {
        let tokenizer = Tokenizer::from_gguf(Path::new(path))?;
        for (text, ids) in case.texts.iter().zip(&case.ids) {
            let ours = tokenizer.encode(text, false)?;
            count += 1;
            if ours != *ids {
                differ += 1;
                eprintln!("    {path}: {text:?}: {ours:?} is not {ids:?}");
            }
        }
    }
    let (types, equal) = types(&out.join("blocks"))?;
    let mut figures = families.figures("gguf");
    for (name, value) in [
        ("gguf.models.total", json!(models.len())),
        ("gguf.models.agreed", json!(agreed)),
        ("gguf.families.total", json!(families.total())),
        ("gguf.families.agreed", json!(families.agreed())),
        ("gguf.logits.max_rel_diff", json!(largest)),
        ("gguf.vocabularies.total", json!(vocabularies.len())),
        ("gguf.vocabularies.texts", json!(count)),
        ("gguf.vocabularies.differ", json!(differ)),
        ("gguf.types.total", json!(types)),
        ("gguf.types.equal", json!(equal)),
    ] {
        figures.insert(name.to_owned(), value);
    }
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}

/// Writes an adapter for llama.cpp's converter, where the checkpoint is there as a folder.
fn write_adapter(model: &Model, name: &str, out: &Path) -> Outcome {
    let base = out.join("base").join(name);
    if !base.is_dir() {
        return Ok(());
    }
    let base = base.canonicalize()?.display().to_string();
    let adapter = references::start(model)?;
    Ok(adapter.save_peft(&out.join("ours").join(name), Some(&base))?)
}

/// Returns the largest difference of a logit, of the largest; infinity where an id differs.
fn difference(model: &Model, name: &str, case: &Converted, texts: &[String]) -> Outcome<f64> {
    for (text, ids) in texts.iter().zip(&case.encoded) {
        if model.tokenizer().encode(text, false)? != *ids {
            eprintln!("    {name}: ids of {text:?}");
            return Ok(f64::INFINITY);
        }
    }
    let ours = next_logits(model, None, &case.ids)?;
    let ours: Vec<f32> = ours.into_iter().step_by(4).collect();
    Ok(references::largest_difference(&ours, &case.last) / largest_value(&case.last))
}

/// Returns the number of tensor types and of those whose values are equal bit for bit.
fn types(folder: &Path) -> Outcome<(usize, usize)> {
    let (mut total, mut equal) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "raw") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let values = std::fs::read(path.with_extension("f32"))?;
        let ours = ggml_values(name, &std::fs::read(&path)?).unwrap_or_default();
        let ours: Vec<u8> = ours.iter().flat_map(|value| value.to_le_bytes()).collect();
        total += 1;
        equal += usize::from(ours == values);
        if ours != values {
            eprintln!("    {name}: other values than those of the gguf package");
        }
    }
    Ok((total, equal))
}

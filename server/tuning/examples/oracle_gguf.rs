//! The engine's side of `cargo xtask oracle gguf`; see `tests/oracles/gguf/README.md`.
//!
//! `oracle_gguf OUT` compares with the references in OUT and prints one JSON object of figures. What
//! differs is named on standard error.

use std::{collections::BTreeMap, error::Error, path::Path};

use fedseal_tuning::{Model, ModelOptions, Tokenizer, ggml_values, next_logits};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Largest difference of a logit, of the largest logit.
const BOUND: f32 = 1e-5;

#[derive(Deserialize)]
struct Models {
    texts: Vec<String>,
    models: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// Every fourth logit of the last row.
    last: Vec<f32>,
    encoded: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn main() -> Outcome {
    let out = std::env::args().nth(1).ok_or("argument: OUT")?;
    let out = Path::new(&out);
    let models: Models = json(&out.join("gguf/expected.json"))?;
    let (mut agreed, mut largest) = (0, 0.0f32);
    for (name, case) in &models.models {
        let off = difference(out, name, case, &models.texts)?;
        largest = largest.max(off);
        agreed += usize::from(off <= BOUND);
        if off > BOUND {
            eprintln!("    {name}: {off:.2e} of the largest logit");
        }
    }
    let vocabularies: BTreeMap<String, Texts> = json(&out.join("vocabularies.json"))?;
    let (mut texts, mut differ) = (0, 0);
    for (path, case) in &vocabularies {
        let tokenizer = Tokenizer::from_gguf(Path::new(path))?;
        for (text, ids) in case.texts.iter().zip(&case.ids) {
            let ours = tokenizer.encode(text, false)?;
            texts += 1;
            if ours != *ids {
                differ += 1;
                eprintln!("    {path}: {text:?}: {ours:?} is not {ids:?}");
            }
        }
    }
    let (types, equal) = types(&out.join("blocks"))?;
    let figures = json!({
        "gguf.models.total": models.models.len(),
        "gguf.models.agreed": agreed,
        "gguf.logits.max_rel_diff": largest,
        "gguf.vocabularies.total": vocabularies.len(),
        "gguf.vocabularies.texts": texts,
        "gguf.vocabularies.differ": differ,
        "gguf.types.total": types,
        "gguf.types.equal": equal,
    });
    println!("{figures}");
    Ok(())
}

fn json<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Returns the largest difference of a logit, of the largest; infinity where an id differs.
fn difference(out: &Path, name: &str, case: &Case, texts: &[String]) -> Outcome<f32> {
    let path = out.join("gguf").join(format!("{name}.gguf"));
    let model = Model::load(&path, &ModelOptions::default())?;
    for (text, ids) in texts.iter().zip(&case.encoded) {
        if model.tokenizer().encode(text, false)? != *ids {
            eprintln!("    {name}: ids of {text:?}");
            return Ok(f32::INFINITY);
        }
    }
    let ours = next_logits(&model, None, &case.ids)?;
    let ours: Vec<f32> = ours.into_iter().step_by(4).collect();
    if ours.len() != case.last.len() {
        return Ok(f32::INFINITY);
    }
    let largest = case
        .last
        .iter()
        .fold(0.0f32, |most, value| most.max(value.abs()));
    let pairs = ours.iter().zip(&case.last);
    // NaN must not count as no difference.
    Ok(pairs.fold(0.0, |most: f32, (ours, real)| {
        let off = (ours - real).abs() / largest;
        if off.is_nan() {
            f32::INFINITY
        } else {
            most.max(off)
        }
    }))
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

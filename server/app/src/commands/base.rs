//! The base that an adapter belongs to: its name in PEFT's file, its digest in our records, and the
//! model card beside them.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::outside;
use fedseal_federation::pretraining;
use fedseal_tuning::{Adapter, AdapterConfig, Model};
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::places::Places;

/// Folder of the embedded model beside an adapter that was made on it: PEFT loads a base by its path.
pub(super) const FOLDER: &str = "base";
/// Name of the model card.
pub(super) const CARD: &str = "README.md";
/// Name of the model that `fedseal fetch smollm2` gets, where transformers and PEFT find it.
const SMOLLM2: (&str, &str) = ("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct");
/// Record beside an adapter that comes from a run: where in its log, or what of it.
pub(super) const RECORD: &str = "fedseal.json";
/// Records beside an adapter, and where each has the base's digest.
const RECORDS: [(&str, &str); 2] = [("tune.json", "/model/digest"), (RECORD, "/base")];
/// Longest record that is read, bytes: one has the loss of every step.
const MAX_RECORD: u64 = 64 << 20;

/// Path of a model that is no name of ours: below the models folder, or as given.
pub(super) fn path_of(source: &str) -> Outcome<PathBuf> {
    let named = Places::find().models()?.join(source);
    Ok(match named.exists() {
        true => named,
        false => PathBuf::from(source),
    })
}

/// Returns the name under which PEFT and transformers find the base of an adapter in `out`, a folder that
/// exists.
fn name_of(source: &str, out: &Path) -> Outcome<String> {
    if source == SMOLLM2.0 {
        return Ok(SMOLLM2.1.to_owned());
    }
    let path = match source {
        "embedded" => out.canonicalize().map(|out| out.join(FOLDER)),
        _ => path_of(source)?.canonicalize(),
    };
    // A base that is not here any more keeps the name that the run gave it.
    Ok(path.map_or_else(|_| source.to_owned(), |path| path.display().to_string()))
}

/// Writes the embedded model beside an adapter: nothing else has it as files.
fn write(source: &str, out: &Path) -> Outcome {
    match source {
        "embedded" => pretraining::embedded()
            .save(&out.join(FOLDER))
            .map_err(Failure::new),
        _ => Ok(()),
    }
}

/// Refuses a folder that has something in it.
pub(super) fn empty(out: &Path) -> Outcome {
    match std::fs::read_dir(out).is_ok_and(|mut files| files.next().is_some()) {
        true => Err(Failure::usage(format!("{}: not empty", out.display()))
            .hint("An adapter is written to a new folder.")),
        false => Ok(()),
    }
}

/// Writes an adapter as PEFT loads it into `out`, which is made where there is none, and the embedded
/// base beside it, but where somebody named another. Returns the base's name.
pub(super) fn place(
    adapter: &Adapter,
    source: &str,
    named: Option<String>,
    out: &Path,
) -> Outcome<String> {
    std::fs::create_dir_all(out).map_err(|error| Failure::io(out, &error))?;
    let own = named.is_none();
    let placed = match named {
        Some(name) => name,
        None => name_of(source, out)?,
    };
    adapter
        .save_peft(out, Some(&placed))
        .map_err(Failure::new)?;
    if own {
        write(source, out)?;
    }
    Ok(placed)
}

/// Refuses an adapter whose record names another base, unless `any` is set.
pub(super) fn check(dir: &Path, model: &Model, any: bool) -> Outcome {
    for (file, pointer) in RECORDS {
        let path = dir.join(file);
        if any || path.symlink_metadata().is_err() {
            continue;
        }
        let bytes =
            outside::read_named(&path, MAX_RECORD).map_err(|error| Failure::io(&path, &error))?;
        let record: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        // Records of old exports name no base.
        let Some(named) = record.pointer(pointer).and_then(Value::as_str) else {
            continue;
        };
        let ours = hex(&model.digest());
        if named.trim_start_matches("sha256:") != ours {
            let failure = Failure::usage(format!(
                "{}: the adapter was made on the base {}, this model is {}",
                path.display(),
                short(named),
                short(&ours)
            ));
            return Err(failure.hint(
                "Give the model that it was made on (--model, --base), or --any-base to use it on this one.",
            ));
        }
    }
    Ok(())
}

fn short(digest: &str) -> String {
    let digits = digest.trim_start_matches("sha256:").chars();
    digits.take(12).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns how llama.cpp gets the adapter. Its converter finds a base on the Hub by name, and one in a folder
/// by its option alone: it takes a path for a name that is none. It does not know the scale of rsLoRA, nor
/// other methods than LoRA.
fn for_llama_cpp(base: &str, config: &AdapterConfig) -> String {
    if !config.method.is_lora() || config.rslora {
        return String::new();
    }
    let option = match Path::new(base).is_absolute() {
        true => format!("--base '{base}' "),
        false => String::new(),
    };
    format!(
        "For llama.cpp:\n\n```sh\npython convert_lora_to_gguf.py {option}path/of/this/folder\n```\n\n"
    )
}

/// Returns a model card: what the Hub shows of an adapter, its provenance by name and value, and how to
/// check it.
pub(super) fn card(
    title: &str,
    base: &str,
    adapter: &Adapter,
    provenance: &[(&str, String)],
    check: &str,
) -> String {
    let config = &adapter.config;
    let quoted = Value::from(base);
    let mut text = format!(
        "---\nbase_model: {quoted}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- fedseal\n\
         ---\n\n# {title}\n\nMade by fedseal. Method {:?}, rank {}, targets {}.\n\n\
         ```python\nfrom peft import AutoPeftModelForCausalLM\n\
         model = AutoPeftModelForCausalLM.from_pretrained(\"path/of/this/folder\")\n```\n\n{}\
         ## Provenance\n\n| what | value |\n| --- | --- |\n",
        config.method,
        config.rank,
        config.targets.join(", "),
        for_llama_cpp(base, config),
    );
    for (name, value) in provenance {
        text.push_str(&format!("| {name} | `{value}` |\n"));
    }
    text.push_str(&format!("\n## How to check it\n\n{check}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_cpp_gets_what_it_reads() {
        let lora = AdapterConfig::default();
        let hub = for_llama_cpp("HuggingFaceTB/SmolLM2-135M-Instruct", &lora);
        assert!(hub.contains("convert_lora_to_gguf.py path"), "{hub}");
        let folder = for_llama_cpp("/models/my base", &lora);
        assert!(folder.contains("--base '/models/my base' path"), "{folder}");
        let rslora = AdapterConfig {
            rslora: true,
            ..lora
        };
        for other in [rslora, AdapterConfig::ia3(&["k_proj"])] {
            assert_eq!(for_llama_cpp("a/b", &other), "");
        }
    }
}

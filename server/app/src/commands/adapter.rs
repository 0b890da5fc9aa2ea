//! `fedseal adapter export|sign`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::oms::{self};
use fedseal_record::export::final_adapter;
use fedseal_record::rundir::write_atomically;
use serde_json::json;

use super::base::{self, RECORD};
use crate::failure::{Failure, Outcome};
use crate::{keys, output, places};

/// Takes adapters out of runs, and signs their folders so that other tools can check them.
#[derive(Args)]
pub(crate) struct AdapterCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write the final adapter of an arm as a folder that PEFT loads.
    Export {
        /// The run's folder.
        run: PathBuf,
        /// The arm, by its id.
        #[arg(long, value_name = "ID")]
        arm: String,
        /// The folder; it must be new or empty.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Name or path of the base in adapter_config.json, as PEFT and transformers find it; by default
        /// that of the run's model. The embedded model is written beside the adapter.
        #[arg(long, value_name = "NAME")]
        base_name: Option<String>,
    },
    /// Sign every file of an adapter or model folder (OpenSSF model signing, P-256): model.sig in it.
    Sign {
        /// The folder.
        folder: PathBuf,
        /// The key; by default adapter.pem in the folder of keys, which is made at first use.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Where the signature goes; by default model.sig in the folder.
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
    },
}

impl AdapterCommand {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            Action::Export {
                run,
                arm,
                out,
                base_name,
            } => export(&run, &arm, &out, base_name),
            Action::Sign {
                folder,
                key,
                signature,
            } => sign(&folder, key, signature),
        }
    }
}

fn export(dir: &Path, arm: &str, out: &Path, base_name: Option<String>) -> Outcome {
    let last = final_adapter(dir, arm)?;
    base::empty(out)?;
    let placed = base::place(&last.adapter, &last.model, base_name, out)?;
    let head = &last.checkpoint;
    let provenance = [
        ("adapter, SHA-256", last.digest.to_string()),
        ("arm", arm.to_owned()),
        ("base", placed.clone()),
        ("base, SHA-256 of its tensors", last.base.to_string()),
        ("log", head.origin.to_string()),
        ("log entry", format!("{} of {}", last.entry, head.size)),
        ("root of the log's checkpoint", head.root.to_string()),
        ("node's key", last.node.to_string()),
    ];
    let check = format!(
        "`{RECORD}` has these values. With the run's folder, `fedseal verify RUN` checks the log and every \
         record, and `sha256sum adapter_model.safetensors` prints the digest that entry {} of the log \
         names. `fedseal verify DIR --key KEY` checks a signature of `fedseal adapter sign DIR`.\n",
        last.entry
    );
    let card = base::card(
        "Federated adapter",
        &placed,
        &last.adapter,
        &provenance,
        &check,
    );
    write_atomically(&out.join(base::CARD), card.as_bytes())?;
    let record = json!({
        "log": head.origin,
        "size": head.size,
        "root": head.root,
        "node": last.node,
        "entry": last.entry,
        "arm": arm,
        "adapter": last.digest,
        "base": last.base,
    });
    write_atomically(&out.join(RECORD), format!("{record:#}\n").as_bytes())?;
    output::line(format!(
        "{}: adapter {} of {arm}, log entry {} of {}\nsign it: fedseal adapter sign {}",
        out.display(),
        last.digest.short(),
        last.entry,
        head.size,
        out.display(),
    ));
    Ok(())
}

fn sign(folder: &Path, key: Option<PathBuf>, signature: Option<PathBuf>) -> Outcome {
    if !folder.is_dir() {
        return Err(Failure::usage(format!(
            "{}: there is no such folder",
            folder.display()
        )));
    }
    let path = match key {
        Some(path) if !path.exists() => {
            return Err(
                Failure::usage(format!("{}: there is no key", path.display())).hint(format!(
                    "Make one: fedseal key new --p256 --out {}",
                    path.display()
                )),
            );
        }
        Some(path) => path,
        None => keys::adapter_path(&places::home()?),
    };
    let key = keys::load_or_create_p256(&path)?;
    let elsewhere = signature.as_ref().map(|file| file.display().to_string());
    let file = signature.unwrap_or_else(|| folder.join(oms::SIGNATURE_FILE));
    let signature = oms::sign_to(&file, folder, &key)?;
    let verified = signature.verify_at(&file, folder, &key.public())?;
    write_atomically(&file, &signature.to_bytes()?)?;
    output::line(format!(
        "{}: {} files of {}, root {}\npublic   {}\ncheck it: fedseal verify {} --key {}{}",
        file.display(),
        verified.files.len(),
        verified.name,
        verified.root.short(),
        keys::public_path(&path).display(),
        folder.display(),
        keys::public_path(&path).display(),
        elsewhere.map_or_else(String::new, |file| format!(" --signature {file}")),
    ));
    Ok(())
}

//! `fedseal adapter export|sign`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::oms::{self};
use fedseal_record::export::final_adapter;
use fedseal_record::rundir::write_atomically;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::{keys, output, places};

/// Name of the file next to an exported adapter: the log entry that the adapter comes from.
const RECORD: &str = "fedseal.json";

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
    },
    /// Sign every file of an adapter or model folder (OpenSSF model signing, P-256): model.sig in it.
    Sign {
        /// The folder.
        folder: PathBuf,
        /// The key; by default adapter.pem in the folder of keys, which is made at first use.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

impl AdapterCommand {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            Action::Export { run, arm, out } => export(&run, &arm, &out),
            Action::Sign { folder, key } => sign(&folder, key),
        }
    }
}

fn export(dir: &Path, arm: &str, out: &Path) -> Outcome {
    let last = final_adapter(dir, arm)?;
    if std::fs::read_dir(out).is_ok_and(|mut files| files.next().is_some()) {
        return Err(Failure::usage(format!("{}: not empty", out.display()))
            .hint("An adapter is written to a new folder."));
    }
    last.adapter.save_peft(out).map_err(Failure::new)?;
    let head = &last.checkpoint;
    let record = json!({
        "log": head.origin,
        "size": head.size,
        "root": head.root,
        "node": last.node,
        "entry": last.entry,
        "arm": arm,
        "adapter": last.digest,
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

fn sign(folder: &Path, key: Option<PathBuf>) -> Outcome {
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
    let signature = oms::sign(folder, &key)?;
    let verified = signature.verify(folder, &key.public())?;
    let file = folder.join(oms::SIGNATURE_FILE);
    write_atomically(&file, &signature.to_bytes()?)?;
    output::line(format!(
        "{}: {} files of {}, root {}\npublic   {}\ncheck it: fedseal verify {} --key {}",
        file.display(),
        verified.files.len(),
        verified.name,
        verified.root.short(),
        keys::public_path(&path).display(),
        folder.display(),
        keys::public_path(&path).display(),
    ));
    Ok(())
}

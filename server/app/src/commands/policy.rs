//! `fedseal policy build|sign|inspect|compare`

mod build;
mod compare;
mod toolchain;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::rundir::write_atomically;
use fedseal_sandbox::Sandbox;

use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{keys, output, places};

/// Builds, signs or looks into policy modules.
#[derive(Args)]
pub struct Policy {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build policies of this checkout to components and sign them with the author's key.
    Build {
        /// Names of folders below policies/, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
        /// Where NAME.wasm and its signature go; by default target/policies.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Sign a component; the signature goes into MODULE.dsse.json beside it.
    Sign {
        /// The component.
        module: PathBuf,
        /// Its name; by default the file's.
        #[arg(long)]
        name: Option<String>,
        /// Its version.
        #[arg(long, default_value = "0.1.0")]
        version: String,
        /// One line about it.
        #[arg(long)]
        description: Option<String>,
        /// The key; by default the author's, made when there is none.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Run every policy from one global adapter and say which checks tell it from an honest one.
    Compare(compare::Compare),
    /// Show a module's digest and signature, and whether a sandbox would take it.
    Inspect {
        /// The component.
        module: PathBuf,
        /// The trust file; by default trusted.toml in the folder of keys.
        #[arg(long, value_name = "FILE")]
        trusted: Option<PathBuf>,
    },
}

impl Policy {
    /// Does it.
    pub fn execute(self) -> Outcome {
        match self.action {
            Action::Build { names, out } => build::build(&names, out),
            Action::Sign {
                module,
                name,
                version,
                description,
                key,
            } => {
                let bytes = read(&module)?;
                let name = name.unwrap_or_else(|| {
                    module
                        .file_stem()
                        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
                });
                let key = match key {
                    Some(path) => keys::load(&path)?,
                    None => keys::author(&places::home()?)?,
                };
                let predicate = ModulePredicate {
                    description,
                    ..ModulePredicate::new(&name, &version)
                };
                let envelope = module::sign(&bytes, &predicate, &key)?;
                let path = module::envelope_path(&module);
                write_atomically(&path, &envelope.to_bytes())?;
                output::line(format!(
                    "{} signed by key {}",
                    path.display(),
                    key.public().key_id()
                ));
                Ok(())
            }
            Action::Inspect { module, trusted } => inspect(&module, trusted),
            Action::Compare(compare) => compare.execute(),
        }
    }
}

fn inspect(path: &Path, trusted: Option<PathBuf>) -> Outcome {
    let bytes = read(path)?;
    output::line(format!(
        "file       {} ({} bytes)",
        path.display(),
        bytes.len()
    ));
    output::line(format!("digest     {}", Digest::of(&bytes)));
    let store = match trusted {
        Some(file) => fedseal_client_sdk::keys::TrustStore::load(file)?,
        None => keys::trusted(&places::home()?)?,
    };
    let signature = module::envelope_path(path);
    if !signature.exists() {
        return Err(Failure::new(format!("{}: not signed", path.display()))
            .hint(format!("Sign it: fedseal policy sign {}", path.display())));
    }
    let envelope = Envelope::from_json(&read(&signature)?)?;
    let now = fedseal_federation::rundir::now();
    let at = fedseal_client_sdk::keys::Moment {
        time: &now,
        entry: None,
    };
    let verified = module::verify(&bytes, &envelope, &store.keys_at(&at))?;
    let whose = store.name_of(&verified.signer).unwrap_or("unnamed");
    output::line(format!(
        "name       {} {}\nsigned by  {whose}, key {}",
        verified.predicate.name,
        verified.predicate.version,
        verified.signer.key_id()
    ));
    // Only now, as everywhere: nothing parses a module whose signature does not hold.
    let sandbox = Sandbox::new(Limits::default()).map_err(Failure::new)?;
    sandbox
        .compile(&bytes)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    output::line("sandbox    would run it");
    Ok(())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!("{}: {error}", path.display())),
        _ => Failure::io(path, &error),
    })
}

/// Names of the policies of a checkout: the folders below `policies/` with a manifest.
fn known(places: &Places) -> Vec<String> {
    let entries = std::fs::read_dir(places.root().join("policies"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

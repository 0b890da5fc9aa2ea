//! `fedseal policy inspect`: whose a module is, what it asks for, and whether a sandbox takes it.

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{Moment, TrustStore};
use fedseal_client_sdk::module;
use fedseal_federation::rundir;
use fedseal_sandbox::{Sandbox, component};

use super::{needed, read};
use crate::failure::{Failure, Outcome};
use crate::{keys, output, places};

/// Shows a module's digest, signer, imports and the limits that it needs.
#[derive(Args)]
pub struct Inspect {
    /// The component.
    module: PathBuf,
    /// The trust file; by default trusted.toml in the folder of keys.
    #[arg(long, value_name = "FILE")]
    trusted: Option<PathBuf>,
}

impl Inspect {
    /// Prints what is known, and fails where the signature does not hold or no sandbox would run
    /// it.
    pub fn execute(self) -> Outcome {
        let path = self.module.as_path();
        let bytes = read(path)?;
        output::line(format!(
            "file       {} ({} bytes)",
            path.display(),
            bytes.len()
        ));
        output::line(format!("digest     {}", Digest::of(&bytes)));
        let store = match self.trusted {
            Some(file) => TrustStore::load(file)?,
            None => keys::trusted(&places::home()?)?,
        };
        signed(path, &bytes, &store)?;
        // Only now, as everywhere: nothing parses a module whose signature does not hold.
        let description = component::describe(&bytes).map_err(Failure::new)?;
        for import in &description.imports {
            let what = match import.as_str() {
                component::HOST_INTERFACE => "the host",
                name if component::is_virtual(name) => "virtual",
                _ => "NOT THERE for a policy",
            };
            output::line(format!("imports    {import} ({what})"));
        }
        let limits = Limits::default();
        for need in needed::of(bytes.len(), &description, &limits) {
            let over = if need.needed > need.given {
                ", MORE than the default"
            } else {
                ""
            };
            output::line(format!(
                "needs      {:<13} {:>10} (default {}{over})",
                need.name, need.needed, need.given
            ));
        }
        let raised = needed::raised(&bytes, &limits)?;
        let sandbox = Sandbox::new(raised).map_err(Failure::new)?;
        sandbox
            .compile(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        output::line(if raised == limits {
            "sandbox    would run it"
        } else {
            "sandbox    would run it where the limits are raised"
        });
        Ok(())
    }
}

/// The detached signature beside the module.
fn signed(path: &Path, bytes: &[u8], store: &TrustStore) -> Outcome {
    let signature = module::envelope_path(path);
    if !signature.exists() {
        return Err(Failure::new(format!("{}: not signed", path.display()))
            .hint(format!("Sign it: fedseal policy sign {}", path.display())));
    }
    let envelope = Envelope::from_json(&read(&signature)?)?;
    let now = rundir::now();
    let at = Moment {
        time: &now,
        entry: None,
    };
    let verified = module::verify(bytes, &envelope, &store.keys_at(&at))?;
    let whose = store.name_of(&verified.signer).unwrap_or("unnamed");
    output::line(format!(
        "name       {} {}\nsigned by  {whose}, key {}",
        verified.predicate.name,
        verified.predicate.version,
        verified.signer.key_id()
    ));
    Ok(())
}

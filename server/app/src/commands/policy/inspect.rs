//! `fedseal policy inspect`: a module's author and needs, and whether a sandbox takes it.

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{PublicKey, TrustStore};
use fedseal_engines::helper::Access;
use fedseal_sandbox::component;

use super::{needed, provenance};
use crate::failure::{Failure, Outcome};
use crate::modules::{self, Found, Place, Signer};
use crate::places::{self, Places};
use crate::registry::RegistryPlace;
use crate::{decisions, kept, keys, output};

/// Shows a module's digest, signer, imports and the limits that it needs.
#[derive(Args)]
pub(super) struct Inspect {
    #[arg(help = modules::HELP)]
    module: Place,
    /// The trust file; by default trusted.toml in the folder of keys.
    #[arg(long, value_name = "FILE")]
    trusted: Option<PathBuf>,
    /// Folder of submitted modules, whose decisions on this one are shown, by default registry in the folder
    /// of keys; or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "DIR|URL")]
    registry: Option<PathBuf>,
}

impl Inspect {
    /// Prints the known facts. Fails where the signature does not hold or no sandbox would run the module.
    pub(super) fn execute(self) -> Outcome {
        let place = &self.module;
        let found = place.read()?;
        let bytes = found.bytes.as_slice();
        output::line(format!("file       {place} ({} bytes)", bytes.len()));
        output::line(format!("digest     {}", Digest::of(bytes)));
        super::begins_as_component(place, bytes)?;
        let store = match self.trusted {
            Some(file) => TrustStore::load(file)?,
            None => {
                let mut store = keys::trusted(&places::home()?)?;
                store.take_in(&Places::find().installed_keys()?);
                store
            }
        };
        signed(place, &found, &store)?;
        let registry = RegistryPlace::of(self.registry.as_deref())?;
        if let Some((_, decisions)) = decisions::existing(&registry, Access::Read)? {
            let digest = Digest::of(bytes);
            let about = decisions
                .all()?
                .into_iter()
                .filter(|it| it.module == digest);
            for decided in about {
                output::line(format!("decision   {}", decided.line()));
            }
        }
        // Only now, as everywhere: nothing parses a module whose signature does not hold.
        let description = component::describe(bytes).map_err(Failure::new)?;
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
        // Only a run shows how much of the others is used: `policy test` prints it.
        let shown = ["module_bytes", "memory_bytes", "tables", "instances"];
        let rest = limits.by_name();
        let rest = rest
            .iter()
            .filter(|(name, _)| !shown.contains(&name.as_str()));
        for (name, value) in rest {
            output::line(format!("may use    {name:<17} {value:>11} (default)"));
        }
        let raised = needed::raised(bytes, &limits)?;
        let sandbox = kept::sandbox(raised).map_err(Failure::new)?;
        sandbox
            .compile(bytes)
            .map_err(|error| Failure::new(format!("{place}: {error}")))?;
        output::line(if raised == limits {
            "sandbox    would run it"
        } else {
            "sandbox    would run it where the limits are raised"
        });
        Ok(())
    }
}

/// Who vouches for the module, detached and embedded.
fn signed(place: &Place, found: &Found, store: &TrustStore) -> Outcome {
    let whose = |key: &PublicKey| {
        let name = store.name_of(key).unwrap_or("unnamed");
        format!("{name}, key {key}")
    };
    match found.signer(place, store)? {
        Signer::Detached { verified, .. } => {
            output::line(format!(
                "name       {} {}\nsigned by  {}",
                verified.predicate.name,
                verified.predicate.version,
                whose(&verified.signer)
            ));
            let build = verified.predicate.build.as_ref();
            for line in build.map_or_else(Vec::new, provenance::lines) {
                output::line(line);
            }
        }
        Signer::Embedded(key) => output::line(format!(
            "signed by  {} (embedded; a node asks for a detached signature too)",
            whose(&key)
        )),
    }
    // For people: a detached statement is about these very bytes, whatever stands in them.
    if let Some(embedded) = found.embedded()? {
        let known: Vec<PublicKey> = store.keys.iter().map(|key| key.key).collect();
        output::line(match embedded.verify(&known) {
            Ok(key) => format!("embedded   wasmsign2 signature by {}", whose(&key)),
            Err(error) => format!("embedded   NOT by a known key: {error}"),
        });
    }
    Ok(())
}

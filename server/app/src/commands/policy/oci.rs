//! `fedseal policy push|pull`: modules to and from an OCI image layout on disk, or a registry.

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::module;
use fedseal_client_sdk::oci::{self, About, Access, Reference};
use fedseal_record::rundir::write_atomically;
use fedseal_sandbox::component;

use crate::failure::{Failure, Outcome};
use crate::modules::{Place, Signer};
use crate::{keys, modules, output, places};

/// Puts a signed module into an OCI image layout on disk, or into a registry.
#[derive(Args)]
pub(super) struct Push {
    #[arg(help = modules::HELP)]
    module: Place,
    #[arg(
        help = "Where: oci:PATH[:TAG] for a layout, which is made when there is none, or \
                oci:REGISTRY/REPOSITORY[:TAG]; without a tag it is `latest`"
    )]
    to: String,
}

/// Takes a module and its signature out of an OCI image layout on disk, or out of a registry.
#[derive(Args)]
pub(super) struct Pull {
    #[arg(
        help = "Which: oci:PATH[:TAG|@sha256:DIGEST] or oci:REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]"
    )]
    from: String,
    /// The module's file; by default NAME.wasm here, by the name that it was signed under.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Push {
    /// Pushes the module, if a key that is trusted here vouches for it.
    pub(super) fn execute(self) -> Outcome {
        let to = Reference::parse(&self.to).map_err(Failure::usage)?;
        let found = self.module.read()?;
        let store = keys::trusted(&places::home()?)?;
        found.signer(&self.module, &store)?;
        let described = component::describe(&found.bytes).map_err(Failure::new)?;
        let about = About {
            imports: described.imports,
            exports: described.exports,
        };
        let envelopes: Vec<_> = found.envelopes.iter().collect();
        let manifest = oci::push(&to, &found.bytes, &about, &envelopes, &Access::of_user())?;
        output::line(format!(
            "{to}: {} with {} signature(s)\ndigest     oci:{}@sha256:{manifest}",
            self.module,
            envelopes.len(),
            to.store,
        ));
        Ok(())
    }
}

impl Pull {
    /// Writes the module and its signature, when a key that is trusted here made one.
    pub(super) fn execute(self) -> Outcome {
        let place = Place::Artifact(self.from);
        let found = place.read()?;
        let store = keys::trusted(&places::home()?)?;
        let (name, envelope, key) = match found.signer(&place, &store)? {
            Signer::Detached { envelope, verified } => {
                (verified.predicate.name, Some(envelope), verified.signer)
            }
            Signer::Embedded(key) => (place.name(), None, key),
        };
        let path = self.out.unwrap_or_else(|| format!("{name}.wasm").into());
        let signature = module::envelope_path(&path);
        for file in [&path, &signature] {
            if file.exists() {
                return Err(
                    Failure::usage(format!("{}: a file is there already", file.display()))
                        .hint("Move it away or name another file with --out."),
                );
            }
        }
        write_atomically(&path, &found.bytes)?;
        if let Some(envelope) = envelope {
            write_atomically(&signature, &envelope.to_bytes())?;
        }
        output::line(format!(
            "{}: {name}, signed by {}, key {key}",
            path.display(),
            store.name_of(&key).unwrap_or("unnamed")
        ));
        Ok(())
    }
}

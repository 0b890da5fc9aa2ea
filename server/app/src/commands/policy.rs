//! `fedseal policy new|build|test|sign|inspect|push|pull|submit|compare`: an author's whole path.

mod build;
mod compare;
mod inspect;
mod language;
mod needed;
mod new;
mod oci;
mod provenance;
mod test;
mod verifier;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedseal_client_sdk::module::{self, ModulePredicate};

use crate::failure::{Failure, Outcome};
use crate::modules::{self, Place};
use crate::places::Places;
use crate::{keys, output, places};

/// Makes, builds, tests, signs, looks into and submits policy modules.
#[derive(Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the folder of a new policy.
    New(new::New),
    /// Build policies to components and sign them with the author's key.
    Build {
        /// Names of folders below policies/, `all` of them, or folders anywhere (Rust, Python,
        /// JavaScript, C, AssemblyScript).
        #[arg(required_unless_present = "check")]
        names: Vec<String>,
        /// Where NAME.wasm and its signature go; by default target/policies, for a folder
        /// elsewhere its own target.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Show that a module comes from a source: build the source again and compare. Takes the source,
        /// then the module.
        #[arg(long, value_names = ["SOURCE", "MODULE"], num_args = 2, conflicts_with_all = ["names", "out"])]
        check: Option<Vec<String>>,
    },
    /// Run a policy's native tests and the policy in the sandbox on a small shard.
    Test(test::Test),
    /// Sign a component; the signature goes into MODULE.dsse.json beside it, or to its layout or registry.
    Sign {
        #[arg(help = modules::HELP)]
        module: Place,
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
    /// Show a module's digest, signer, imports and the limits that it needs.
    Inspect(inspect::Inspect),
    /// Put a signed module into an OCI image layout on disk, or into a registry.
    Push(oci::Push),
    /// Take a module and its signature out of an OCI image layout on disk, or out of a registry.
    Pull(oci::Pull),
    /// Submit a signed module to a running server.
    Submit(super::submit::Submit),
    /// Run every policy from one global adapter and say which checks tell it from an honest one.
    Compare(compare::Compare),
}

impl Policy {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            Action::Build { names, out, check } => match check.as_deref() {
                Some([source, module]) => build::check(source, module),
                _ => build::build(&names, out),
            },
            Action::Sign {
                module,
                name,
                version,
                description,
                key,
            } => {
                let bytes = module.read()?.bytes;
                // Anything can be signed; a signature of a wrong file would be found out far from here.
                begins_as_component(&module, &bytes)?;
                let name = name.unwrap_or_else(|| module.name());
                let key = match key {
                    Some(path) => keys::load(&path)?,
                    None => keys::author(&places::home()?)?,
                };
                let predicate = ModulePredicate {
                    description,
                    ..ModulePredicate::new(&name, &version)
                };
                let envelope = module::sign(&bytes, &predicate, &key)?;
                let whereto = module.attach(&envelope)?;
                output::line(format!("{whereto} signed by key {}", key.public()));
                Ok(())
            }
            Action::New(new) => new.execute(),
            Action::Test(test) => test.execute(),
            Action::Push(push) => push.execute(),
            Action::Pull(pull) => pull.execute(),
            Action::Inspect(inspect) => inspect.execute(),
            Action::Submit(submit) => submit.execute(),
            Action::Compare(compare) => compare.execute(),
        }
    }
}

/// Names of the policies of a checkout: the folders below `policies/` with a manifest.
fn known(places: &Places) -> Vec<String> {
    let checkout = places.checkout();
    checkout.map_or_else(Vec::new, fedseal_toolchain::names)
}

/// Refuses a file that does not even begin as a component does: its signature is not what it lacks.
fn begins_as_component(module: &Place, bytes: &[u8]) -> Outcome {
    if bytes.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(());
    }
    let problem = format!("{module}: this is no WebAssembly component");
    let way = "`fedseal policy build` makes one of a policy's folder, and signs it.";
    Err(Failure::usage(problem).hint(way))
}

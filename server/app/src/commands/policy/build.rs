//! From a policy crate to a signed component.

use std::path::PathBuf;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::Error;
use fedseal_federation::rundir::write_atomically;
use fedseal_sandbox::component;

use super::toolchain::{self, TARGET};
use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{keys, output, places};

/// Builds and signs. Cargo's own messages go to standard error.
pub fn build(names: &[String], out: Option<PathBuf>) -> Outcome {
    let places = Places::find();
    let known = super::known(&places);
    if known.is_empty() {
        return Err(Failure::usage("no policies/ folder is here or above")
            .hint("Run this inside a checkout of fedseal."));
    }
    let names = if names.iter().any(|name| name == "all") {
        known.clone()
    } else {
        names.to_vec()
    };
    for name in &names {
        if !known.contains(name) {
            return Err(Error::unknown("policy", name, &known).into());
        }
    }
    let out = out.unwrap_or_else(|| places.policies());
    std::fs::create_dir_all(&out).map_err(|error| Failure::io(&out, &error))?;
    let home = places::home()?;
    let author = keys::author(&home)?;
    keys::trusted(&home)?;

    // A folder of its own, so that this does not wait for a cargo that builds the host's crates.
    let target = places.target().join("guest");
    let mut cargo = toolchain::find()?.cargo();
    cargo
        .args(["build", "--quiet", "--profile", "guest", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(places.root());
    for name in &names {
        cargo.arg("-p").arg(format!("fedseal-policy-{name}"));
    }
    let status = cargo
        .status()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "building {} ended with {status}",
            names.join(", ")
        )));
    }

    for name in &names {
        let core = target
            .join(TARGET)
            .join("guest")
            .join(format!("fedseal_policy_{}.wasm", name.replace('-', "_")));
        let bytes = std::fs::read(&core).map_err(|error| Failure::io(&core, &error))?;
        let bytes = component::componentize(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", core.display())))?;
        let predicate = ModulePredicate::new(name, env!("CARGO_PKG_VERSION"));
        let envelope = module::sign(&bytes, &predicate, &author)?;
        let path = out.join(format!("{name}.wasm"));
        write_atomically(&path, &bytes)?;
        write_atomically(&module::envelope_path(&path), &envelope.to_bytes())?;
        output::line(format!(
            "{} ({} KiB, {}) signed by key {}",
            path.display(),
            bytes.len().div_ceil(1024),
            Digest::of(&bytes).short(),
            author.public().key_id()
        ));
    }
    Ok(())
}

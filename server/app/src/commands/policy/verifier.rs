//! The module with which browsers check proofs: client-sdk/verifier, built by the guests' compiler.

use fedseal_record::rundir::write_atomically;

use super::toolchain::{self, TARGET};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// The crate.
const CRATE: &str = "fedseal-verifier";

/// Builds it. A call of cargo of its own: together with the policies their dependencies would have other
/// features, and they other bytes.
pub(super) fn build(places: &Places) -> Outcome {
    let root = places.needed_checkout()?;
    let Some(to) = places.verifier() else {
        return Ok(());
    };
    let target = to.with_file_name("guest");
    let whole = root
        .canonicalize()
        .map_err(|error| Failure::io(root, &error))?;
    let mut cargo = toolchain::find(TARGET)?.cargo(&[(whole, "/fedseal".into())]);
    let status = cargo
        .args(["rustc", "--quiet", "--profile", "guest", "--target", TARGET])
        .args(["--package", CRATE, "--lib", "--crate-type", "cdylib"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root)
        .status()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "building {CRATE} ended with {status}"
        )));
    }
    let name = format!("{}.wasm", CRATE.replace('-', "_"));
    let made = target.join(TARGET).join("guest").join(name);
    let bytes = std::fs::read(&made).map_err(|error| Failure::io(&made, &error))?;
    write_atomically(&to, &bytes)?;
    let size = bytes.len().div_ceil(1024);
    output::line(format!("{} ({size} KiB)", to.display()));
    Ok(())
}

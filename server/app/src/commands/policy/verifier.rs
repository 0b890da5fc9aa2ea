//! The module with which browsers check proofs: client-sdk/verifier, built by the guests' compiler.

use fedseal_record::rundir::write_atomically;
use fedseal_toolchain as toolchain;

use super::build::found;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Builds it.
pub(super) fn build(places: &Places) -> Outcome {
    let root = places.needed_checkout()?;
    let target = places.target().unwrap_or_else(|| root.join("target"));
    let folder = toolchain::folder(&target);
    let whole = root
        .canonicalize()
        .map_err(|error| Failure::io(root, &error))?;
    let status = toolchain::verifier(&found(toolchain::TARGET)?, &whole, &folder)
        .status()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "building the verifier ended with {status}"
        )));
    }
    let made = toolchain::verifier_module(&folder);
    let bytes = std::fs::read(&made).map_err(|error| Failure::io(&made, &error))?;
    let to = target.join("verifier.wasm");
    write_atomically(&to, &bytes)?;
    let size = bytes.len().div_ceil(1024);
    output::line(format!("{} ({size} KiB)", to.display()));
    Ok(())
}

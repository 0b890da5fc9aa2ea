//! Types and accessibility of the report pages (svelte-check).

use std::process::Command;

use super::LeftOut;
use crate::process::{root, run};
use crate::{Outcome, build, setup};

/// Runs the pages' own check; its warnings are errors.
pub(super) fn check() -> Outcome<LeftOut> {
    if !setup::web() {
        return Ok(Some("npm is missing".to_owned()));
    }
    build::web_packages()?;
    run(Command::new("npm")
        .args(["run", "--silent", "check"])
        .current_dir(root().join("web")))?;
    Ok(None)
}

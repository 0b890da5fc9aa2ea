//! Licences, banned crates, sources and known flaws of the dependencies (cargo-deny, `deny.toml`).

use std::process::Command;

use super::LeftOut;
use super::tools::Tool;
use crate::process::{root, run};
use crate::{Outcome, fail};

const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Licences, bans and sources need nothing but the lock file and the crates.
pub(super) fn check() -> Outcome<LeftOut> {
    let deny = match DENY.find() {
        Ok(path) => path,
        Err(why) => return Ok(Some(why)),
    };
    let checks = ["licenses", "bans", "sources"];
    run(Command::new(deny)
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(checks)
        .current_dir(root()))?;
    Ok(None)
}

/// Advisories need RustSec's database, which is fetched from its repository.
pub(super) fn advisories() -> Outcome<LeftOut> {
    let deny = match DENY.find() {
        Ok(path) => path,
        Err(why) => return Ok(Some(why)),
    };
    let ran = Command::new(deny)
        .args(["--locked", "check", "advisories"])
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() {
        return Ok(None);
    }
    if said.contains("failed to fetch advisory database") {
        return Ok(Some("RustSec's database cannot be reached".to_owned()));
    }
    eprint!("{said}");
    fail("cargo-deny found advisories")
}

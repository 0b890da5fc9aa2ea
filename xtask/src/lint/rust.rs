//! Rust's own tools: rustfmt, clippy and rustdoc. A warning is an error.

use super::LeftOut;
use crate::process::cargo;
use crate::{Outcome, build};

/// Formatting of every Rust source.
pub(super) fn format() -> Outcome<LeftOut> {
    cargo(&["fmt", "--check"], &[])?;
    Ok(None)
}

/// Circles of modules, found by a program of its own.
pub(super) fn circles() -> Outcome<LeftOut> {
    cargo(&["run", "--quiet", "--package", "fedseal-circles"], &[])?;
    Ok(None)
}

/// Lints of the workspace's `Cargo.toml` and clippy's own.
pub(super) fn clippy() -> Outcome<LeftOut> {
    let mut words = vec!["clippy", "--workspace", "--all-targets"];
    words.extend(build::features());
    words.extend(["--", "-D", "warnings"]);
    cargo(&words, &[])?;
    Ok(None)
}

/// Documentation, whose links have to lead somewhere.
pub(super) fn docs() -> Outcome<LeftOut> {
    let mut words = vec!["doc", "--workspace", "--no-deps", "--keep-going"];
    words.extend(build::features());
    cargo(&words, &[("RUSTDOCFLAGS", "-Dwarnings")])?;
    Ok(None)
}

//! rustfmt and clippy over everything; a warning is an error.

use crate::Outcome;
use crate::process::cargo;

/// Formatting and lints.
pub fn lint() -> Outcome {
    cargo(&["fmt", "--check"], &[])?;
    cargo(
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )
}

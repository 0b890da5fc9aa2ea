//! `cargo xtask oracle engines`: queues and stores of jobs on real servers, and a run of several workers over them.

use crate::process::{cargo, root, say};
use crate::{Outcome, fail, python};

/// The command.
pub(super) fn engines() -> Outcome {
    let folder = root().join("tests/oracles/engines");
    let python = python::with("engines", &folder.join("requirements.txt"))?;
    let Some(bin) = python.parent() else {
        return fail(format!("{}: it lies in no folder", python.display()));
    };
    let bin = bin.to_string_lossy();
    let environment = [
        ("FEDSEAL_ENGINES_BIN", bin.as_ref()),
        ("FEDSEAL_REQUIRE_ORACLES", "1"),
    ];
    say("Building the helper, and holding NATS JetStream and S3 to the contracts");
    // Alone: what its clients bring would build burn and wasmtime again for everything else.
    let helper = ["-p", "fedseal-engines", "--features", "network"];
    cargo(&[&["build"], &helper[..]].concat(), &[])?;
    cargo(
        &[&["test"], &helper[..], &["--test", "contract"]].concat(),
        &environment,
    )?;
    say("A run of two workers over both");
    let helper = root().join("target/debug/fedseal-engines");
    let helper = helper.to_string_lossy();
    let environment = [&environment[..], &[("FEDSEAL_ENGINES", helper.as_ref())]].concat();
    cargo(
        &["test", "--workspace", "--test", "lend", "queue"],
        &environment,
    )
}

//! `cargo xtask oracle replay [DEVICE...]`: measures how far apart two engines make one update, and
//! writes the table that `fedseal replay` takes its bounds from.

use std::process::Command;

use crate::process::{cargo, root, run, say};
use crate::{Outcome, build};

/// The table, from the root.
const TABLE: &str = "server/federation/src/replay/tolerances.toml";
/// Experiments, with another model after `@`.
const EXPERIMENTS: [&str; 3] = [
    "experiments/tiny.toml",
    "experiments/demo.toml",
    "experiments/tiny.toml@server/tuning/tests/fixtures/tiny-llama",
];

/// Measures the numeric modes of the CPU and of each named device, every pair of them.
pub(super) fn replay(devices: &[String]) -> Outcome {
    say("Building the measurement");
    let mut words = vec!["build", "--workspace", "--example", "measure_replay"];
    words.extend(build::features());
    cargo(&words, &[])?;
    let engines = |devices: &[&str]| -> Vec<String> {
        let modes = |device: &&str| ["exact", "fast"].map(|mode| format!("{device} {mode}"));
        devices.iter().flat_map(modes).collect()
    };
    say("Training the same updates on two engines");
    let mut all = vec!["cpu"];
    all.extend(devices.iter().map(String::as_str));
    let mut command = Command::new(root().join("target/debug/examples/measure_replay"));
    command
        .current_dir(root())
        .args([TABLE, "models"])
        .args(engines(&all))
        .arg("--")
        .args(EXPERIMENTS);
    run(&mut command)
}

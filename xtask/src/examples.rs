//! The examples of the rooms, run to their ends: each is a program that has to hold what it says.

use std::fs;
use std::process::Command;

use crate::process::{root, run, say, target};
use crate::{Outcome, build};

/// Examples that were built with the tests; those that need a run get a small one.
pub(crate) fn examples() -> Outcome {
    say("Examples");
    let folder = target().join("examples-run");
    let _ = fs::remove_dir_all(&folder);
    run(build::fedseal()
        .args([
            "run",
            "xtask/small.toml",
            "--no-figures",
            "--quiet",
            "--out",
        ])
        .arg(&folder)
        .stdout(std::process::Stdio::null()))?;
    for (name, needs_run) in [
        ("write_a_rule", false),
        ("tune_four_steps", false),
        ("verify_bundle", false),
        ("verify_bundle", true),
        ("replay_update", true),
    ] {
        let programs = build::fedseal().get_program().to_owned();
        let programs = std::path::Path::new(&programs).with_file_name("examples");
        let mut command = Command::new(programs.join(name));
        command.current_dir(root());
        if needs_run {
            command.arg(&folder);
        }
        run(&mut command)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

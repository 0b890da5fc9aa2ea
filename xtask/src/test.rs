//! Every test: Rust first, then the pages in a real browser. `FEDSEAL_GPU_TEST=1` adds the GPU
//! device on Vulkan.

use std::process::Command;
use std::time::Instant;

use crate::process::{cargo, root, run, say, seconds};
use crate::{Outcome, build, languages, python, setup};

/// `cargo xtask test [FILTER]`. A filter names Rust tests and leaves the browser out.
pub fn test(arguments: &[String]) -> Outcome {
    let started = Instant::now();
    setup::for_build()?;
    build::web()?;
    languages::install();
    setup::go();
    setup::skopeo();
    let checkers = python::checkers();
    say("Building everything with its tests");
    // The tests' own dependencies add features, so a plain build before them would build twice.
    let mut words = vec!["build", "--workspace", "--lib", "--bins", "--tests"];
    words.extend(build::features());
    cargo(&words, &[])?;
    build::policies()?;
    say("Rust tests");
    let mut words = vec!["test", "--workspace"];
    words.extend(build::features());
    if let Some(filter) = arguments.first() {
        words.push(filter);
    }
    let python = checkers.as_ref().map(|path| path.to_string_lossy());
    let python = python.iter().map(|path| ("FEDSEAL_PYTHON", path.as_ref()));
    cargo(&words, &python.collect::<Vec<_>>())?;
    if arguments.is_empty() {
        // Minutes of building: only where it is asked for.
        if std::env::var_os("FEDSEAL_GPU_TEST").is_some() {
            gpu()?;
        }
        browser()?;
    }
    eprintln!("    all tests: {}", seconds(started.elapsed()));
    Ok(())
}

/// The GPU device beside the CPU, on software Vulkan where there is no card. A step of its own: it
/// alone needs burn with its feature `wgpu`, and nothing above the tuning room is built with it.
fn gpu() -> Outcome {
    if !setup::vulkan() {
        return Ok(());
    }
    say("GPU device on Vulkan (building it takes some minutes the first time)");
    // The whole workspace is named so that dependencies have the features they were built with.
    cargo(
        &[
            "test",
            "--workspace",
            "--features",
            "fedseal/wgpu",
            "--test",
            "gpu",
        ],
        &[],
    )
}

/// The pages of a real server, driven in a real browser.
fn browser() -> Outcome {
    let web = root().join("web");
    if !web.join("node_modules").exists() {
        eprintln!("    browser tests left out: the report pages could not be built");
        return Ok(());
    }
    let Some(chromium) = setup::chromium() else {
        return Ok(());
    };
    say("Browser tests");
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", "test:browser"])
        .current_dir(&web)
        .env("CHROMIUM", chromium);
    run(command.env("FEDSEAL", build::fedseal().get_program()))
}

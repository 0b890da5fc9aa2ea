//! Every test: Rust first, then the GPU device on Vulkan, then the pages in a real browser. What
//! was not run is named at the end, with the reason. The GPU device takes minutes of building, so it is
//! run where `FEDSEAL_GPU_TEST=1` asks for it.

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
    let mut left_out = Vec::new();
    if arguments.is_empty() {
        left_out.extend(gpu()?.map(|why| ("the GPU device", why)));
        left_out.extend(browser()?.map(|why| ("the pages in a browser", why)));
    } else {
        let why = "a filter names Rust tests alone";
        left_out.extend(["the GPU device", "the pages in a browser"].map(|what| (what, why)));
    }
    eprintln!("    all tests: {}", seconds(started.elapsed()));
    for (what, why) in left_out {
        eprintln!("    LEFT OUT: {what}: {why}");
    }
    Ok(())
}

/// The GPU device beside the CPU, on software Vulkan where there is no card; the reason where that
/// is left out. A step of its own: it alone needs burn with its feature `wgpu`, and nothing above
/// the tuning room is built with it.
fn gpu() -> Outcome<Option<&'static str>> {
    if !std::env::var(GPU_TEST).is_ok_and(|value| value == "1") {
        return Ok(Some("FEDSEAL_GPU_TEST=1 adds it"));
    }
    if !setup::vulkan() {
        return Ok(Some(
            "no Vulkan driver; on Debian `apt-get install mesa-vulkan-drivers` brings one in software",
        ));
    }
    say("GPU device on Vulkan (building it takes some minutes the first time)");
    // The whole workspace is named so that dependencies have the features they were built with.
    // The variable makes the test fail, not vanish, if it were built without the feature.
    cargo(
        &[
            "test",
            "--workspace",
            "--features",
            "fedseal/wgpu",
            "--test",
            "gpu",
        ],
        &[("FEDSEAL_GPU_BUILD", "1")],
    )?;
    Ok(None)
}

/// `1` adds the GPU device.
const GPU_TEST: &str = "FEDSEAL_GPU_TEST";

/// The pages of a real server, driven in a real browser; the reason where that is left out.
fn browser() -> Outcome<Option<&'static str>> {
    let web = root().join("web");
    if !web.join("node_modules").exists() {
        return Ok(Some(
            "npm is missing, so the report pages could not be built",
        ));
    }
    let Some(chromium) = setup::chromium() else {
        return Ok(Some(
            "no Chromium; `apt-get install chromium`, or set CHROMIUM to a browser's path",
        ));
    };
    say("Browser tests");
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", "test:browser"])
        .current_dir(&web)
        .env("CHROMIUM", chromium);
    run(command.env("FEDSEAL", build::fedseal().get_program()))?;
    Ok(None)
}

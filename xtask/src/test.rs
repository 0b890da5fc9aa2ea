//! Every test: Rust first, the GPU device on Vulkan and servers of queues, stores and records with it, then the
//! examples, the pages in a real browser, and the packages of this build, installed and used. What was not
//! run is named at the end, with the reason.

use std::process::Command;
use std::time::Instant;

use crate::oracle::engines::{Engines, NO_POSTGRES};
use crate::process::{cargo, root, run, say, seconds};
use crate::{Outcome, build, dist, examples, fail, languages, node, python, setup};

/// `cargo xtask test [FILTER]`. A filter names Rust tests and leaves the browser out.
pub(crate) fn test(arguments: &[String]) -> Outcome {
    let started = Instant::now();
    setup::for_build()?;
    build::web()?;
    languages::install();
    setup::go();
    setup::skopeo();
    setup::registry();
    let checkers = python::checkers();
    let peers = node::peers();
    // pip waits for the network while rustc has the processor.
    let whole = arguments.is_empty();
    let servers = whole.then(|| std::thread::spawn(Engines::install));
    say("Building everything with its tests");
    // The tests' own dependencies add features, so a plain build before them would build twice.
    let mut words = vec!["build", "--workspace", "--lib", "--bins", "--tests"];
    words.extend(build::features());
    let guests = build::Guests::begin();
    cargo(&words, &[])?;
    guests.end()?;
    build::policies()?;
    let servers = match servers.map(std::thread::JoinHandle::join) {
        Some(Ok(installed)) => installed?,
        Some(Err(_)) => return fail("installing the servers of queues and stores panicked"),
        None => None,
    };
    let engines = servers.map(Engines::build).transpose()?;
    say("Rust tests");
    let mut words = vec!["test", "--workspace"];
    words.extend(build::features());
    if let Some(filter) = arguments.first() {
        words.push(filter);
    }
    let mut left_out = Vec::new();
    let no_gpu = no_gpu();
    left_out.extend(no_gpu.map(|why| ("the GPU device", why)));
    if engines.is_none() {
        let why = match whole {
            true => "no pip; on Debian `apt-get install python3-pip python3-venv`",
            false => "a filter names Rust tests alone; `cargo xtask oracle engines` runs theirs",
        };
        left_out.push(("servers of queues, stores and records", why));
    }
    if engines.as_ref().is_some_and(|it| !it.has_postgres()) {
        let what = "records in PostgreSQL, and the services of deploy/compose.yaml";
        left_out.push((what, NO_POSTGRES));
    }
    let python = checkers.as_ref().map(|path| path.to_string_lossy());
    let python = python.iter().map(|path| ("FEDSEAL_PYTHON", path.as_ref()));
    let peers = peers.as_ref().map(|path| path.to_string_lossy());
    let peers = peers
        .iter()
        .map(|path| ("FEDSEAL_NODE_PEERS", path.as_ref()));
    // Where it is set, a test of the device that finds none fails, and does not vanish.
    let gpu = no_gpu.is_none().then_some(("FEDSEAL_GPU_TEST", "1"));
    let places = engines.iter().flat_map(Engines::environment);
    let environment = python.chain(peers).chain(gpu).chain(places);
    cargo(&words, &environment.collect::<Vec<_>>())?;
    if let Some(engines) = &engines {
        engines.contract()?;
    }
    if whole {
        examples::examples()?;
        left_out.extend(browsers()?);
        left_out.extend(dist::packages(true)?);
    } else {
        let why = "a filter names Rust tests alone";
        left_out.extend([("the pages in a browser", why), ("the packages", why)]);
    }
    eprintln!("    all tests: {}", seconds(started.elapsed()));
    for (what, why) in left_out {
        eprintln!("    LEFT OUT: {what}: {why}");
    }
    Ok(())
}

/// Why the GPU device is not tested beside the CPU, on software Vulkan where there is no card.
fn no_gpu() -> Option<&'static str> {
    if !build::gpu() {
        return Some("this build leaves it out; FEDSEAL_GPU=1 takes it in");
    }
    let missing = "no Vulkan driver; on Debian `apt-get install mesa-vulkan-drivers` brings one in \
                   software";
    (!setup::vulkan()).then_some(missing)
}

/// The pages of a real server, driven in real browsers; what is left out of that, with the reason.
fn browsers() -> Outcome<Vec<(&'static str, &'static str)>> {
    const PAGES: &str = "the pages in a browser";
    let web = root().join("web");
    if !web.join("node_modules").exists() {
        let why = "npm is missing, so the report pages could not be built";
        return Ok(vec![(PAGES, why)]);
    }
    let Some(chromium) = setup::chromium() else {
        let why = "no Chromium; `apt-get install chromium`, or set CHROMIUM to a browser's path";
        return Ok(vec![(PAGES, why)]);
    };
    let firefox = setup::firefox();
    let driver = firefox.as_ref().and_then(|_| node::firefox());
    let missing = match (&firefox, &driver) {
        (None, _) => {
            Some("no Firefox; `apt-get install firefox-esr`, or set FIREFOX to a browser's path")
        }
        (_, None) => Some("its driver could not be installed, as was said above"),
        _ => None,
    };
    let left_out = missing.map(|why| ("the pages in Firefox", why));
    say("Browser tests");
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", "test:browser"])
        .current_dir(&web)
        .env("CHROMIUM", chromium)
        .envs(firefox.map(|path| ("FIREFOX", path)))
        .envs(driver.map(|path| ("FEDSEAL_FIREFOX_DRIVER", path)));
    run(command.env("FEDSEAL", build::fedseal().get_program()))?;
    Ok(left_out.into_iter().collect())
}

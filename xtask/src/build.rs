//! Builds: the web bundle first (the binary carries it), the workspace, the signed policies.

use std::process::{Child, Command};
use std::time::Instant;

use crate::process::{cargo, exists, root, run, say, seconds, target};
use crate::{Outcome, setup};

/// Set-up and build; nothing is run.
pub(crate) fn everything() -> Outcome {
    setup::for_build()?;
    web()?;
    let guests = Guests::begin();
    workspace()?;
    guests.end()?;
    policies()
}

/// Cargo at work on the policies beside the one that builds the host's crates, behind it in the queue for
/// processors: the last crates of a first build leave one idle.
pub(crate) struct Guests(Vec<Child>);

impl Guests {
    /// Starts it, and another one for the verifier, which waits until it is done; whatever hinders them is met
    /// again, and said, where the policies are signed.
    pub(crate) fn begin() -> Self {
        let commands = Self::commands().unwrap_or_default();
        let started = commands.into_iter().filter_map(|mut it| it.spawn().ok());
        Self(started.collect())
    }

    fn commands() -> Option<Vec<Command>> {
        let toolchain = fedseal_toolchain::find(fedseal_toolchain::TARGET).ok()?;
        let root = root().canonicalize().ok()?;
        let names = fedseal_toolchain::names(&root);
        let folder = fedseal_toolchain::folder(&target());
        let policies = fedseal_toolchain::policies(&toolchain, &root, &folder, &names);
        let verifier = fedseal_toolchain::verifier(&toolchain, &root, &folder);
        Some([policies, verifier].map(nicely).into())
    }

    /// Waits for their end.
    pub(crate) fn end(self) -> Outcome {
        if !self.0.is_empty() {
            say("Building the policy modules");
        }
        for mut child in self.0 {
            child.wait()?;
        }
        Ok(())
    }
}

/// Puts a command behind others in the queue for processors where the system can do that.
fn nicely(cargo: Command) -> Command {
    if !exists("nice") {
        return cargo;
    }
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"])
        .arg(cargo.get_program())
        .args(cargo.get_args());
    if let Some(folder) = cargo.get_current_dir() {
        nice.current_dir(folder);
    }
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    nice
}

/// `web/dist`, by npm. Without npm the binary serves its files and API only.
pub(crate) fn web() -> Outcome {
    let web = root().join("web");
    if !web.join("package.json").exists() || !setup::web() {
        return Ok(());
    }
    say("Building the report pages (npm)");
    let started = Instant::now();
    web_packages()?;
    run(Command::new("npm")
        .args(["run", "--silent", "build"])
        .current_dir(&web))?;
    eprintln!("    {}", seconds(started.elapsed()));
    Ok(())
}

/// `web/node_modules`, as the lock file has it.
pub(crate) fn web_packages() -> Outcome {
    let web = root().join("web");
    let lock = web.join("package-lock.json");
    let stamp = web.join("node_modules/.package-lock.json");
    let fresh = |a: &std::path::Path, b: &std::path::Path| {
        let time = |path: &std::path::Path| path.metadata().and_then(|meta| meta.modified()).ok();
        time(a).zip(time(b)).is_some_and(|(a, b)| a >= b)
    };
    if !fresh(&stamp, &lock) {
        run(Command::new("npm")
            .args(["ci", "--no-fund", "--no-audit"])
            .current_dir(&web))?;
    }
    Ok(())
}

/// Every host crate, once, in the one profile that everything uses.
pub(crate) fn workspace() -> Outcome {
    say("Building fedseal (the first build takes minutes, later ones seconds)");
    let (gpu, why) = why_gpu();
    let with = if gpu { "with" } else { "without" };
    eprintln!("    {with} the GPU device: {why}");
    let started = Instant::now();
    // This program is there already, with fewer features of its dependencies.
    // Policies run as guests: on the host their tests alone are built.
    let left = ["--exclude", "xtask", "--exclude", "fedseal-policy-*"];
    let mut words = vec!["build", "--workspace"];
    words.extend(left);
    words.extend(features());
    cargo(&words, &[])?;
    eprintln!("    {}", seconds(started.elapsed()));
    Ok(())
}

/// The features of every build here, so that nothing is built twice.
pub(crate) fn features() -> &'static [&'static str] {
    match gpu() {
        true => &["--features", "fedseal/wgpu"],
        false => &[],
    }
}

/// Whether builds have the GPU device, whose crates are half of a first build: where there is a card,
/// or as `FEDSEAL_GPU` says (1 or 0).
pub(crate) fn gpu() -> bool {
    why_gpu().0
}

/// As [`gpu`], with the reason, for people.
fn why_gpu() -> (bool, &'static str) {
    match std::env::var("FEDSEAL_GPU").as_deref() {
        Ok("0") => (false, "FEDSEAL_GPU=0 leaves it out"),
        Ok("1") => (true, "FEDSEAL_GPU=1 takes it in"),
        _ if card() => (true, "this machine has a card; FEDSEAL_GPU=0 leaves it out"),
        _ => (false, "this machine has no card; FEDSEAL_GPU=1 takes it in"),
    }
}

/// Whether the system names a graphics card. Anything but Linux has one.
fn card() -> bool {
    let there = |path: &str| std::path::Path::new(path).exists();
    let render = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("renderD")
    };
    cfg!(not(target_os = "linux"))
        || there("/dev/nvidiactl")
        || there("/dev/dxg")
        || there("/dev/kfd")
        || std::fs::read_dir("/dev/dri").is_ok_and(|all| all.flatten().any(render))
}

/// The policy modules: built to components and signed with the developer key.
pub(crate) fn policies() -> Outcome {
    say("Building and signing the policy modules");
    run(fedseal().args(["policy", "build", "all"]))
}

/// `cargo xtask policies`: builds, then runs every policy alone against every check.
pub(crate) fn compare(arguments: &[String]) -> Outcome {
    everything()?;
    say("Running every policy alone against every check");
    run(fedseal().args(["policy", "compare"]).args(arguments))
}

/// The `fedseal` binary that [`workspace`] built.
pub(crate) fn fedseal() -> Command {
    let mut command = Command::new(target().join("debug").join("fedseal"));
    command.current_dir(root());
    command
}

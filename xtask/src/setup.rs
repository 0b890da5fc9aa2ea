//! Tools that a fresh machine needs: found, else fetched, else named with the way to get them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{exists, output, run, say};
use crate::{Outcome, fail};

/// The guests' target.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// Everything that a build needs.
pub(crate) fn for_build() -> Outcome {
    c_compiler()?;
    guest_toolchain()
}

/// bundled SQLite and a few kernels in the dependencies are C.
fn c_compiler() -> Outcome {
    if exists("cc") || exists("gcc") || exists("clang") {
        return Ok(());
    }
    debian(&["build-essential"])?;
    if exists("cc") {
        return Ok(());
    }
    fail("no C compiler (cc): on Debian `apt-get install build-essential`")
}

/// rustup's WebAssembly target first, then Debian's compiler with the library's source.
fn guest_toolchain() -> Outcome {
    let installed = |targets: String| targets.lines().any(|line| line == GUEST_TARGET);
    if output("rustup", &["target", "list", "--installed"]).is_some_and(installed) {
        return Ok(());
    }
    if exists("rustup") {
        say("Adding the WebAssembly target to the Rust toolchain");
        if run(Command::new("rustup").args(["target", "add", GUEST_TARGET])).is_ok() {
            return Ok(());
        }
    }
    if let Some(library) = output(
        "rustc",
        &["--print", "target-libdir", "--target", GUEST_TARGET],
    ) && Path::new(&library).exists()
    {
        return Ok(());
    }
    if !Path::new("/usr/lib/rust-web").exists() && !debian_rustc_web() {
        debian(&["rustc-web", "rust-web-src"])?;
    }
    if debian_rustc_web() {
        return Ok(());
    }
    fail(format!(
        "no Rust target {GUEST_TARGET} for the guests: `rustup target add {GUEST_TARGET}`, or on \
         Debian 12 `apt-get install rustc-web rust-web-src`"
    ))
}

fn debian_rustc_web() -> bool {
    output("dpkg-query", &["-W", "-f=${Status}", "rust-web-src"])
        .is_some_and(|status| status.ends_with("installed"))
}

/// Whether the web bundle can be built; says what is missing when it cannot.
pub(crate) fn web() -> bool {
    if exists("npm") {
        return true;
    }
    if debian(&["nodejs", "npm"]).is_ok() && exists("npm") {
        return true;
    }
    eprintln!(
        "    npm is missing, so the report pages are left out (tables and files are not). \
         On Debian: `apt-get install nodejs npm`, or Node.js 20 from nodejs.org."
    );
    false
}

/// A Chromium for the browser tests: its path, or `None`.
pub(crate) fn chromium() -> Option<String> {
    let known = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    browser("CHROMIUM", &known, "chromium")
}

/// A Firefox for the same: its path, or `None`.
pub(crate) fn firefox() -> Option<String> {
    let known = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
    browser("FIREFOX", &known, "firefox-esr")
}

/// The browser that a variable names, or one in a known place, where Debian's package brings it if need be.
fn browser(variable: &str, known: &[&str], package: &str) -> Option<String> {
    let find = || {
        known
            .iter()
            .find(|path| Path::new(path).exists())
            .map(|path| path.to_string())
    };
    if let Ok(path) = std::env::var(variable) {
        return Some(path);
    }
    if find().is_none() {
        let _ = debian(&[package]);
    }
    find()
}

/// Whether there is a Vulkan driver for the tests of the GPU device: Mesa's software one, or that
/// of a card. Drivers without their card are no use, and Debian installs them together.
pub(crate) fn vulkan() -> bool {
    let software = || {
        ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|files| files.flatten())
            .any(|file| file.file_name().to_string_lossy().starts_with("lvp_icd"))
    };
    if gpu() || software() {
        return true;
    }
    let _ = debian(&["mesa-vulkan-drivers"]);
    software()
}

/// Whether the machine shows a graphics card.
pub(crate) fn gpu() -> bool {
    ["/dev/nvidia0", "/dev/dri/renderD128"]
        .iter()
        .any(|path| Path::new(path).exists())
}

/// Go with golang.org/x/mod, which checks logs and proofs in the tests; they say that they are left
/// out where it is missing.
pub(crate) fn go() {
    let there =
        || exists("go") && Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").is_dir();
    if !there() {
        let _ = debian(&["golang-go", "golang-golang-x-mod-dev"]);
    }
    if !there() {
        eprintln!(
            "    no Go with golang.org/x/mod, so its check of logs is left out: on Debian \
             `apt-get install golang-go golang-golang-x-mod-dev`"
        );
    }
}

/// skopeo, which reads our OCI layouts in a test; it says that it is left out where it is missing.
pub(crate) fn skopeo() {
    if !exists("skopeo") {
        let _ = debian(&["skopeo"]);
    }
    if !exists("skopeo") {
        eprintln!(
            "    no skopeo, so its check of OCI layouts is left out: on Debian \
             `apt-get install skopeo`"
        );
    }
}

/// docker-registry, through which modules go in a test; it says that it is left out where it is missing.
pub(crate) fn registry() {
    if !exists("docker-registry") {
        let _ = debian(&["docker-registry"]);
    }
    if !exists("docker-registry") {
        eprintln!(
            "    no docker-registry, so the test of modules in a registry is left out: on Debian \
             `apt-get install docker-registry`"
        );
    }
}

/// The folder of PostgreSQL's programs, which keep records in the tests of engines. None where it is neither there nor
/// installed by this.
///
/// # Errors
/// apt-get is there and cannot install it.
pub(crate) fn postgres() -> Outcome<Option<PathBuf>> {
    if let Some(found) = postgres_folder() {
        return Ok(Some(found));
    }
    debian(&["postgresql"])?;
    Ok(postgres_folder())
}

/// Debian has a folder for each version, out of PATH.
fn postgres_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = versions.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&path)).find(|folder| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|it| folder.join(it).is_file())
    })
}

/// wrk, which asks a server as often as it answers.
pub(crate) fn wrk() -> bool {
    if !exists("wrk") {
        let _ = debian(&["wrk"]);
    }
    exists("wrk")
}

/// Installs Debian packages where that is possible without asking anybody: Debian, and root.
fn debian(packages: &[&str]) -> Outcome {
    let root = output("id", &["-u"]).is_some_and(|id| id == "0");
    if !exists("apt-get") || !root {
        return Ok(());
    }
    say(&format!("Installing {} with apt-get", packages.join(", ")));
    let _ = run(Command::new("apt-get").args(["update", "-qq"]));
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

//! How guests in Rust are built: which compiler, and with which words cargo is called. The program that signs
//! them and the developer commands, which build them beside the host's crates, share it, so that one finds
//! what the other made.
//!
//! The compiler is rustup's with the guests' target if that is installed, else Debian's `rustc-web` with the
//! standard library's source, built along.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The guests' target: no WASI, so that a component imports only what its world names. A crate's manifest
/// may name another (`[package.metadata.fedseal] target`): `wasm32-wasip1` or `wasm32-wasip2`.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// No compiler for a target.
#[derive(Debug)]
pub struct Missing {
    /// The thing that was not found.
    pub problem: String,
    /// How it is installed.
    pub hint: String,
}

/// A way to build guests.
#[derive(Debug)]
pub enum Toolchain {
    /// The current compiler has the target.
    Target,
    /// Debian's compiler, the sources of its standard library, and rustup's linker.
    Debian {
        /// The compiler.
        rustc: PathBuf,
        /// rustup's linker for WebAssembly, where there is one.
        linker: Option<PathBuf>,
    },
}

/// Looks for a way.
///
/// # Errors
/// [`Missing`] where there is none, with what to install.
pub fn find(target: &str) -> Result<Toolchain, Missing> {
    let own = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if own.is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(Toolchain::Target);
    }
    if target != TARGET {
        return Err(Missing {
            problem: format!("a Rust compiler for {target} was not found"),
            hint: format!("Install it: `rustup target add {target}`."),
        });
    }
    let rustc = PathBuf::from("/usr/bin/rustc");
    let sources = output(Command::new(&rustc).args(["--print", "sysroot"]))
        .map(|root| PathBuf::from(root).join("lib/rustlib/src/rust/library/std"));
    if sources.is_some_and(|folder| folder.is_dir()) {
        // rustup's toolchain brings a linker for WebAssembly; Debian's rustc finds one of its own
        // (package lld) when there is none.
        let linker = output(Command::new("rustc").args(["--print", "sysroot"]))
            .map(|root| {
                PathBuf::from(root).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld")
            })
            .filter(|path| path.exists());
        return Ok(Toolchain::Debian { rustc, linker });
    }
    Err(Missing {
        problem: format!("no Rust compiler for {TARGET} was found"),
        hint: format!(
            "Install one: `rustup target add {TARGET}`, or on Debian 12 `apt-get install rustc-web rust-web-src`."
        ),
    })
}

/// Names of the policies of a checkout: the folders below `policies/` with a manifest, sorted.
pub fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("policies"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Cargo, set up to build policies of a checkout, all with one call.
///
/// `root` is the checkout without links, `target` the folder for what is built. Policy NAME becomes
/// [`core_module`] of the same folder.
pub fn policies(toolchain: &Toolchain, root: &Path, target: &Path, names: &[String]) -> Command {
    let mut cargo = toolchain.cargo(&[(root.to_path_buf(), "/fedseal".into())]);
    cargo
        .args(["build", "--quiet", "--profile", "guest", "--target", TARGET])
        .arg("--target-dir")
        .arg(target)
        .current_dir(root);
    for name in names {
        cargo.arg("-p").arg(format!("fedseal-policy-{name}"));
    }
    cargo
}

/// Folder in which policies are built, of the folder for everything that is built: one of its own, so that
/// neither waits for the other.
pub fn folder(target: &Path) -> PathBuf {
    target.join("guest")
}

/// File that [`policies`] makes of a policy.
pub fn core_module(target: &Path, name: &str) -> PathBuf {
    let file = format!("fedseal_policy_{}.wasm", name.replace('-', "_"));
    target.join(TARGET).join("guest").join(file)
}

/// Cargo, set up to build the module with which browsers check proofs: client-sdk/verifier, in the folder of
/// [`policies`]. A call of its own: together with the policies their dependencies would have other features, and
/// they other bytes.
pub fn verifier(toolchain: &Toolchain, root: &Path, target: &Path) -> Command {
    // It checks and makes no keys, so it needs no source of randomness.
    let flags = ["--cfg", "getrandom_backend=\"unsupported\""].map(str::to_owned);
    let mut cargo = toolchain.cargo_with(&[(root.to_path_buf(), "/fedseal".into())], flags.into());
    cargo
        .args(["rustc", "--quiet", "--profile", "guest", "--target", TARGET])
        .args(["--package", "fedseal-verifier", "--lib"])
        .args(["--crate-type", "cdylib", "--target-dir"])
        .arg(target)
        .current_dir(root);
    cargo
}

/// File that [`verifier`] makes.
pub fn verifier_module(target: &Path) -> PathBuf {
    target.join(TARGET).join("guest/fedseal_verifier.wasm")
}

/// A folder of this machine, and the name under which it stands in a module.
pub type Remap = (PathBuf, String);

impl Toolchain {
    /// The compiler and its version.
    pub fn name(&self) -> String {
        let rustc = match self {
            Toolchain::Target => PathBuf::from("rustc"),
            Toolchain::Debian { rustc, .. } => rustc.clone(),
        };
        output(Command::new(rustc).arg("--version")).unwrap_or_else(|| "rustc".into())
    }

    /// Cargo, set up for this way. No path of this machine gets into what it builds: panics name their
    /// files by `remaps`, and by fixed names below cargo's folder and the compiler's.
    pub fn cargo(&self, remaps: &[Remap]) -> Command {
        self.cargo_with(remaps, Vec::new())
    }

    fn cargo_with(&self, remaps: &[Remap], mut flags: Vec<String>) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let sources = output(Command::new("rustc").args(["--print", "sysroot"])).map(|root| {
            (
                PathBuf::from(root).join("lib/rustlib/src/rust"),
                "/rustc".into(),
            )
        });
        let fixed = cargo_home().map(|home| (home, "/cargo".to_owned()));
        // Of two that match rustc takes the later one.
        for (from, to) in fixed
            .into_iter()
            .chain(sources)
            .chain(remaps.iter().cloned())
        {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            // Its flags would be part of every crate's name.
            .env_remove("RUSTFLAGS");
        if let Toolchain::Debian { rustc, linker } = self {
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1");
            if let Some(linker) = linker {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        cargo
    }
}

/// Cargo's folder, in which the sources of dependencies lie.
fn cargo_home() -> Option<PathBuf> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! Which compiler builds guests: rustup's target if it is installed, else Debian's `rustc-web`
//! with the standard library's source, built along.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};

/// The guests' target: no WASI, so that a component imports only what its world names.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A way to build guests.
#[derive(Debug)]
pub(super) enum Toolchain {
    /// The current compiler has the target.
    Target,
    /// Debian's compiler, the sources of its standard library, and rustup's linker.
    Debian {
        rustc: PathBuf,
        linker: Option<PathBuf>,
    },
}

/// Looks for a way, and says what to install when there is none.
pub(super) fn find() -> Outcome<Toolchain> {
    let own = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    if own.is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(Toolchain::Target);
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
    Err(Failure::new(format!("no Rust compiler for {TARGET} was found")).hint(format!(
        "Install one: `rustup target add {TARGET}`, or on Debian 12 `apt-get install rustc-web rust-web-src`."
    )))
}

impl Toolchain {
    /// Cargo, set up for this way.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
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

fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

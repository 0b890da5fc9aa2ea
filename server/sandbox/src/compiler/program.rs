//! Which program compiles.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::SandboxError;

/// The program that only compiles, for programs that do not themselves.
const NAME: &str = "fedseal-compile";

/// Set where this program's `main` asked whether it was started to compile.
static THIS_ONE: AtomicBool = AtomicBool::new(false);

pub(super) fn this_one() {
    THIS_ONE.store(true, Ordering::Relaxed);
}

/// The program to start.
///
/// # Errors
/// [`SandboxError::NoCompiler`] where there is none; [`SandboxError::System`] where this program
/// does not know its own path.
pub(super) fn find() -> Result<PathBuf, SandboxError> {
    let this = std::env::current_exe()
        .map_err(SandboxError::system("this program's own file is not known"))?;
    if THIS_ONE.load(Ordering::Relaxed) {
        // This path is the running program even where its file was replaced meanwhile.
        let running = PathBuf::from("/proc/self/exe");
        let linux = cfg!(target_os = "linux") && running.exists();
        return Ok(if linux { running } else { this });
    }
    let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
    let folders = || this.ancestors().skip(1).take(2);
    let found = folders().map(|folder| folder.join(&name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let looked = folders().map(|folder| folder.display().to_string());
            SandboxError::NoCompiler {
                looked: looked.collect::<Vec<_>>().join(", "),
                name,
            }
        })
}

//! Policies in other languages than Rust: which one a folder is in, and the tools that make a
//! component of it. The world's definition is in this program, so a folder needs no copy of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_record::rundir::write_atomically;
use fedseal_sandbox::component;

use crate::failure::{Failure, Outcome};
use crate::places::Places;

/// The C world: types and calls, one header.
const HEADER: &str = include_str!("../../../../../guest/c/fedseal.h");

/// Random numbers of the run and a console, for policies in JavaScript.
const PRELUDE: &str = include_str!("../../../../../guest/javascript/prelude.js");

/// Language of a policy's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// A crate that links fedseal-guest.
    Rust,
    /// `policy.py`, made into a component by componentize-py.
    Python,
    /// `policy.js`, by componentize-qjs.
    Javascript,
    /// `policy.c`, by zig.
    C,
}

impl Language {
    /// The language of a policy's folder, by the file that it must have.
    pub(super) fn of(folder: &Path) -> Outcome<Self> {
        let all = [
            (Self::Rust, "Cargo.toml"),
            (Self::Python, "policy.py"),
            (Self::Javascript, "policy.js"),
            (Self::C, "policy.c"),
        ];
        all.iter()
            .find(|(_, file)| folder.join(file).is_file())
            .map(|(language, _)| *language)
            .ok_or_else(|| {
                Failure::usage(format!("{}: this is no policy", folder.display())).hint(
                    "A policy's folder has Cargo.toml (Rust), policy.py, policy.js or policy.c; \
                     `fedseal policy new NAME` makes one.",
                )
            })
    }

    /// Makes a component of a folder in any language but Rust. Intermediate files go into `work`.
    pub(super) fn component(self, folder: &Path, work: &Path) -> Outcome<Vec<u8>> {
        std::fs::create_dir_all(work).map_err(|error| Failure::io(work, &error))?;
        let wit = work.join("wit");
        std::fs::create_dir_all(&wit).map_err(|error| Failure::io(&wit, &error))?;
        write_atomically(&wit.join("policy.wit"), component::WIT.as_bytes())?;
        let out = work.join("component.wasm");
        match self {
            Self::Rust => Err(Failure::usage("a Rust policy is built by cargo")),
            Self::Python => {
                let mut command = tool(
                    &["python/bin/componentize-py"],
                    "componentize-py",
                    "pip install componentize-py==0.25.1",
                )?;
                command.arg("-d").arg(&wit).args(["-w", "policy"]);
                command.args(["componentize", "policy", "-o"]).arg(&out);
                command.arg("-p").arg(folder);
                // Packages installed next to the tool are no part of the policy.
                command.env_remove("VIRTUAL_ENV");
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                made(command, &out)
            }
            Self::Javascript => {
                let mut command = tool(
                    &["javascript/node_modules/.bin/componentize-qjs"],
                    "componentize-qjs",
                    "npm install componentize-qjs@0.4.5",
                )?;
                command.arg("--sync").arg("--wit").arg(&wit);
                command.arg("--module-root").arg(folder);
                command.arg("--js").arg(entry(folder, work)?);
                command.arg("--output").arg(&out);
                made(command, &out)
            }
            Self::C => {
                write_atomically(&work.join("fedseal.h"), HEADER.as_bytes())?;
                let install = "pip install ziglang==0.17.1";
                let mut command = match tool(&[], "zig", install) {
                    Ok(command) => command,
                    Err(failure) => python_zig().ok_or(failure)?,
                };
                command
                    .args(["cc", "-target", "wasm32-freestanding", "-nostdlib", "-Os"])
                    .args(["-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-I"])
                    .arg(work)
                    .arg(folder.join("policy.c"))
                    .arg("-o")
                    .arg(&out);
                let core = made(command, &out)?;
                component::componentize(&core)
                    .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
            }
        }
    }
}

/// Writes the module that runs the prelude before a folder's `policy.js`, and returns its path. Modules
/// are looked up below the folder, so `work` lies there.
fn entry(folder: &Path, work: &Path) -> Outcome<PathBuf> {
    let below = work.strip_prefix(folder).map_err(|_| {
        Failure::new(format!(
            "{}: not below {}",
            work.display(),
            folder.display()
        ))
    })?;
    let up = "../".repeat(below.components().count());
    write_atomically(&work.join("prelude.js"), PRELUDE.as_bytes())?;
    let path = work.join("entry.js");
    let text = format!("import \"./prelude.js\";\nexport * from \"{up}policy.js\";\n");
    write_atomically(&path, text.as_bytes())?;
    Ok(path)
}

/// A tool: below target/guest-tools, where `cargo xtask test` puts it, or on the path.
fn tool(own: &[&str], name: &str, install: &str) -> Outcome<Command> {
    let folder = Places::find().guest_tools();
    let found = own
        .iter()
        .filter_map(|path| Some(folder.as_ref()?.join(path)));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|folder| folder.join(name));
    found
        .chain(on_path)
        .find(|path| path.is_file())
        .map(Command::new)
        .ok_or_else(|| {
            Failure::new(format!("{name} was not found"))
                .hint(format!("Install it: `{install}`, and put it on the PATH."))
        })
}

/// Zig as pip installs it: a module that starts the compiler.
fn python_zig() -> Option<Command> {
    let own = Places::find().guest_tools();
    own.map(|folder| folder.join("python/bin/python"))
        .into_iter()
        .chain([PathBuf::from("python3")])
        .find_map(|python| {
            let has = Command::new(&python)
                .args(["-c", "import ziglang"])
                .stderr(std::process::Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            has.then(|| {
                let mut command = Command::new(&python);
                command.args(["-m", "ziglang"]);
                command
            })
        })
}

/// Runs a tool and reads what it made; its own words are shown when it fails.
fn made(mut command: Command, out: &Path) -> Outcome<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let _ = std::fs::remove_file(out);
    let run = command
        .output()
        .map_err(|error| Failure::new(format!("{name} could not be started: {error}")))?;
    if !run.status.success() {
        let said = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        return Err(Failure::new(format!(
            "{name} ended with {}:\n{}",
            run.status,
            said.join("\n").trim()
        )));
    }
    std::fs::read(out).map_err(|error| Failure::io(out, &error))
}

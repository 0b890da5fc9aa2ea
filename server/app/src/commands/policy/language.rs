//! Policies in other languages than Rust: which one a folder is in, and the tools that make a
//! component of it. The world's definition is in this program, so a folder needs no copy of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_client_sdk::slsa::Provenance;
use fedseal_record::rundir::write_atomically;
use fedseal_sandbox::component;

use crate::failure::{Failure, Outcome};
use crate::files;
use crate::places::Places;

/// The C world: types and calls, one header.
const HEADER: &str = include_str!("../../../../../guest/c/fedseal.h");

/// Random numbers of the run and a console, for policies in JavaScript.
const PRELUDE: &str = include_str!("../../../../../guest/javascript/prelude.js");

/// Module around a policy in Python: what it raises becomes the recorded reason.
const ENTRY: &str = include_str!("../../../../../guest/python/fedseal_entry.py");

/// Bindings for policies in AssemblyScript.
const BINDINGS: &str = include_str!("../../../../../guest/assemblyscript/fedseal.ts");

/// AssemblyScript's compiler below the folder of guests' tools.
const ASC: &str = "javascript/node_modules/.bin/asc";

/// componentize-py below the folder of guests' tools.
const PYTHON: &str = "python/bin/componentize-py";

/// componentize-qjs below the folder of guests' tools.
const QJS: &str = "javascript/node_modules/.bin/componentize-qjs";

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
    /// `policy.ts`, by AssemblyScript's compiler.
    Assemblyscript,
}

impl Language {
    /// The language of a policy's folder, by the file that it must have.
    pub(super) fn of(folder: &Path) -> Outcome<Self> {
        let all = [
            (Self::Rust, "Cargo.toml"),
            (Self::Python, "policy.py"),
            (Self::Javascript, "policy.js"),
            (Self::C, "policy.c"),
            (Self::Assemblyscript, "policy.ts"),
        ];
        all.iter()
            .find(|(_, file)| folder.join(file).is_file())
            .map(|(language, _)| *language)
            .ok_or_else(|| {
                Failure::usage(format!("{}: this is no policy", folder.display())).hint(
                    "A policy's folder has Cargo.toml (Rust), policy.py, policy.js, policy.c or \
                     policy.ts (AssemblyScript); \
                     `fedseal policy new NAME` makes one.",
                )
            })
    }

    /// Its name in statements.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::C => "c",
            Self::Assemblyscript => "assemblyscript",
        }
    }

    /// The tool of a language other than Rust, with its version.
    pub(super) fn toolchain(self) -> String {
        let (name, command) = match self {
            Self::Rust => return "cargo".into(),
            Self::Python => ("componentize-py", tool(&[PYTHON], "componentize-py", "")),
            Self::Javascript => ("componentize-qjs", tool(&[QJS], "componentize-qjs", "")),
            Self::C => ("zig", zig()),
            Self::Assemblyscript => ("assemblyscript", tool(&[ASC], "asc", "")),
        };
        let version = command.ok().and_then(|mut command| {
            let word = if self == Self::C {
                "version"
            } else {
                "--version"
            };
            if self == Self::Javascript {
                return of_package(Path::new(command.get_program()));
            }
            let run = command.arg(word).output().ok()?;
            let said = String::from_utf8_lossy(&run.stdout).into_owned();
            Some(said.split_whitespace().last()?.to_owned())
        });
        version.map_or_else(|| name.into(), |version| format!("{name} {version}"))
    }

    /// Whether a second build of the same source has the same bytes.
    pub(super) fn rebuilds(provenance: &Provenance) -> bool {
        let language = &provenance.build_definition.external_parameters.language;
        let all = [Self::Rust, Self::C, Self::Assemblyscript];
        all.iter().any(|it| it.name() == language)
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
                    &[PYTHON],
                    "componentize-py",
                    "pip install componentize-py==0.25.1",
                )?;
                command.arg("-d").arg(&wit).args(["-w", "policy"]);
                write_atomically(&work.join("fedseal_entry.py"), ENTRY.as_bytes())?;
                command
                    .args(["componentize", "fedseal_entry", "-o"])
                    .arg(&out);
                command.arg("-p").arg(folder).arg("-p").arg(work);
                // Packages installed next to the tool are no part of the policy.
                command.env_remove("VIRTUAL_ENV");
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                made(command, &out)
            }
            Self::Javascript => {
                let mut command = tool(
                    &[QJS],
                    "componentize-qjs",
                    "npm install componentize-qjs@0.4.5",
                )?;
                command.arg("--sync").arg("--wit").arg(&wit);
                command.arg("--module-root").arg(folder);
                command.arg("--js").arg(entry(folder, work)?);
                command.arg("--output").arg(&out);
                made(command, &out)
            }
            Self::Assemblyscript => {
                let package = work.join("packages/fedseal");
                std::fs::create_dir_all(&package).map_err(|error| Failure::io(&package, &error))?;
                write_atomically(&package.join("index.ts"), BINDINGS.as_bytes())?;
                let (below, up) = below(folder, work)?;
                let text = format!(
                    "import {{ ended }} from \"fedseal\";\nimport {{ run as own }} from \"{up}policy\";\n\
                     export {{ cabi_realloc }} from \"fedseal\";\n\
                     export function run(): usize {{ return ended(own()); }}\n"
                );
                write_atomically(&work.join("entry.ts"), text.as_bytes())?;
                let install = "npm install assemblyscript@0.28.9";
                let mut command = tool(&[ASC], "asc", install)?;
                // From inside the folder, so that an abort names its file as it lies there.
                command.current_dir(folder).arg(below.join("entry.ts"));
                command.arg("--path").arg(below.join("packages"));
                command.args(["--runtime", "stub", "-O", "--exportStart", "_initialize"]);
                command.args(["--use", "abort=~lib/fedseal/index/aborted", "-o"]);
                command.arg(&out);
                let core = made(command, &out)?;
                component::componentize(&core)
                    .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
            }
            Self::C => {
                write_atomically(&work.join("fedseal.h"), HEADER.as_bytes())?;
                let mut command = zig()?;
                command.arg("cc").args(match with_libc(folder, work)? {
                    true => C_LIBRARY,
                    false => FREESTANDING,
                });
                command.args(["-Os", "-Wall", "-Wextra", "-Werror"]);
                compile_here(&mut command, folder, work);
                command.arg("-o").arg(&out);
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
    let (_, up) = below(folder, work)?;
    write_atomically(&work.join("prelude.js"), PRELUDE.as_bytes())?;
    let path = work.join("entry.js");
    let text = format!(
        "import {{ guarded }} from \"./prelude.js\";\nimport {{ run as own }} from \"{up}policy.js\";\n\
         export const run = guarded(own);\n"
    );
    write_atomically(&path, text.as_bytes())?;
    Ok(path)
}

/// Version of npm's package that has this program: componentize-qjs does not tell its own.
fn of_package(program: &Path) -> Option<String> {
    let folder = program.canonicalize().ok()?;
    let manifest = folder.parent()?.parent()?.join("package.json");
    let text = files::read(&manifest, 1 << 20).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
    Some(manifest["version"].as_str()?.to_owned())
}

/// Path of `work` in a policy's folder, and the way back up.
fn below<'a>(folder: &Path, work: &'a Path) -> Outcome<(&'a Path, String)> {
    let below = work.strip_prefix(folder).map_err(|_| {
        let (work, folder) = (work.display(), folder.display());
        Failure::new(format!("{work}: not below {folder}"))
    })?;
    Ok((below, "../".repeat(below.components().count())))
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
        // Some are run from inside the policy's folder.
        .map(|path| Command::new(std::path::absolute(&path).unwrap_or(path)))
        .ok_or_else(|| {
            Failure::new(format!("{name} was not found"))
                .hint(format!("Install it: `{install}`, and put it on the PATH."))
        })
}

/// Options for a policy that uses nothing but the header: no import beside the host's.
const FREESTANDING: &[&str] = &[
    "-target",
    "wasm32-freestanding",
    "-nostdlib",
    "-Wl,--no-entry",
];

/// Options for a policy that uses the C library (wasi-libc, which zig brings): its stack has 1 MiB instead of
/// zig's 16, all of which would count as the guest's memory.
const C_LIBRARY: &[&str] = &[
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-Wl,-z,stack-size=1048576",
    // zig leaves `assert` out of what it optimises.
    "-UNDEBUG",
];

/// Zig, wherever it is.
fn zig() -> Outcome<Command> {
    match tool(&[], "zig", "pip install ziglang==0.17.1") {
        Ok(command) => Ok(command),
        Err(failure) => python_zig().ok_or(failure),
    }
}

/// Whether `policy.c` includes a header of the C library: without one it does not get past the preprocessor.
fn with_libc(folder: &Path, work: &Path) -> Outcome<bool> {
    let mut command = zig()?;
    command.arg("cc").args(FREESTANDING).arg("-E");
    compile_here(&mut command, folder, work);
    command.arg("-o").arg(work.join("policy.i"));
    let run = command
        .output()
        .map_err(|error| Failure::new(format!("zig could not be started: {error}")))?;
    Ok(!run.status.success())
}

/// Compiles `policy.c` from inside its folder, so that no path of this machine is in the module.
fn compile_here(command: &mut Command, folder: &Path, work: &Path) {
    let include = work.strip_prefix(folder).unwrap_or(work);
    command
        .current_dir(folder)
        .arg("-I")
        .arg(include)
        .arg("policy.c");
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

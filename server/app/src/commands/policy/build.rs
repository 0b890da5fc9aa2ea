//! From a policy's folder to a signed component.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::Error;
use fedseal_record::rundir::write_atomically;
use fedseal_sandbox::component;

use super::language::Language;
use super::toolchain::{self, TARGET};
use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{keys, output, places};

/// Builds and signs. Cargo's own messages go to standard error.
pub(super) fn build(names: &[String], out: Option<PathBuf>) -> Outcome {
    let places = Places::find();
    let known = super::known(&places);
    let (own, folders) = sort(names, &known)?;
    let home = places::home()?;
    let author = keys::author(&home)?;
    keys::trusted(&home)?;

    if !own.is_empty() {
        let to = match &out {
            Some(given) => given.clone(),
            None => places.policies()?,
        };
        for (name, bytes) in of_checkout(&places, &own)? {
            keep(&to, &name, env!("CARGO_PKG_VERSION"), &bytes, &author)?;
        }
    }
    for folder in folders {
        let to = out.clone().unwrap_or_else(|| folder.join("target"));
        let made = of_folder(&folder)?;
        keep(&to, &made.name, &made.version, &made.bytes, &author)?;
    }
    Ok(())
}

/// Tells names of this checkout's policies from folders.
fn sort(names: &[String], known: &[String]) -> Outcome<(Vec<String>, Vec<PathBuf>)> {
    let (mut own, mut folders) = (Vec::new(), Vec::new());
    for name in names {
        if name == "all" && !known.is_empty() {
            own.extend(known.iter().cloned());
        } else if known.contains(name) {
            own.push(name.clone());
        } else if Path::new(name).is_dir() {
            folders.push(PathBuf::from(name));
        } else if known.is_empty() {
            return Err(Failure::usage(format!(
                "{name}: there is no such folder, and no policies/ here"
            ))
            .hint("`fedseal policy new NAME` makes a policy's folder."));
        } else {
            return Err(Error::unknown("policy", name, known).into());
        }
    }
    Ok((own, folders))
}

/// Component that was built from a policy's folder.
pub(super) struct Made {
    /// The policy's name: the crate's, else the folder's.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// The component.
    pub bytes: Vec<u8>,
}

/// Builds the policy of a folder that may lie anywhere.
pub(super) fn of_folder(folder: &Path) -> Outcome<Made> {
    let language = Language::of(folder)?;
    if language == Language::Rust {
        return of_crate(folder);
    }
    let whole = folder
        .canonicalize()
        .map_err(|error| Failure::io(folder, &error))?;
    let name = whole
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(Made {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bytes: language.component(folder, &folder.join("target/component"))?,
    })
}

fn of_crate(folder: &Path) -> Outcome<Made> {
    let manifest = folder.join("Cargo.toml");
    let mut cargo = toolchain::find()?.cargo();
    // Subcommand and options of the toolchain may stand in either order for cargo.
    cargo
        .args(["rustc", "--quiet", "--release", "--lib"])
        .args(["--crate-type", "cdylib"])
        .args([
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(std::process::Stdio::inherit());
    let run = cargo
        .output()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !run.status.success() {
        return Err(Failure::new(format!(
            "building {} ended with {}",
            folder.display(),
            run.status
        )));
    }
    // The last artifact is the crate itself; cargo names its file and its package.
    let made = String::from_utf8_lossy(&run.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .rfind(|message| message["reason"] == "compiler-artifact");
    let wasm = made.as_ref().and_then(|made| {
        let files = made["filenames"].as_array()?;
        let mut paths = files.iter().filter_map(serde_json::Value::as_str);
        paths
            .find(|path| path.ends_with(".wasm"))
            .map(PathBuf::from)
    });
    let (Some(made), Some(wasm)) = (made, wasm) else {
        return Err(
            Failure::new(format!("{}: cargo made no module", manifest.display()))
                .hint("A policy's crate has `[lib] crate-type = [\"cdylib\", \"rlib\"]`."),
        );
    };
    let core = std::fs::read(&wasm).map_err(|error| Failure::io(&wasm, &error))?;
    let bytes = component::componentize(&core)
        .map_err(|error| Failure::new(format!("{}: {error}", wasm.display())))?;
    // `path+file:///…/folder#name@version`, or `…#version` where the folder has the crate's name.
    let id = made["package_id"].as_str().unwrap_or_default();
    let after = id.rsplit_once('#').map_or("", |(_, after)| after);
    let version = after.rsplit_once('@').map_or(after, |(_, version)| version);
    let name = made["target"]["name"].as_str().unwrap_or_default();
    Ok(Made {
        name: name.replace('_', "-"),
        version: version.to_owned(),
        bytes,
    })
}

/// Builds policies of this checkout, all with one call of cargo.
pub(super) fn of_checkout(places: &Places, names: &[String]) -> Outcome<Vec<(String, Vec<u8>)>> {
    // A folder of its own, so that this does not wait for a cargo that builds the host's crates.
    let root = places.needed_checkout()?;
    let target = places
        .target()
        .unwrap_or_else(|| root.join("target"))
        .join("guest");
    let mut cargo = toolchain::find()?.cargo();
    cargo
        .args(["build", "--quiet", "--profile", "guest", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root);
    for name in names {
        cargo.arg("-p").arg(format!("fedseal-policy-{name}"));
    }
    let status = cargo
        .status()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "building {} ended with {status}",
            names.join(", ")
        )));
    }
    let made = names.iter().map(|name| {
        let core = target
            .join(TARGET)
            .join("guest")
            .join(format!("fedseal_policy_{}.wasm", name.replace('-', "_")));
        let bytes = std::fs::read(&core).map_err(|error| Failure::io(&core, &error))?;
        let bytes = component::componentize(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", core.display())))?;
        Ok((name.clone(), bytes))
    });
    made.collect()
}

/// Signs a component and writes both.
fn keep(to: &Path, name: &str, version: &str, bytes: &[u8], author: &SigningKey) -> Outcome {
    let envelope = module::sign(bytes, &ModulePredicate::new(name, version), author)?;
    std::fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
    let path = to.join(format!("{name}.wasm"));
    write_atomically(&path, bytes)?;
    write_atomically(&module::envelope_path(&path), &envelope.to_bytes())?;
    output::line(format!(
        "{} ({} KiB, {}) signed by key {}",
        path.display(),
        bytes.len().div_ceil(1024),
        Digest::of(bytes).short(),
        author.public()
    ));
    Ok(())
}

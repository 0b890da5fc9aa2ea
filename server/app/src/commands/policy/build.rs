//! From a policy's folder to a signed component.

use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_client_sdk::slsa::{Provenance, SOURCE};
use fedseal_federation::Error;
use fedseal_record::rundir::write_atomically;
use fedseal_sandbox::component;
use fedseal_toolchain::{self as toolchain, TARGET, Toolchain};

use super::language::Language;
use super::provenance;
use crate::failure::{Failure, Outcome};
use crate::modules::Place;
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
        for made in of_checkout(&places, &own)? {
            keep(&to, &made, &author)?;
        }
    }
    for folder in folders {
        let to = out.clone().unwrap_or_else(|| folder.join("target"));
        keep(&to, &of_folder(&folder)?, &author)?;
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
    /// How it was built.
    pub provenance: Provenance,
}

/// Builds the policy of a folder that may lie anywhere.
pub(super) fn of_folder(folder: &Path) -> Outcome<Made> {
    let language = Language::of(folder)?;
    let whole = folder
        .canonicalize()
        .map_err(|error| Failure::io(folder, &error))?;
    if language == Language::Rust {
        return of_crate(&whole);
    }
    let name = whole
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    // Before it is built: what is made of it lies in the same folder.
    let source = provenance::folder(SOURCE, &whole)?;
    let bytes = language.component(&whole, &whole.join("target/component"))?;
    Ok(Made {
        provenance: provenance::of(&name, language, language.toolchain(), None, vec![source]),
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bytes,
    })
}

/// Compiler of guests for a target.
fn found(target: &str) -> Outcome<Toolchain> {
    toolchain::find(target).map_err(|missing| Failure::new(missing.problem).hint(missing.hint))
}

fn of_crate(folder: &Path) -> Outcome<Made> {
    let manifest = folder.join("Cargo.toml");
    let known = provenance::of_crate(folder)?;
    let target = known.target.as_str();
    let toolchain = found(target)?;
    let mut cargo = toolchain.cargo(&known.remaps);
    // Subcommand and options of the toolchain may stand in either order for cargo.
    cargo
        .args(["rustc", "--quiet", "--release", "--lib"])
        .args(["--crate-type", "cdylib"])
        .args([
            "--target",
            target,
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
    let name = name.replace('_', "-");
    Ok(Made {
        provenance: provenance::of(
            &name,
            Language::Rust,
            toolchain.name(),
            Some(target),
            known.resources,
        ),
        name,
        version: version.to_owned(),
        bytes,
    })
}

/// Builds policies of this checkout, all with one call of cargo.
pub(super) fn of_checkout(places: &Places, names: &[String]) -> Outcome<Vec<Made>> {
    let root = places.needed_checkout()?;
    let target = places.target().unwrap_or_else(|| root.join("target"));
    let target = toolchain::folder(&target);
    let toolchain = found(TARGET)?;
    let whole = root
        .canonicalize()
        .map_err(|error| Failure::io(root, &error))?;
    let status = toolchain::policies(&toolchain, &whole, &target, names)
        .status()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "building {} ended with {status}",
            names.join(", ")
        )));
    }
    let made = names.iter().map(|name| {
        let core = toolchain::core_module(&target, name);
        let bytes = std::fs::read(&core).map_err(|error| Failure::io(&core, &error))?;
        let bytes = component::componentize(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", core.display())))?;
        let dependencies = provenance::of_checkout(&whole, name)?;
        Ok(Made {
            provenance: provenance::of(
                name,
                Language::Rust,
                toolchain.name(),
                Some(TARGET),
                dependencies,
            ),
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bytes,
        })
    });
    made.collect()
}

/// Signs a component and writes both.
fn keep(to: &Path, made: &Made, author: &SigningKey) -> Outcome {
    let bytes = made.bytes.as_slice();
    let predicate = ModulePredicate {
        build: Some(made.provenance.clone()),
        ..ModulePredicate::new(&made.name, &made.version)
    };
    let envelope = module::sign(bytes, &predicate, author)?;
    std::fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
    let path = to.join(format!("{}.wasm", made.name));
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

/// `policy build --check`: builds the source again and compares the bytes, and the statement's words about
/// the source where there are some.
pub(super) fn check(source: &str, module: &str) -> Outcome {
    let places = Places::find();
    let (own, folders) = sort(&[source.to_owned()], &super::known(&places))?;
    let Ok(place) = module.parse::<Place>();
    let found = place.read()?;
    let said = found.envelopes.iter().find_map(provenance::claimed);
    let one = || Failure::usage(format!("{source}: --check takes one policy"));
    let made = match (folders.as_slice(), own.as_slice()) {
        ([folder], _) => of_folder(folder)?,
        (_, [_]) => of_checkout(&places, &own)?.pop().ok_or_else(one)?,
        _ => return Err(one()),
    };
    let (theirs, ours) = (Digest::of(&found.bytes), Digest::of(&made.bytes));
    output::line(format!("module     {theirs}"));
    for line in provenance::lines(&made.provenance) {
        output::line(line);
    }
    let differences = said.map_or_else(Vec::new, |said| {
        provenance::differences(&said, &made.provenance)
    });
    if theirs == ours {
        // The bytes decide. A statement that says something else about them is still worth a word.
        for difference in differences {
            output::line(format!("statement  {difference}"));
        }
        output::line("built      the same bytes: the module comes from this source");
        return Ok(());
    }
    let failure = Failure::new(format!(
        "{module}: this source makes another module, {ours}; {}",
        match differences.is_empty() {
            true => "nothing in its statement says why".to_owned(),
            false => differences.join("; "),
        }
    ));
    Err(match Language::rebuilds(&made.provenance) {
        true => failure.hint("Build with the toolchain and the source that its statement names."),
        false => failure.hint(
            "This language's tool takes a snapshot of a running program, which is another one each time: \
             policies in Rust, C and AssemblyScript can be checked so.",
        ),
    })
}

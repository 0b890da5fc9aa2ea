//! How a policy was built, as its author's statement says it, and the paths that must not get into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::module::{MAX_PAYLOAD, ModulePredicate, PREDICATE_TYPE};
use fedseal_client_sdk::slsa::{
    BUILD_TYPE, BUILDER, BuildDefinition, Builder, ExternalParameters, InternalParameters,
    Provenance, Resource, RunDetails, SOURCE, dir_hash,
};
use fedseal_client_sdk::statement::Statement;
use serde_json::Value;

use super::language::Language;
use crate::failure::{Failure, Outcome};
use crate::files;
use fedseal_toolchain::{Remap, TARGET};

/// Bytes of a lock file, most.
const MAX_LOCK: usize = 16 << 20;

/// The statement about a policy of this name.
pub(super) fn of(
    name: &str,
    language: Language,
    toolchain: String,
    target: Option<&str>,
    dependencies: Vec<Resource>,
) -> Provenance {
    Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.into(),
            external_parameters: ExternalParameters {
                command: format!("fedseal policy build {name}"),
                language: language.name().into(),
            },
            internal_parameters: InternalParameters {
                toolchain,
                target: target.map(str::to_owned),
            },
            resolved_dependencies: dependencies,
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.into(),
                version: [("fedseal".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
            },
        },
    }
}

/// A folder that went in.
pub(super) fn folder(name: &str, folder: &Path) -> Outcome<Resource> {
    Ok(Resource {
        name: name.into(),
        digest: BTreeMap::from([("dirHash".to_owned(), dir_hash(folder)?)]),
    })
}

/// A file that went in; none where there is none.
fn file(name: &str, path: &Path) -> Outcome<Option<Resource>> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = files::read(path, MAX_LOCK)?;
    let digest = fedseal_client_sdk::digest::Digest::of(&bytes);
    Ok(Some(Resource {
        name: name.into(),
        digest: BTreeMap::from([("sha256".to_owned(), digest)]),
    }))
}

/// Inputs of a policy of a checkout: its folder, the guest crate, the lock file and the workspace's manifest.
pub(super) fn of_checkout(root: &Path, name: &str) -> Outcome<Vec<Resource>> {
    let mut all = vec![
        folder(SOURCE, &root.join("policies").join(name))?,
        folder("fedseal-guest", &root.join("guest"))?,
    ];
    for name in ["Cargo.lock", "Cargo.toml"] {
        all.extend(file(name, &root.join(name))?);
    }
    Ok(all)
}

/// Facts about a policy's crate before it is built.
pub(super) struct Crate {
    /// Folders whose paths must not get into the module.
    pub remaps: Vec<Remap>,
    /// Its folder with the lock file, and its path dependencies that lie elsewhere.
    pub resources: Vec<Resource>,
    /// The target that its manifest names, else [`TARGET`].
    pub target: String,
}

/// Asks cargo about a crate's folder.
pub(super) fn of_crate(source: &Path) -> Outcome<Crate> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        TARGET,
    ]);
    cargo.arg("--manifest-path");
    let run = cargo
        .arg(source.join("Cargo.toml"))
        .output()
        .map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(Failure::new(format!(
            "{}: {}",
            source.display(),
            said.trim()
        )));
    }
    let metadata: Value = serde_json::from_slice(&run.stdout)
        .map_err(|error| Failure::new(format!("what cargo says about its packages: {error}")))?;
    let mut found = Crate {
        remaps: vec![(source.to_path_buf(), "/policy".to_owned())],
        resources: Vec::new(),
        target: TARGET.to_owned(),
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // Those without a source lie in folders.
    for package in packages.filter(|package| package["source"].is_null()) {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let Some(path) = Path::new(manifest).parent() else {
            continue;
        };
        let name = package["name"].as_str().unwrap_or_default();
        if path == source {
            let target = package["metadata"]["fedseal"]["target"].as_str();
            found.target = target.unwrap_or(TARGET).to_owned();
        } else if !path.starts_with(source) {
            found.resources.push(folder(name, path)?);
            found.remaps.push((path.to_path_buf(), format!("/{name}")));
        }
    }
    found.resources.sort_by(|a, b| a.name.cmp(&b.name));
    // After cargo has looked at it: a lock file is there now.
    found.resources.insert(0, folder(SOURCE, source)?);
    Ok(found)
}

/// Statement about the build in an envelope whose signature nobody has looked at yet: good for telling what
/// differs, and for nothing else.
pub(super) fn claimed(envelope: &Envelope) -> Option<Provenance> {
    if envelope.payload.len() > MAX_PAYLOAD {
        return None;
    }
    let payload = envelope.unverified_payload().ok()?;
    let statement: Statement<ModulePredicate> = serde_json::from_slice(&payload).ok()?;
    (statement.predicate_type == PREDICATE_TYPE)
        .then_some(statement.predicate.build)
        .flatten()
}

/// Lines for people.
pub(super) fn lines(provenance: &Provenance) -> Vec<String> {
    let definition = &provenance.build_definition;
    let mut lines = Vec::new();
    for resource in &definition.resolved_dependencies {
        for (kind, digest) in &resource.digest {
            lines.push(format!("built of   {} {kind} {digest}", resource.name));
        }
    }
    let parameters = &definition.internal_parameters;
    let target = parameters
        .target
        .as_deref()
        .map(|target| format!(" for {target}"));
    lines.push(format!(
        "built by   {}{}, `{}`",
        parameters.toolchain,
        target.unwrap_or_default(),
        definition.external_parameters.command
    ));
    lines
}

/// Parts in which a statement and a build here differ, in words.
pub(super) fn differences(said: &Provenance, here: &Provenance) -> Vec<String> {
    let (said, here) = (&said.build_definition, &here.build_definition);
    let mut all = Vec::new();
    let (theirs, ours) = (&said.internal_parameters, &here.internal_parameters);
    if theirs.toolchain != ours.toolchain {
        all.push(format!(
            "it was built by {}, here is {}",
            theirs.toolchain, ours.toolchain
        ));
    }
    for resource in &said.resolved_dependencies {
        let own = here.resolved_dependencies.iter();
        let same = own.clone().any(|own| own == resource);
        if !same {
            let digest = resource.digest.values().next();
            let digest = digest.map_or_else(String::new, ToString::to_string);
            all.push(format!(
                "its {} was {digest}, here it is another",
                resource.name
            ));
        }
    }
    all
}

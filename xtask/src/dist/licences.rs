//! Licences of what the packages carry of others: crates by cargo's own account of what was linked,
//! packages of the pages by `node_modules`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{cargo_command, root};
use crate::{Outcome, build, fail};

/// Beginnings of the names of files that hold a licence.
const FILES: [&str; 6] = [
    "licen",
    "copying",
    "copyright",
    "notice",
    "unlicense",
    "patents",
];

/// A part that is by others.
struct Part {
    name: String,
    licence: String,
    folder: PathBuf,
}

/// The document: every part with its licence, then each text once, with the parts that it is of.
pub(super) fn text() -> Outcome<String> {
    let mut parts = crates()?;
    parts.extend(pages());
    let mut list = String::new();
    let mut texts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for part in &parts {
        list.push_str(&format!("- {}: {}\n", part.name, part.licence));
        for text in licences(&part.folder) {
            texts.entry(text).or_default().insert(&part.name);
        }
    }
    let mut document = format!(
        "# Parts by others\n\nThe programs contain these, each under its own licence; the texts follow.\n\n\
         {list}"
    );
    for (text, of) in texts {
        let of = of.into_iter().collect::<Vec<_>>().join(", ");
        document.push_str(&format!("\n## {of}\n\n```text\n{}\n```\n", text.trim_end()));
    }
    Ok(document)
}

/// The texts in a part's folder.
fn licences(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.to_lowercase();
            path.is_file() && FILES.iter().any(|start| name.starts_with(start))
        })
        .collect();
    paths.sort();
    let texts = paths
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts.map(|text| text.replace("\r\n", "\n")).collect()
}

/// Every crate that the programs link, on this system.
fn crates() -> Outcome<Vec<Part>> {
    let host = crate::process::output("rustc", &["-vV"]).unwrap_or_default();
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let mut command = cargo_command();
    command
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(host.iter().flat_map(|host| ["--filter-platform", *host]))
        .args(build::features())
        .current_dir(root());
    let told = command.output()?;
    if !told.status.success() {
        return fail(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&told.stderr)
        ));
    }
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&told, "packages")
        .into_iter()
        .map(|package| (word(&package, "id"), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&told["resolve"], "nodes")
        .into_iter()
        .map(|node| (word(&node, "id"), node))
        .collect();
    let ours: BTreeSet<String> = list(&told, "workspace_members")
        .iter()
        .filter_map(|id| Some(id.as_str()?.to_owned()))
        .collect();
    let programs = ours.iter().filter(|id| {
        let name = packages.get(*id).map(|package| word(package, "name"));
        name.is_some_and(|name| super::PROGRAMS.contains(&name.as_str()))
    });
    let mut open: Vec<String> = programs.cloned().collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(&id) else { continue };
        if !linked.insert(id) {
            continue;
        }
        for dependency in list(node, "deps") {
            // Neither tests nor build scripts are part of a program.
            let normal = list(&dependency, "dep_kinds")
                .iter()
                .any(|kind| kind["kind"].is_null());
            if normal {
                open.push(word(&dependency, "pkg"));
            }
        }
    }
    let mut parts: Vec<Part> = linked
        .iter()
        .filter(|id| !ours.contains(*id))
        .filter_map(|id| packages.get(id))
        .map(|package| Part {
            name: format!("{} {}", word(package, "name"), word(package, "version")),
            licence: match package["license"].as_str() {
                Some(licence) => licence.to_owned(),
                None => "see its text".to_owned(),
            },
            folder: Path::new(&word(package, "manifest_path"))
                .parent()
                .map_or_else(PathBuf::new, Path::to_owned),
        })
        .collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(parts)
}

/// Svelte and what it brings: the only packages of which the pages hold code.
fn pages() -> Vec<Part> {
    let modules = root().join("web/node_modules");
    let manifest = |name: &str| -> Option<Value> {
        let bytes = fs::read(modules.join(name).join("package.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let Some(svelte) = manifest("svelte") else {
        return Vec::new();
    };
    let brought = svelte["dependencies"].as_object();
    let mut names: Vec<String> = brought
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    names.insert(0, "svelte".to_owned());
    let part = |name: String| {
        let manifest = manifest(&name)?;
        let version = manifest["version"].as_str()?;
        Some(Part {
            licence: manifest["license"].as_str()?.to_owned(),
            folder: modules.join(&name),
            name: format!("{name} {version} (npm)"),
        })
    };
    names.into_iter().filter_map(part).collect()
}

//! Files of a folder, told apart by their names: shards of clients and the parts of `[data]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedseal_rules::experiment::{MAX_CLIENT_NAME, is_client_name};

use crate::failure::{Failure, Outcome};

/// Keys of `[data]` that a file's name may say, with other names for them.
pub(super) const PARTS: [(&str, &[&str]); 8] = [
    ("requests", &["unsafe", "harmful"]),
    ("tasks", &[]),
    ("canary_requests", &[]),
    ("canary_tasks", &[]),
    ("refusals", &[]),
    ("helpful", &[]),
    ("aligned", &[]),
    ("unaligned", &[]),
];

/// Endings of compressed files.
const PACKED: [&str; 4] = [".gz", ".gzip", ".zst", ".zstd"];
/// Endings of data files.
const KINDS: [&str; 8] = [
    ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".ipc", ".txt",
];
/// Endings of files that are no data and are passed over.
const OTHERS: [&str; 5] = [".md", ".toml", ".wasm", ".dsse.json", ".tmp"];
/// Folder in which the parts of `[data]` may lie apart.
const EVAL: &str = "eval";
/// Folder in which the clients may lie apart.
const CLIENTS: &str = "clients";

/// Files of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Folder {
    /// Clients by name, each with its files in the order of their names.
    pub clients: BTreeMap<String, Vec<PathBuf>>,
    /// Files by the key of `[data]`.
    pub parts: BTreeMap<&'static str, Vec<PathBuf>>,
    /// Files that are passed over.
    pub others: Vec<PathBuf>,
}

/// Looks through a folder. Each file is a client, each folder below it too, with all of its files; where
/// there is a folder `clients`, that one has them. Files that are named as a key of `[data]`, here or in a
/// folder `eval`, are that part.
///
/// # Errors
/// A folder that cannot be read; two clients of one name; no client.
pub(super) fn look(folder: &Path) -> Outcome<Folder> {
    let mut found = Folder::default();
    let apart = folder.join(CLIENTS).is_dir();
    for path in entries(folder)? {
        let name = name_of(&path);
        match (path.is_dir(), name.as_str()) {
            (true, EVAL) => {
                for path in entries(&path)? {
                    match part(&path) {
                        Some(key) => found.parts.entry(key).or_default().push(path),
                        None => found.others.push(path),
                    }
                }
            }
            (true, CLIENTS) => clients(&path, &mut found)?,
            (true, _) if apart => found.others.push(path),
            (true, _) => client_folder(&path, &mut found)?,
            (false, _) => match part(&path) {
                Some(key) => found.parts.entry(key).or_default().push(path),
                None if apart || is_other(&name) => found.others.push(path),
                None => client(&path, vec![path.clone()], &mut found)?,
            },
        }
    }
    if found.clients.is_empty() {
        return Err(Failure::usage(format!(
            "{}: no shard of a client is here",
            folder.display()
        ))
        .hint("One file is one client (north.jsonl, south.parquet, …); so is a folder of files."));
    }
    Ok(found)
}

fn clients(folder: &Path, found: &mut Folder) -> Outcome {
    for path in entries(folder)? {
        match (path.is_dir(), is_other(&name_of(&path))) {
            (true, _) => client_folder(&path, found)?,
            (false, true) => found.others.push(path),
            (false, false) => client(&path, vec![path.clone()], found)?,
        }
    }
    Ok(())
}

/// A folder of one client's files.
fn client_folder(folder: &Path, found: &mut Folder) -> Outcome {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for path in entries(folder)? {
        match path.is_dir() || is_other(&name_of(&path)) {
            true => others.push(path),
            false => files.push(path),
        }
    }
    found.others.extend(others);
    match files.is_empty() {
        true => {
            found.others.push(folder.to_owned());
            Ok(())
        }
        false => client(folder, files, found),
    }
}

fn client(path: &Path, files: Vec<PathBuf>, found: &mut Folder) -> Outcome {
    let stem = match path.is_dir() {
        true => name_of(path),
        false => stem(&name_of(path)),
    };
    let name = client_name(&stem);
    if let Some(other) = found.clients.get(&name) {
        let other = other.first().map_or(path, PathBuf::as_path);
        return Err(Failure::usage(format!(
            "{} and {} are both client {name}",
            other.display(),
            path.display()
        ))
        .hint("Rename one, or put both into a folder of that name: then they are one shard."));
    }
    found.clients.insert(name, files);
    Ok(())
}

/// A name that a client can have, nearest to a file's.
fn client_name(stem: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = stem
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(MAX_CLIENT_NAME)
        .collect();
    match is_client_name(&name) {
        true => name,
        // It begins with a mark.
        false => format!("client{name}")
            .chars()
            .take(MAX_CLIENT_NAME)
            .collect(),
    }
}

/// The names in a folder that are not hidden, in order.
fn entries(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let io = |error: std::io::Error| Failure::io(folder, &error);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if !name_of(&path).starts_with('.') {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_other(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    OTHERS.iter().any(|ending| lower.ends_with(ending)) || lower == "license" || lower == "readme"
}

/// A file's name without the endings of its format.
fn stem(name: &str) -> String {
    let without = |name: &str, endings: &[&str]| {
        let lower = name.to_ascii_lowercase();
        let ending = endings.iter().find(|ending| lower.ends_with(**ending));
        ending
            .map_or(name, |ending| &name[..name.len() - ending.len()])
            .to_owned()
    };
    without(&without(name, &PACKED), &KINDS)
}

/// The key of `[data]` that a file's name says.
fn part(path: &Path) -> Option<&'static str> {
    let stem = stem(&name_of(path)).to_lowercase().replace('-', "_");
    let mut parts = PARTS.iter();
    let found = parts.find(|(key, others)| *key == stem || others.contains(&stem.as_str()));
    found.map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn a_file_is_a_client_and_so_is_a_folder_of_files() {
        let dir = folder(&[
            "north.jsonl",
            "south.json.gz",
            "east/a.parquet",
            "east/b.arrow",
            "my data.v2.jsonl",
            "requests.txt",
            "eval/tasks.parquet",
            "eval/canary-requests.jsonl",
            "README.md",
            ".hidden.jsonl",
        ]);
        let found = look(dir.path()).unwrap();
        let names: Vec<&str> = found.clients.keys().map(String::as_str).collect();
        assert_eq!(names, ["east", "my-data.v2", "north", "south"]);
        assert_eq!(found.clients["east"].len(), 2);
        let keys: Vec<&str> = found.parts.keys().copied().collect();
        assert_eq!(keys, ["canary_requests", "requests", "tasks"]);
        assert_eq!(found.others, [dir.path().join("README.md")]);
    }

    #[test]
    fn clients_may_lie_in_a_folder_of_their_own() {
        let dir = folder(&[
            "clients/a.jsonl",
            "clients/b/1.jsonl",
            "unsafe.jsonl",
            "old/x.jsonl",
        ]);
        let found = look(dir.path()).unwrap();
        assert_eq!(found.clients.len(), 2);
        assert!(found.parts.contains_key("requests"));
        assert_eq!(found.others, [dir.path().join("old")]);
    }

    #[test]
    fn two_clients_of_one_name_and_none_at_all_are_refused() {
        let twice = folder(&["a.jsonl", "a.parquet"]);
        let said = look(twice.path()).unwrap_err().to_string();
        assert!(said.contains("both client a"), "{said}");
        let none = folder(&["tasks.jsonl"]);
        let said = look(none.path()).unwrap_err().to_string();
        assert!(said.contains("no shard of a client"), "{said}");
    }
}

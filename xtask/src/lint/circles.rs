//! No circle between the modules at the top of a server crate, beyond those of [`KNOWN`].
//!
//! A module is a file or a folder directly below `src`. It uses another where a `crate::` or `super::`
//! path in it leads there. Tests may use everything; `lib.rs`, `main.rs` and the crate's error are used
//! and use freely.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{Found, Used, read};
use super::{LeftOut, relative, rust_files};
use crate::process::root;
use crate::{Outcome, fail};

/// Circles of today, by crate. They may shrink; a module that joins one fails the lint.
const KNOWN: &[(&str, &[&str])] = &[
    ("server/sandbox", &["bindings", "host"]),
    (
        "server/tuning",
        &[
            "adapter", "data", "device", "infer", "model", "ops", "train",
        ],
    ),
];

/// Paths into `error.rs`: every module's functions return them.
const FREE: [&str; 3] = ["error", "Error", "Result"];

/// Uses between modules, with the first line of each.
type Uses = BTreeMap<String, BTreeMap<String, Place>>;

/// File and line of a path.
type Place = (PathBuf, usize);

/// Looks through every crate below `server`.
pub(super) fn check() -> Outcome<LeftOut> {
    let mut new = 0;
    for entry in fs::read_dir(root().join("server"))? {
        let source = entry?.path().join("src");
        if !source.is_dir() {
            continue;
        }
        let name = source.parent().map(relative).unwrap_or_default();
        let uses = uses(&source)?;
        for circle in circles(&uses) {
            let known = KNOWN
                .iter()
                .filter(|(room, _)| *room == name)
                .any(|(_, members)| circle.iter().all(|it| members.contains(&it.as_str())));
            if !known {
                new += 1;
                let members: Vec<&str> = circle.iter().map(String::as_str).collect();
                eprintln!("    {name}: circle of {}", members.join(", "));
                for (from, to, (file, line)) in shortest(&uses, &circle) {
                    eprintln!("        {from} uses {to}: {}:{line}", relative(&file));
                }
            }
        }
    }
    if new == 0 {
        return Ok(None);
    }
    fail(format!(
        "{new} circles of modules; move what both sides need into a module below them"
    ))
}

/// Uses between the modules directly below a `src` folder.
fn uses(source: &Path) -> Outcome<Uses> {
    let mut files = Vec::new();
    for file in rust_files(source)? {
        let path = file.strip_prefix(source).unwrap_or(&file).to_path_buf();
        files.push((path, read(&fs::read_to_string(&file)?)));
    }
    let tests: BTreeSet<PathBuf> = files
        .iter()
        .flat_map(|(path, found)| found.tests.iter().map(|name| folder(path).join(name)))
        .collect();
    files.retain(|(path, _)| {
        !path
            .ancestors()
            .any(|it| tests.contains(&it.with_extension("")))
    });
    let modules: BTreeSet<String> = files.iter().filter_map(|(path, _)| module(path)).collect();
    let names = exports(&files, &modules);
    let mut uses = Uses::new();
    for (path, found) in &files {
        let Some(from) = module(path) else { continue };
        let depth = folder(path).components().count();
        for used in &found.paths {
            let Some(to) = target(used, depth).and_then(|name| {
                let free = FREE.contains(&name);
                let name = names.get(name).map_or(name, String::as_str);
                (!free && modules.contains(name) && name != from).then_some(name)
            }) else {
                continue;
            };
            uses.entry(from.clone())
                .or_default()
                .entry(to.to_owned())
                .or_insert_with(|| (source.join(path), used.line));
        }
    }
    Ok(uses)
}

/// Top module of a file: its name or its folder's; `None` for the crate's own root, other binaries
/// and the error.
fn module(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    let apart = ["lib", "main", "bin", "error"];
    (!apart.contains(&name)).then(|| name.to_owned())
}

/// Folder that holds a file's child modules, which is the file's module path too.
fn folder(path: &Path) -> PathBuf {
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => path.parent().unwrap_or(path).to_path_buf(),
        Some(_) => path.with_extension(""),
    }
}

/// Names that the crate's root hands on, with the module that each comes from.
fn exports(files: &[(PathBuf, Found)], modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let roots = files
        .iter()
        .filter(|(path, _)| [Path::new("lib.rs"), Path::new("main.rs")].contains(&path.as_path()));
    let mut names = BTreeMap::new();
    for (words, name) in roots.flat_map(|(_, found)| &found.uses) {
        let own = |word: &&String| ["crate", "self"].contains(&word.as_str());
        let from = words.iter().find(|word| !own(word));
        if let Some(from) = from.filter(|it| modules.contains(*it))
            && !modules.contains(name)
        {
            names.insert(name.clone(), from.clone());
        }
    }
    names
}

/// First name below the crate's root of a path in a module that is `depth` below the root.
fn target(used: &Used, depth: usize) -> Option<&str> {
    let words = &used.words;
    if words.first()? == "crate" {
        return words.get(1).map(String::as_str);
    }
    let ups = words.iter().take_while(|word| *word == "super").count();
    (ups == depth + used.depth).then(|| words.get(ups).map(String::as_str))?
}

/// Circles: sets of modules in which each module reaches each other one.
fn circles(uses: &Uses) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        uses.keys().map(|from| (from, reach(uses, from))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, targets) in &reached {
        if !targets.contains(from) || seen.contains(from) {
            continue;
        }
        let circle: BTreeSet<&String> = targets
            .iter()
            .copied()
            .filter(|to| reached.get(to).is_some_and(|back| back.contains(from)))
            .collect();
        seen.extend(circle.iter().copied());
        circles.push(circle.into_iter().cloned().collect());
    }
    circles
}

/// Modules that `from` uses, by way of others too.
fn reach<'a>(uses: &'a Uses, from: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for to in uses.get(at).into_iter().flatten().map(|(to, _)| to) {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

/// Steps of a shortest way from the first member of a circle back to it.
fn shortest<'a>(uses: &'a Uses, circle: &'a BTreeSet<String>) -> Vec<(&'a str, &'a str, Place)> {
    let Some(first) = circle.first() else {
        return Vec::new();
    };
    let mut came: BTreeMap<&String, (&String, &Place)> = BTreeMap::new();
    let mut next = VecDeque::from([first]);
    while let Some(at) = next.pop_front() {
        for (to, place) in uses.get(at).into_iter().flatten() {
            if circle.contains(to) && !came.contains_key(to) {
                came.insert(to, (at, place));
                next.push_back(to);
            }
        }
    }
    let mut way = Vec::new();
    let mut at = first;
    while let Some((from, place)) = came.get(at) {
        way.push((from.as_str(), at.as_str(), (*place).clone()));
        at = from;
        if at == first {
            break;
        }
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Circles of a crate whose `src` holds these files.
    fn of(name: &str, files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let source =
            std::env::temp_dir().join(format!("fedseal-circles-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = source.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
            fs::write(path, text).expect("a new file");
        }
        let uses = uses(&source).map_err(|failure| failure.0).expect("a tree");
        fs::remove_dir_all(&source).expect("the tree goes");
        circles(&uses)
            .into_iter()
            .map(|circle| circle.into_iter().collect())
            .collect()
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; fn f() { super::c::f() }"),
            ("b.rs", "fn g(_: crate::a::A) {}"),
            ("c.rs", "pub fn f() {}"),
        ];
        assert_eq!(of("two", &files), [["a", "b"]]);
    }

    #[test]
    fn a_folder_is_one_module_and_a_way_round_counts() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use c::{C as Other, D};"),
            ("a/mod.rs", "mod deep; use self::deep::X; pub use super::b;"),
            (
                "a/deep.rs",
                "use super::Y; mod inner { use super::super::super::b::Z; }",
            ),
            ("b.rs", "use crate::{D, Error};"),
            ("c.rs", "use crate::{a::{deep::X}, b as other};"),
        ];
        assert_eq!(of("folder", &files), [["a", "b", "c"]]);
    }

    #[test]
    fn tests_errors_comments_and_strings_make_no_circle() {
        let files = [
            (
                "lib.rs",
                "mod a; mod b; mod error; #[cfg(test)] mod testing;",
            ),
            ("a.rs", "use crate::b::B; use crate::error::Error;"),
            (
                "b.rs",
                "// crate::a\n/// [`crate::a`]\nconst S: &str = \"crate::a::A\"; const C: char = '\"';\n\
                 #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::B;",
            ),
            ("error.rs", "use crate::a::A;"),
            ("testing.rs", "use crate::{a, b};"),
        ];
        assert_eq!(of("tests", &files), Vec::<Vec<String>>::new());
    }
}

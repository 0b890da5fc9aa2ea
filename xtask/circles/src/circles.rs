//! No circle between the files of a server crate, beyond those of [`KNOWN`].
//!
//! A module is a file. It uses another where a path in it leads there, by the crate's root or from where
//! it stands; a name that a module hands on leads to the file that it comes from. Folders count, too: what
//! is in one may not use a file or folder beside it that uses what is in the first. A module may hand on
//! what is below it. Tests may use everything; the crate's root and its error are used and use freely.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{relative, rust_files};
use crate::paths::{Found, Import, Used, read};
use crate::process::root;
use crate::{Failure, Outcome};

/// Circles of today, by crate: each of a module with what is below it. They may shrink; one with a module
/// beside them fails the lint.
const KNOWN: &[(&str, &[&str])] = &[
    // A module with its helpers, which use what it defines.
    ("server/adapter", &["model"]),
    ("server/adapter", &["peft"]),
    ("server/app", &["commands/policy"]),
    ("server/audit", &["commands/log"]),
    ("server/kernels", &["attention"]),
    ("server/kernels", &["gemm"]),
    ("server/kernels", &["parallel"]),
    // The state of a server and its routes.
    ("server/app", &["http"]),
];

/// Steps from one module that hands a name on to the next.
const MOST_STEPS: usize = 16;

/// Uses between modules, with the first line of each.
type Uses = BTreeMap<String, BTreeMap<String, Place>>;

/// File and line of a path.
type Place = (PathBuf, usize);

/// Looks through every crate below `server`.
pub(crate) fn check() -> Outcome {
    let mut new = 0;
    for entry in fs::read_dir(root().join("server"))? {
        let source = entry?.path().join("src");
        if !source.is_dir() {
            continue;
        }
        let name = source.parent().map(relative).unwrap_or_default();
        for (circle, uses) in all(&Crate::read(&source)?.uses()) {
            if is_known(&name, &circle) {
                continue;
            }
            new += 1;
            let members: Vec<&str> = circle.iter().map(String::as_str).collect();
            eprintln!("    {name}: circle of {}", members.join(", "));
            for (from, to, (file, line)) in shortest(&uses, &circle) {
                eprintln!("        {from} uses {to}: {}:{line}", relative(&file));
            }
        }
    }
    if new == 0 {
        return Ok(());
    }
    Err(Failure(format!(
        "{new} circles of modules; move what both sides need into a module below them"
    )))
}

fn is_known(name: &str, circle: &BTreeSet<String>) -> bool {
    KNOWN
        .iter()
        .filter(|(room, _)| *room == name)
        .any(|(_, tops)| {
            circle
                .iter()
                .all(|it| tops.iter().any(|top| within(it, top)))
        })
}

/// Whether a module is another or below it.
fn within(module: &str, top: &str) -> bool {
    module
        .strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A crate's files by their modules: the names from the root on, which itself has none.
struct Crate(BTreeMap<Vec<String>, (PathBuf, Found)>);

impl Crate {
    fn read(source: &Path) -> Outcome<Self> {
        let mut files = BTreeMap::new();
        let mut tests = BTreeSet::new();
        let library = source.join("lib.rs").is_file();
        for file in rust_files(source)? {
            let path = file.strip_prefix(source).unwrap_or(&file);
            // Programs beside a library are roots of their own.
            if path.starts_with("bin") || library && path == Path::new("main.rs") {
                continue;
            }
            let found = read(&fs::read_to_string(&file)?)
                .map_err(|Failure(why)| Failure(format!("{}: {why}", relative(&file))))?;
            let module = module(path);
            for name in &found.tests {
                let mut test = module.clone();
                test.push(name.clone());
                tests.insert(test);
            }
            files.insert(module, (file, found));
        }
        files.retain(|module, _| !(1..=module.len()).any(|n| tests.contains(&module[..n])));
        Ok(Self(files))
    }

    /// Uses between the files.
    fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (from, (file, found)) in &self.0 {
            if is_free(from) {
                continue;
            }
            for used in &found.paths {
                let to = match used.words.as_slice() {
                    // A name alone may be of anything; what was imported is known.
                    [name] if used.depth == 0 => {
                        let imported = self.imported(from, name);
                        imported.and_then(|it| self.target(from, &it.words, MOST_STEPS))
                    }
                    [_] => None,
                    _ => outward(used).and_then(|words| self.target(from, words, MOST_STEPS)),
                };
                let Some(to) = to else {
                    continue;
                };
                let hands_on_its_own = used.handed_on && to.starts_with(from);
                if to != *from && !is_free(&to) && !hands_on_its_own {
                    uses.entry(from.join("/"))
                        .or_default()
                        .entry(to.join("/"))
                        .or_insert_with(|| (file.clone(), used.line));
                }
            }
        }
        uses
    }

    /// Module that a path in `from` leads to; `None` for what is of no file of this crate.
    fn target(&self, from: &[String], words: &[String], steps: usize) -> Option<Vec<String>> {
        let steps = steps.checked_sub(1)?;
        let mut at = from.to_vec();
        let mut rest = words;
        match words.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &words[1..];
            }
            "self" => rest = &words[1..],
            "super" => {
                while let Some(("super", more)) = split(rest) {
                    at.pop()?;
                    rest = more;
                }
            }
            _ if self.is_own(from, words) => {}
            name => {
                let import = self.imported(from, name)?;
                let words = [import.words.as_slice(), &words[1..]].concat();
                return self.target(from, &words, steps);
            }
        }
        while let Some((name, more)) = split(rest) {
            at.push(name.to_owned());
            if !self.0.contains_key(&at) {
                at.pop();
                break;
            }
            rest = more;
        }
        let (_, found) = self.0.get(&at)?;
        let Some((name, more)) = split(rest) else {
            return Some(at);
        };
        let handed = found
            .imports
            .iter()
            .filter(|it| self.is_own(&at, &it.words));
        for import in handed {
            let words = match import.name.as_str() {
                "*" if import.handed_on => import.words.clone(),
                it if it == name => [import.words.as_slice(), more].concat(),
                _ => continue,
            };
            let to = self.target(&at, &words, steps);
            let named = |to: &Vec<String>| {
                import.name != "*" || self.0.get(to).is_some_and(|it| it.1.items.contains(name))
            };
            if let Some(to) = to.filter(named) {
                return Some(to);
            }
        }
        Some(at)
    }

    /// Import of a name of this crate.
    fn imported(&self, from: &[String], name: &str) -> Option<&Import> {
        let (_, found) = self.0.get(from)?;
        let is_it = |it: &&Import| it.name == name && self.is_own(from, &it.words);
        found.imports.iter().find(is_it)
    }

    /// Whether the words of a path in `from` begin in this crate.
    fn is_own(&self, from: &[String], words: &[String]) -> bool {
        let Some((first, _)) = split(words) else {
            return false;
        };
        let declared = || {
            self.0
                .get(from)
                .is_some_and(|(_, found)| found.modules.contains(first))
        };
        ["crate", "self", "super"].contains(&first) || declared()
    }
}

fn split(words: &[String]) -> Option<(&str, &[String])> {
    words
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
}

/// Module of a file by its path below `src`.
fn module(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names
        .last()
        .is_some_and(|name| ["lib", "main", "mod"].contains(&name.as_str()))
    {
        names.pop();
    }
    names
}

/// Whether it is the crate's root or its error.
fn is_free(module: &[String]) -> bool {
    module.is_empty() || module == ["error"]
}

/// A path as the file's own module sees it; `None` where it stays in a module with a body.
fn outward(used: &Used) -> Option<&[String]> {
    let ups = used.words.iter().take_while(|it| *it == "super").count();
    match used.words.first()?.as_str() {
        "crate" => Some(&used.words),
        "super" if ups >= used.depth => used.words.get(used.depth..),
        _ if used.depth == 0 => Some(&used.words),
        _ => None,
    }
}

/// Every circle with the uses that it is of: those of files, and those of folders that no files alone
/// make.
fn all(uses: &Uses) -> Vec<(BTreeSet<String>, Uses)> {
    let mut all: Vec<(BTreeSet<String>, Uses)> = circles(uses)
        .into_iter()
        .map(|circle| (circle, uses.clone()))
        .collect();
    let names = || uses.iter().flat_map(|(from, to)| to.keys().chain([from]));
    let folders: BTreeSet<&str> = names()
        .flat_map(|name| name.match_indices('/').map(move |(at, _)| &name[..at]))
        .chain([""])
        .collect();
    for folder in folders {
        let mut below = Uses::new();
        for (from, targets) in uses {
            for (to, place) in targets {
                if let (Some(from), Some(to)) = (child(folder, from), child(folder, to))
                    && from != to
                {
                    below
                        .entry(from.to_owned())
                        .or_default()
                        .entry(to.to_owned())
                        .or_insert_with(|| place.clone());
                }
            }
        }
        for circle in circles(&below) {
            let seen = all.iter().any(|(known, _)| {
                let has = |top: &String| known.iter().any(|it| within(it, top));
                circle.iter().all(has)
            });
            if !seen {
                all.push((circle, below.clone()));
            }
        }
    }
    all
}

/// Module directly below a folder that another is, or is below of.
fn child<'a>(folder: &str, module: &'a str) -> Option<&'a str> {
    let start = match folder {
        "" => 0,
        _ => module
            .strip_prefix(folder)?
            .strip_prefix('/')
            .map(|_| folder.len() + 1)?,
    };
    let end = module[start..]
        .find('/')
        .map_or(module.len(), |at| start + at);
    Some(&module[..end])
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
        let tree = Crate::read(&source).map_err(|failure| failure.0);
        fs::remove_dir_all(&source).expect("the tree goes");
        all(&tree.expect("a crate").uses())
            .into_iter()
            .map(|(circle, _)| circle.into_iter().collect())
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
    fn files_in_a_folder_are_a_circle_too() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
            ("a/b.rs", "pub struct B(super::C);"),
            ("a/c.rs", "pub struct C; fn f() { vec![(1, super::b::B)]; }"),
        ];
        assert_eq!(of("folder", &files), [["a/b", "a/c"]]);
    }

    #[test]
    fn a_module_may_hand_on_what_is_below_it_but_not_use_what_uses_it() {
        let lib = ("lib.rs", "mod a;");
        let below = ("a/b.rs", "pub struct B; use super::A;");
        let handed = ("a.rs", "mod b; pub(crate) use b::B; pub struct A;");
        assert_eq!(
            of("handed", &[lib, below, handed]),
            Vec::<Vec<String>>::new()
        );
        let used = ("a.rs", "mod b; pub struct A; fn f() -> b::B { b::B }");
        assert_eq!(of("used", &[lib, below, used]), [["a", "a/b"]]);
        let imported = ("a.rs", "mod b; use b::B; pub struct A;");
        assert_eq!(of("imported", &[lib, below, imported]), [["a", "a/b"]]);
        let both = ("a.rs", "mod b; pub use b::B; pub struct A(B);");
        assert_eq!(of("both", &[lib, below, both]), [["a", "a/b"]]);
    }

    #[test]
    fn a_way_round_counts_by_names_that_are_handed_on() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use c::{C as Other, D};"),
            (
                "a/mod.rs",
                "mod deep; pub use self::deep::X; pub use super::b; pub struct Y;",
            ),
            (
                "a/deep.rs",
                "pub struct X; mod inner { use super::super::super::b::Z; }",
            ),
            ("b.rs", "use crate::{D, Error};"),
            ("c.rs", "use crate::a as other; fn f(_: other::X) {}"),
        ];
        assert_eq!(of("round", &files), [["a", "a/deep", "b", "c"]]);
    }

    #[test]
    fn folders_are_a_circle_by_different_files() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod one; mod two;"),
            ("a/one.rs", "use crate::b::one::B;"),
            ("a/two.rs", "pub struct A;"),
            ("b.rs", "pub mod one; mod two;"),
            ("b/one.rs", "pub struct B;"),
            ("b/two.rs", "use crate::a::two::*;"),
        ];
        assert_eq!(of("folders", &files), [["a", "b"]]);
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
                 #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::B;\n\
                 #[cfg(all(test, unix))] fn f() -> crate::a::A {}",
            ),
            ("error.rs", "use crate::a::A;"),
            ("testing.rs", "use crate::{a, b};"),
        ];
        assert_eq!(of("tests", &files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn known_circles_are_those_of_a_module_and_what_is_below_it() {
        let circle = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let (name, tops) = KNOWN[0];
        let below = format!("{}/new", tops[0]);
        assert!(is_known(name, &circle(&[tops[0], &below])));
        assert!(!is_known(name, &circle(&[tops[0], "elsewhere"])));
        assert!(!is_known("server/none", &circle(&[tops[0], &below])));
        assert!(!within("gemmy", "gemm"));
    }
}

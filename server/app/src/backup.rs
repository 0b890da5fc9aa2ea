//! Copies of what a server or a node keeps, made while it works, and checks of them.
//!
//! A copy is a state that a crash could have left. Whatever names others is copied before them, because what it
//! names was written before it: a log's checkpoint before its entries and blobs, the registry's database before
//! its blobs, a federation's books before its run. A run that changed under the copy (blobs that were cleared away
//! at its end) is copied again, and so are books whose state was written anew.
//!
//! - [`copying`]: files and folders of a copy, with the list of them. [`mod@check`]: a copy held against its list, and
//!   its runs, books and registry against their own rules.
//!
//! ```text
//! backup.json     every file of the copy with its digest and length; written last
//! keys/           trusted.toml, rotations, public keys; private keys only when they were asked for
//! registry/       the database and the blobs of submitted modules
//! federations/    books of a coordinator
//! runs/           runs, each as `fedseal verify` reads it
//! nodes/          state folders of nodes, without what they can fetch again
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fedseal_record::opened::Pinned;
use fedseal_record::rundir::RunDir;

use crate::failure::{Failure, Outcome};
use crate::registry::{DATABASE, ELSEWHERE, RegistryPlace};

mod check;
mod copying;

pub(crate) use check::{Checked, check};
use copying::{Copying, Kind};

/// Times that a run, or a federation's books, are copied anew where they changed under the copy.
const TRIES: u32 = 3;
/// Folders below the folder of runs in which runs are looked for: `NAME`, and `NAME/seed-1`.
const DEPTH: u32 = 2;

/// Folders that are copied; those that are not there must not be named.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Folder of keys.
    pub(crate) home: Option<PathBuf>,
    /// Registry of submitted modules.
    pub(crate) registry: Option<RegistryPlace>,
    /// State folder of a coordinator.
    pub(crate) federations: Option<PathBuf>,
    /// Folder of runs, or of one run.
    pub(crate) runs: Option<PathBuf>,
    /// State folders of nodes.
    pub(crate) nodes: Vec<PathBuf>,
    /// Whether private keys are copied, too.
    pub(crate) keys: bool,
}

/// Result of a copy.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Files, and their bytes.
    pub(crate) files: (usize, u64),
    /// Runs, by their places in the copy.
    pub(crate) runs: Vec<String>,
    /// Files that were passed over, each with the reason.
    pub(crate) left: Vec<String>,
}

/// Copies all of it into a new folder, and checks each run of the copy.
///
/// # Errors
/// A folder that is there and not empty, or that lies in what is copied; a source that cannot be read; a run that
/// is damaged.
pub(crate) fn copy(sources: &Sources, to: &Path) -> Outcome<Copied> {
    apart(sources, to)?;
    let mut copying = Copying::new(to, sources.keys)?;
    if let Some(home) = &sources.home {
        keys(&mut copying, home)?;
    }
    if let Some(place) = &sources.registry {
        registry(&mut copying, place)?;
    }
    if let Some(folder) = &sources.federations {
        books(&mut copying, folder)?;
    }
    let mut runs = Vec::new();
    if let Some(folder) = &sources.runs {
        runs = self::runs(&mut copying, folder)?;
    }
    for folder in &sources.nodes {
        node(&mut copying, folder)?;
    }
    let (files, left) = copying.finish()?;
    Ok(Copied { files, runs, left })
}

/// Refuses a copy inside of what is copied, and one that would be copied.
fn apart(sources: &Sources, to: &Path) -> Outcome {
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).map_err(|error| Failure::io(path, &error))?;
        // Links are resolved as far as there is something.
        let there = path
            .ancestors()
            .find_map(|part| Some((part, part.canonicalize().ok()?)));
        Ok::<_, Failure>(match there {
            Some((part, real)) => real.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
            None => path.clone(),
        })
    };
    let copy = absolute(to)?;
    // The folder of keys itself may have the copy in a folder of its own: only files of it are copied.
    let registry = sources.registry.as_ref().map(|place| &place.folder);
    let all = [
        registry,
        sources.federations.as_ref(),
        sources.runs.as_ref(),
    ];
    for source in all.into_iter().flatten().chain(&sources.nodes) {
        let place = absolute(source)?;
        if copy.starts_with(&place) || place.starts_with(&copy) {
            return Err(Failure::usage(format!(
                "{}: the copy and {} lie in each other",
                to.display(),
                source.display()
            ))
            .hint("Name a folder apart from everything that is copied."));
        }
    }
    Ok(())
}

/// Files of the folder of keys itself.
fn keys(copying: &mut Copying, home: &Path) -> Outcome {
    let public = |name: &str| {
        [".toml", ".json", ".pub", ".pub.pem"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    for (name, kind) in copying::names(home)? {
        if kind != Kind::File {
            continue;
        }
        if public(&name) || copying::is_private(&name) {
            copying.file(home, Path::new(&name), "keys")?;
        } else {
            copying.leave(&home.join(&name), "no kind of file that keys are kept in");
        }
    }
    Ok(())
}

fn registry(copying: &mut Copying, place: &RegistryPlace) -> Outcome {
    let to = copying.place("registry")?.join(DATABASE);
    if place.copy_to(&to)? {
        copying.made(&format!("registry/{DATABASE}"))?;
    }
    copying.folder(&place.folder, "registry", &|below| {
        let name = below.to_string_lossy();
        // The copy has rows of its own.
        name.starts_with(DATABASE) || name == ELSEWHERE
    })
}

fn books(copying: &mut Copying, folder: &Path) -> Outcome {
    for (name, kind) in copying::names(folder)? {
        let state = folder.join(&name).join("state.json");
        if kind != Kind::Folder || !state.is_file() {
            copying.leave(&folder.join(&name), "no federation");
            continue;
        }
        let into = format!("federations/{name}");
        again(copying, &into, &|copying| {
            book(copying, folder, &name, &into)
        })?;
    }
    Ok(())
}

/// Copies a federation's books. A state that was written anew meanwhile is a failure: the copied one may name changes
/// that were not copied.
fn book(copying: &mut Copying, folder: &Path, name: &str, into: &str) -> Outcome {
    let state = Path::new("state.json");
    let from = folder.join(name);
    copying.file(folder, &Path::new(name).join(state), "federations")?;
    copying.folder(&from, into, &|below| below == state)?;
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| Failure::io(&path, &error));
    match read(from.join(state))? == read(copying.at(into).join(state))? {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{}: its state was written anew while it was copied",
            from.display()
        ))
        .hint("Try again in a moment.")),
    }
}

/// Copies something to a place, and again where that fails: it may have changed under the copy.
fn again(copying: &mut Copying, into: &str, once: &dyn Fn(&mut Copying) -> Outcome) -> Outcome {
    let mut tries = 0;
    loop {
        tries += 1;
        match once(copying) {
            Ok(()) => return Ok(()),
            Err(failure) if tries == TRIES => return Err(failure),
            Err(_) => copying.forget(into)?,
        }
    }
}

/// Copies every run below a folder, or the one that it is; gives their places in the copy.
fn runs(copying: &mut Copying, folder: &Path) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    if is_run(folder) {
        let name = RunDir::new(folder).name();
        found.push((folder.to_owned(), format!("runs/{name}")));
    } else {
        below(copying, folder, "runs", DEPTH, &mut found)?;
    }
    let mut copied = Vec::new();
    for (run, into) in found {
        match begun(&run) {
            true => {
                whole(copying, &run, &into)?;
                copied.push(into);
            }
            false => copying.leave(&run, "a run whose log has no entry yet"),
        }
    }
    Ok(copied)
}

fn is_run(folder: &Path) -> bool {
    folder.join("run.json").is_file()
}

/// Whether a run's log has an entry, which vouches for its plan.
fn begun(run: &Path) -> bool {
    let empty = || matches!(Pinned::read(run), Err(fedseal_record::Error::RunDir { .. }));
    run.join("log/checkpoint").is_file() && !empty()
}

fn below(
    copying: &mut Copying,
    folder: &Path,
    into: &str,
    depth: u32,
    found: &mut Vec<(PathBuf, String)>,
) -> Outcome {
    for (name, kind) in copying::names(folder)? {
        let (path, into) = (folder.join(&name), format!("{into}/{name}"));
        match kind {
            Kind::Folder if is_run(&path) => found.push((path, into)),
            Kind::Folder if depth > 1 => below(copying, &path, &into, depth - 1, found)?,
            _ => copying.leave(&path, "no run"),
        }
    }
    Ok(())
}

/// Copies a run so that the copy is whole.
fn whole(copying: &mut Copying, run: &Path, into: &str) -> Outcome {
    again(copying, into, &|copying| {
        once(copying, run, into)?;
        check::run(&copying.at(into))
    })
}

fn once(copying: &mut Copying, run: &Path, into: &str) -> Outcome {
    let first = Path::new("log/checkpoint");
    copying.file(run, first, into)?;
    copying.folder(run, into, &|below| {
        // The next checkpoint was shown to nobody when the copy began.
        below == first || below == Path::new("log/checkpoint.next")
    })
}

/// Copies a node's state, without what it can fetch or compile again.
fn node(copying: &mut Copying, folder: &Path) -> Outcome {
    let name = folder.file_name().unwrap_or(OsStr::new("node"));
    let into = format!("nodes/{}", name.to_string_lossy());
    if copying.at(&into).exists() {
        return Err(Failure::usage(format!(
            "{}: another node's folder has the same name",
            folder.display()
        ))
        .hint("Copy them one by one."));
    }
    let first = Path::new("log/checkpoint");
    if folder.join(first).is_file() {
        copying.file(folder, first, &into)?;
    }
    let again: BTreeSet<&OsStr> = ["cache", "compiled"].map(OsStr::new).into();
    copying.folder(folder, &into, &|below| {
        let top = below.components().next().map(|part| part.as_os_str());
        below == first
            || below == Path::new("log/checkpoint.next")
            || top.is_some_and(|top| again.contains(top))
    })
}

#[cfg(test)]
mod tests;

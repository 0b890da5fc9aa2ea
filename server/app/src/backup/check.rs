//! Checks of a copy: every file against the list, runs, books and registry against their own rules.

use std::collections::BTreeSet;
use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;
use fedseal_federation::coordinator::books::Books;
use fedseal_ledger::{Blobs, verify_files};
use fedseal_record::controls;
use fedseal_record::opened::OpenRun;
use fedseal_record::references::references;

use super::copying::{FORMAT, Kind, LIST, List, listed, names};
use crate::failure::{Failure, Outcome};

/// Longest list of a copy, bytes.
const MOST_LIST: u64 = 512 << 20;
/// Files that a failure names, at most.
const MOST_NAMED: usize = 5;

/// Contents of a copy in which everything held.
#[derive(Debug)]
pub(crate) struct Checked {
    /// When it was made, RFC 3339, UTC.
    pub(crate) created: String,
    /// Whether private keys are in it.
    pub(crate) keys: bool,
    /// Files, and their bytes.
    pub(crate) files: (usize, u64),
    /// Runs.
    pub(crate) runs: usize,
    /// Federations.
    pub(crate) federations: usize,
    /// Whether the registry is in it.
    pub(crate) registry: bool,
}

/// Checks a copy. Nothing in it is written.
///
/// # Errors
/// A folder without a list; files that are missing, changed or not in the list; a run whose log or blobs do not
/// hold; books or a registry that cannot be read.
pub(crate) fn check(copy: &Path) -> Outcome<Checked> {
    let list = read(copy)?;
    files(copy, &list)?;
    let (mut runs, mut federations) = (0, 0);
    for place in list.files.keys() {
        let parts: Vec<&str> = place.split('/').collect();
        match parts.as_slice() {
            ["runs", between @ .., "run.json"] if !between.is_empty() => {
                let folder = place.trim_end_matches("/run.json");
                run(&copy.join(folder))?;
                runs += 1;
            }
            ["federations", name, "state.json"] => {
                let books = Books::open(copy.join("federations"))?;
                books.experiment(&books.read(name)?)?;
                federations += 1;
            }
            _ => {}
        }
    }
    let registry = list.files.contains_key("registry/registry.sqlite");
    if registry {
        self::registry(&copy.join("registry"))?;
    }
    Ok(Checked {
        created: list.created,
        keys: list.keys,
        files: (
            list.files.len(),
            list.files.values().map(|file| file.bytes).sum(),
        ),
        runs,
        federations,
        registry,
    })
}

fn read(copy: &Path) -> Outcome<List> {
    let path = copy.join(LIST);
    let bytes = outside::read(copy, LIST, MOST_LIST).map_err(|error| {
        Failure::io(&path, &error)
            .hint("A copy that was not finished has no such file; make another.")
    })?;
    let list: List = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    match list.format {
        FORMAT => Ok(list),
        other => Err(Failure::new(format!(
            "{}: format {other}, this program reads {FORMAT}",
            path.display()
        ))),
    }
}

/// Holds every file against the list.
fn files(copy: &Path, list: &List) -> Outcome {
    let mut wrong = Vec::new();
    for (place, expected) in &list.files {
        match listed(copy, place) {
            Ok(found) if found == *expected => {}
            Ok(_) => wrong.push(format!("{place} was changed")),
            Err(error) => wrong.push(format!("{place}: {error}")),
        }
    }
    let mut there = BTreeSet::new();
    walk(copy, "", &mut there)?;
    let unlisted = |place: &&String| *place != LIST && !list.files.contains_key(*place);
    for place in there.iter().filter(unlisted) {
        wrong.push(format!("{place} is not in the list"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(MOST_NAMED);
    wrong.truncate(MOST_NAMED);
    let rest = match more {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(Failure::new(format!(
        "{}: {}{rest}",
        copy.display(),
        wrong.join("; ")
    )))
}

/// Every file below a folder of the copy.
fn walk(copy: &Path, below: &str, there: &mut BTreeSet<String>) -> Outcome {
    for (name, kind) in names(&copy.join(below))? {
        let place = match below {
            "" => name,
            below => format!("{below}/{name}"),
        };
        match kind {
            Kind::Folder => walk(copy, &place, there)?,
            _ => drop(there.insert(place)),
        }
    }
    Ok(())
}

/// Checks a run as far as it goes: its plan by its log, every tile and entry, every blob, and that no blob is
/// missing that the log names. What the records mean is `fedseal verify`'s.
pub(super) fn run(folder: &Path) -> Outcome {
    let mut run = OpenRun::read(folder)?;
    verify_files(folder, &run.plan.node)?;
    let mut attested = Vec::new();
    let ids: Vec<Digest> = run.state.attestations.keys().copied().collect();
    for id in ids {
        attested.push(run.evidence.attested(&run.blobs, &id, &run.plan)?);
    }
    let wanted = references(
        Digest::of_json(&run.plan)?,
        &run.plan,
        &run.state,
        attested.iter().map(AsRef::as_ref),
        &controls::all(&run.blobs, &run.state)?,
    );
    match wanted
        .iter()
        .find(|(digest, _)| !run.blobs.contains(digest))
    {
        None => Ok(()),
        Some((digest, what)) => Err(Failure::new(format!(
            "{}: blob {digest} is missing ({what})",
            folder.display()
        ))),
    }
}

fn registry(folder: &Path) -> Outcome {
    let database = folder.join("registry.sqlite");
    fedseal_registry::check_copy(&database).map_err(Failure::new)?;
    let blobs = folder.join("blobs");
    if blobs.is_dir() {
        Blobs::existing(&blobs)?.verify_all()?;
    }
    Ok(())
}

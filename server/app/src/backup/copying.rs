//! Files of a copy: each is written, synced and read again for its digest.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;
use fedseal_record::rundir::{now, write_atomically};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// Name of the list of files.
pub(super) const LIST: &str = "backup.json";
/// Version of the list.
pub(super) const FORMAT: u32 = 1;
/// Files in one folder that is copied, at most.
pub(super) const MOST_NAMES: usize = 1 << 20;

/// The list of a copy's files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Version of the program that made the copy.
    pub(super) program: String,
    /// When it was finished, RFC 3339, UTC.
    pub(super) created: String,
    /// Whether private keys are in it.
    pub(super) keys: bool,
    /// Files by their places, with `/` between parts.
    pub(super) files: BTreeMap<String, Listed>,
}

/// A file of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// SHA-256 of its bytes.
    pub(super) sha256: Digest,
    /// How many.
    pub(super) bytes: u64,
}

/// Kind of a name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a socket, a device: nothing that is copied.
    Other,
}

/// A copy that is being made.
pub(super) struct Copying {
    to: PathBuf,
    keys: bool,
    files: BTreeMap<String, Listed>,
    left: Vec<String>,
}

impl Copying {
    /// A copy in a folder, which is made; one that is there must be empty.
    ///
    /// # Errors
    /// A folder with something in it, or that cannot be made.
    pub(super) fn new(to: &Path, keys: bool) -> Outcome<Copying> {
        if to.exists() && !is_empty(to) {
            return Err(
                Failure::usage(format!("{}: something is there already", to.display())).hint(
                    "A copy has a new folder; `fedseal backup --check` checks one that is there.",
                ),
            );
        }
        make(to)?;
        Ok(Copying {
            to: to.to_owned(),
            keys,
            files: BTreeMap::new(),
            left: Vec::new(),
        })
    }

    /// The path of a place in the copy.
    pub(super) fn at(&self, place: &str) -> PathBuf {
        self.to.join(place)
    }

    /// A folder of the copy, made where there is none.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub(super) fn place(&self, place: &str) -> Outcome<PathBuf> {
        let path = self.at(place);
        make(&path)?;
        Ok(path)
    }

    /// Says that something is not copied, and why.
    pub(super) fn leave(&mut self, path: &Path, why: &str) {
        self.left.push(format!("{}: {why}", path.display()));
    }

    /// Copies the file `below` a folder to the same place below `into`. A private key is passed over unless keys
    /// were asked for.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(super) fn file(&mut self, from: &Path, below: &Path, into: &str) -> Outcome {
        let path = from.join(below);
        if !self.keys && is_private(&below.to_string_lossy()) {
            self.leave(&path, "a private key; --keys copies it");
            return Ok(());
        }
        let mut source = outside::open(from, below).map_err(|error| Failure::io(&path, &error))?;
        let place = format!("{into}/{}", slashed(below));
        let target = self.at(&place);
        if let Some(folder) = target.parent() {
            make(folder)?;
        }
        let mut written = create(&target).map_err(|error| Failure::io(&target, &error))?;
        std::io::copy(&mut source, &mut written)
            .and_then(|_| written.sync_all())
            .map_err(|error| Failure::io(&target, &error))?;
        self.made(&place)
    }

    /// Takes a file of the copy, which is there, into the list.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn made(&mut self, place: &str) -> Outcome {
        let listed =
            listed(&self.to, place).map_err(|error| Failure::io(&self.at(place), &error))?;
        self.files.insert(place.to_owned(), listed);
        Ok(())
    }

    /// Copies every file of a folder, at any depth, but those that `passed` names by their places in it, and what
    /// a write left that did not end.
    ///
    /// # Errors
    /// As [`Copying::file`].
    pub(super) fn folder(
        &mut self,
        from: &Path,
        into: &str,
        passed: &dyn Fn(&Path) -> bool,
    ) -> Outcome {
        self.place(into)?;
        self.below(from, Path::new(""), into, passed)
    }

    fn below(
        &mut self,
        from: &Path,
        below: &Path,
        into: &str,
        passed: &dyn Fn(&Path) -> bool,
    ) -> Outcome {
        for (name, kind) in names(&from.join(below))? {
            let here = below.join(&name);
            if passed(&here) || name.ends_with(".tmp") {
                continue;
            }
            match kind {
                Kind::File => self.file(from, &here, into)?,
                Kind::Folder => {
                    self.place(&format!("{into}/{}", slashed(&here)))?;
                    self.below(from, &here, into, passed)?;
                }
                Kind::Other => self.leave(&from.join(&here), "neither file nor folder"),
            }
        }
        Ok(())
    }

    /// Removes what was copied to a place.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub(super) fn forget(&mut self, place: &str) -> Outcome {
        let path = self.at(place);
        fs::remove_dir_all(&path).map_err(|error| Failure::io(&path, &error))?;
        let below = format!("{place}/");
        self.files.retain(|file, _| !file.starts_with(&below));
        Ok(())
    }

    /// Writes the list: from then on the copy counts. Gives the number of files and their bytes, and what was
    /// passed over.
    ///
    /// # Errors
    /// A list that cannot be written.
    pub(super) fn finish(self) -> Outcome<((usize, u64), Vec<String>)> {
        let bytes = self.files.values().map(|file| file.bytes).sum();
        let counted = (self.files.len(), bytes);
        let list = List {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").into(),
            created: now(),
            keys: self.keys,
            files: self.files,
        };
        let text = serde_json::to_vec_pretty(&list).map_err(Failure::new)?;
        write_atomically(&self.to.join(LIST), &text)?;
        Ok((counted, self.left))
    }
}

/// Digest and length of a file of a copy.
pub(super) fn listed(copy: &Path, place: &str) -> std::io::Result<Listed> {
    let file = outside::open(copy, place)?;
    let bytes = file.metadata()?.len();
    let sha256 = outside::digest_of(file, bytes)?;
    Ok(Listed { sha256, bytes })
}

/// Whether a file of this name holds a private key.
pub(super) fn is_private(name: &str) -> bool {
    name.ends_with(".pem") && !name.ends_with(".pub.pem")
}

/// Names in a folder with their kinds, in order. A link is not followed.
///
/// # Errors
/// A folder that cannot be read, or has more than [`MOST_NAMES`] names.
pub(super) fn names(folder: &Path) -> Outcome<Vec<(String, Kind)>> {
    let failed = |error: std::io::Error| Failure::io(folder, &error);
    let mut names = Vec::new();
    for entry in outside::names(folder, MOST_NAMES).map_err(failed)? {
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_file() => Kind::File,
            Ok(kind) if kind.is_dir() => Kind::Folder,
            Ok(_) => Kind::Other,
            // It went away since.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let name = entry.file_name().into_string().map_err(|name| {
            Failure::new(format!(
                "{}: the name {name:?} is not UTF-8",
                folder.display()
            ))
        })?;
        names.push((name, kind));
    }
    Ok(names)
}

/// Whether a folder has nothing in it.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// A relative path with `/` between its parts.
fn slashed(path: &Path) -> String {
    let parts = path.components().map(|part| part.as_os_str());
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Makes a folder for its owner alone.
fn make(folder: &Path) -> Outcome {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| Failure::io(folder, &error))
}

/// Makes a file for its owner alone.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

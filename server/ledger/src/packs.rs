//! Many small blobs in one file: `packs/<SHA-256 of the file>.tar`.
//!
//! Making a file takes a file system longer than everything else that a small blob needs. A member
//! is named as the blob's own file would be (`ab/abcd…`), so that `tar -x` beside the packs gives
//! those files. A pack never changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedseal_client_sdk::digest::Digest;

use crate::files;
use crate::{Error, Result};

/// Longest blob that is packed, bytes.
pub const PACKED_BYTES: usize = 64 << 10;

/// From so many small blobs at once on, they share a file.
pub const PACK_FROM: usize = 16;

/// Where a packed blob is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) pack: Arc<Path>,
    start: u64,
    bytes: u64,
}

/// What is known of the packs in the folder.
#[derive(Debug, Default)]
struct Index {
    places: HashMap<Digest, Place>,
    /// The packs that were read, and what is wrong with those that are none.
    packs: BTreeMap<Arc<Path>, Option<String>>,
}

/// The packs of a store. Any number of threads and processes may use them at the same time.
#[derive(Debug)]
pub(crate) struct Packs {
    folder: PathBuf,
    index: Mutex<Index>,
}

impl Packs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let index = Mutex::default();
        Self { folder, index }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folder, unless some of it is known.
    pub(crate) fn look(&self) -> Result<()> {
        let mut index = self.index();
        match index.packs.is_empty() {
            true => self.refresh(&mut index),
            false => Ok(()),
        }
    }

    /// Where a blob is, as far as is known.
    pub(crate) fn known(&self, digest: &Digest) -> Option<Place> {
        self.index().places.get(digest).cloned()
    }

    /// Where a blob is. None: in no pack.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it may be in a pack that cannot be read.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Place>> {
        let mut index = self.index();
        if let Some(place) = index.places.get(digest)
            && place.pack.is_file()
        {
            return Ok(Some(place.clone()));
        }
        self.refresh(&mut index)?;
        match index.places.get(digest) {
            None => index.sound().map(|()| None),
            place => Ok(place.cloned()),
        }
    }

    /// The packed digests, each once, and how many packs there are.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a file that is no pack.
    pub(crate) fn all(&self) -> Result<(Vec<Digest>, usize)> {
        let mut index = self.index();
        self.refresh(&mut index)?;
        index.sound()?;
        Ok((index.places.keys().copied().collect(), index.packs.len()))
    }

    /// The packs, each with what it holds.
    pub(crate) fn contents(&self) -> Result<BTreeMap<PathBuf, Vec<(Digest, Place)>>> {
        let names = self.names()?;
        names
            .into_iter()
            .map(|path| {
                let members = members(&path)?;
                Ok((path, members))
            })
            .collect()
    }

    /// Hashes every pack as a file.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]; [`Error::Corrupt`] for a file that is no pack.
    pub(crate) fn verify(&self) -> Result<()> {
        for path in self.names()? {
            let expected = named(&path).map_err(|problem| Error::corrupt(&path, problem))?;
            let got = Digest::of(&files::read(&path)?);
            if got != expected {
                return Err(Error::DigestMismatch {
                    path,
                    item: "pack".into(),
                    expected,
                    got,
                });
            }
        }
        Ok(())
    }

    /// Where a new pack goes, and its bytes.
    pub(crate) fn pack(&self, blobs: &[(Digest, &[u8])]) -> Result<(PathBuf, Vec<u8>)> {
        let bytes = write(blobs).map_err(|e| Error::io(&self.folder, e))?;
        let name = format!("{}.tar", Digest::of(&bytes));
        Ok((self.folder.join(name), bytes))
    }

    /// Takes note of a pack that was written.
    pub(crate) fn add(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let members = members_of(path, Cursor::new(bytes), bytes.len() as u64)
            .map_err(|problem| Error::corrupt(path, problem))?;
        self.index().add(path, Ok(members));
        Ok(())
    }

    /// Reads the packs that are new, forgets those that are gone.
    fn refresh(&self, index: &mut Index) -> Result<()> {
        let names = self.names()?;
        if index.packs.keys().any(|pack| !names.contains(&**pack)) {
            *index = Index::default();
        }
        for path in names {
            if index.packs.contains_key(&*path) {
                continue;
            }
            match members(&path) {
                Ok(members) => index.add(&path, Ok(members)),
                Err(Error::Corrupt { detail, .. }) => index.add(&path, Err(detail)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<BTreeSet<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other.map_err(|e| Error::io(&self.folder, e))?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let path = entry.map_err(|e| Error::io(&self.folder, e))?.path();
            if !files::is_temporary(&path) {
                names.insert(path);
            }
        }
        Ok(names)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Whatever a panic left out is read again, as after a start.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, path: &Path, members: Result<Vec<(Digest, Place)>, String>) {
        let problem = match members {
            Ok(members) => {
                self.places.extend(members);
                None
            }
            Err(problem) => Some(problem),
        };
        self.packs.insert(path.into(), problem);
    }

    fn sound(&self) -> Result<()> {
        let wrong = self
            .packs
            .iter()
            .find_map(|(path, problem)| Some((path, problem.as_ref()?)));
        wrong.map_or(Ok(()), |(path, problem)| Err(Error::corrupt(path, problem)))
    }
}

impl Place {
    /// The blob's bytes, not hashed.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let read = || {
            let mut file = File::open(&self.pack)?;
            file.seek(SeekFrom::Start(self.start))?;
            // Not more than the file has: it was looked at when the pack was read.
            let mut bytes = Vec::new();
            file.take(self.bytes).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| Error::io(&self.pack, e))
    }
}

/// `ab/abcd…`: a blob's place below the store's folder.
pub(crate) fn member(digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    let (first, _) = name.split_at(2);
    Path::new(first).join(&name)
}

/// A tar of these, the same for the same blobs.
fn write(blobs: &[(Digest, &[u8])]) -> io::Result<Vec<u8>> {
    // A header, the bytes filled up to a multiple of 512, two empty blocks at the end.
    let room: usize = blobs.iter().map(|(_, bytes)| bytes.len() + 1024).sum();
    let mut tar = tar::Builder::new(Vec::with_capacity(room + 1024));
    for (digest, bytes) in blobs {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, member(digest), *bytes)?;
    }
    tar.into_inner()
}

fn members(path: &Path) -> Result<Vec<(Digest, Place)>> {
    named(path).map_err(|problem| Error::corrupt(path, problem))?;
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
    members_of(path, file, length).map_err(|problem| Error::corrupt(path, problem))
}

/// What a tar holds, which must be blobs and nothing else.
fn members_of(
    path: &Path,
    tar: impl Read + Seek,
    length: u64,
) -> Result<Vec<(Digest, Place)>, String> {
    let pack: Arc<Path> = path.into();
    let wrong = |error: io::Error| format!("no tar: {error}");
    let mut archive = tar::Archive::new(tar);
    let mut members = Vec::new();
    for entry in archive.entries_with_seek().map_err(wrong)?.raw(true) {
        let entry = entry.map_err(wrong)?;
        let (start, bytes) = (entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let digest = name
            .rsplit('/')
            .next()
            .and_then(|last| last.parse::<Digest>().ok())
            .filter(|digest| Path::new(&name) == member(digest))
            .filter(|_| entry.header().entry_type().is_file())
            .ok_or_else(|| format!("{name:?} in it is not the name of a blob"))?;
        if start.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(format!("{name} in it is cut off"));
        }
        let pack = pack.clone();
        members.push((digest, Place { pack, start, bytes }));
    }
    Ok(members)
}

/// The digest in a pack's name.
fn named(path: &Path) -> Result<Digest, String> {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".tar"))
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| "not the name of a pack".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_the_same_for_the_same_blobs_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let packs = Packs::new(folder.path().join("packs"));
        let texts = [b"".as_slice(), b"one", &[7; 512], &[8; 513]];
        let blobs = texts.map(|text| (Digest::of(text), text));
        let (path, bytes) = packs.pack(&blobs).unwrap();
        assert_eq!(packs.pack(&blobs).unwrap(), (path.clone(), bytes.clone()));
        assert_eq!(packs.find(&blobs[1].0).unwrap().map(|p| p.start), None);
        fs::create_dir(packs.folder()).unwrap();
        fs::write(&path, &bytes).unwrap();
        for (digest, text) in blobs {
            let place = packs.find(&digest).unwrap().unwrap();
            assert_eq!(place.read().unwrap(), text);
        }
        assert_eq!(packs.all().unwrap().1, 1);
        packs.verify().unwrap();
    }

    #[test]
    fn what_is_no_pack_is_named_with_the_reason() {
        let texts = [b"one".as_slice(), b"two", b"three"];
        let blobs = texts.map(|text| (Digest::of(text), text));
        type Change<'a> = &'a dyn Fn(&Path, &mut Vec<u8>) -> PathBuf;
        let spoil = |change: Change<'_>| {
            let folder = tempfile::tempdir().unwrap();
            let packs = Packs::new(folder.path().to_owned());
            let (path, mut bytes) = packs.pack(&blobs).unwrap();
            let path = change(&path, &mut bytes);
            fs::write(&path, &bytes).unwrap();
            let found = packs.all().map(|_| ()).and_then(|()| packs.verify());
            let lost = packs.find(&Digest::of(b"in no pack"));
            (found.unwrap_err().to_string(), lost.is_err())
        };
        let same = |path: &Path| path.to_owned();
        let cases: [(&str, bool, Change<'_>); 6] = [
            ("not the name of a pack", true, &|path, _| {
                path.with_file_name("notes.txt")
            }),
            ("no tar", true, &|path, bytes| {
                bytes[700] ^= 1;
                bytes[1030] ^= 1;
                same(path)
            }),
            ("cut off", true, &|path, bytes| {
                bytes.truncate(514);
                same(path)
            }),
            ("not the name of a blob", true, &|path, bytes| {
                let mut tar = tar::Builder::new(Vec::new());
                let mut header = tar::Header::new_ustar();
                header.set_size(1);
                tar.append_data(&mut header, "../../x", &b"x"[..])
                    .unwrap_err();
                tar.append_data(&mut header, "notes.txt", &b"x"[..])
                    .unwrap();
                *bytes = tar.into_inner().unwrap();
                same(path)
            }),
            ("pack: expected sha256", false, &|path, bytes| {
                bytes[513] ^= 1;
                same(path)
            }),
            ("pack: expected sha256", false, &|path, bytes| {
                bytes.push(0);
                same(path)
            }),
        ];
        for (reason, unknown, change) in cases {
            let (error, lost) = spoil(change);
            assert!(error.contains(reason), "{error}, not {reason}");
            assert_eq!(lost, unknown, "{reason}");
        }
    }
}

//! Many small blobs in one file: `packs/<SHA-256 of the file>.tar`.
//!
//! Making a file takes a file system longer than everything else that a small blob needs. A member
//! is named as the blob's own file would be (`ab/abcd…`), so that `tar -x` beside the packs gives
//! those files. A pack never changes.
//!
//! A pack has one form: members in order of their names, each once, with the one header that is
//! written for its name and length, zeros up to a multiple of 512 bytes, two empty blocks, the end.
//! So there is no place in it for anything but blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::outside;

use crate::files::{self, MOST_NAMES};
use crate::{Error, Result};

/// Longest blob that is packed, bytes.
pub const PACKED_BYTES: usize = 64 << 10;

/// Number of small blobs at once from which on they share a file.
pub const PACK_FROM: usize = 16;

/// Blobs in one pack that is written, at most; more take several packs.
pub(crate) const PACK_UP_TO: usize = 8192;

/// Longest pack that is read, bytes.
const MAX_PACK: u64 = 1 << 30;

/// Blobs in a pack that is read, at most.
const MOST_MEMBERS: usize = 1 << 17;

/// Block size of a tar, bytes.
const BLOCK: usize = 512;

/// Place of a packed blob.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) pack: Arc<Path>,
    start: u64,
    bytes: u64,
}

/// A pack that is to be written.
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Its blobs, in order.
    members: Vec<(Digest, Place)>,
}

/// Known packs of the folder.
#[derive(Debug, Default)]
struct Index {
    places: HashMap<Digest, Place>,
    /// Packs that were read; for a file that is no pack, its fault.
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

    /// Place of a blob, as far as is known.
    pub(crate) fn known(&self, digest: &Digest) -> Option<Place> {
        self.index().places.get(digest).cloned()
    }

    /// Place of a blob; none when it is in no pack.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it may be in a pack that cannot be read.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Place>> {
        let mut index = self.index();
        if let Some(place) = index.places.get(digest)
            && place
                .pack
                .symlink_metadata()
                .is_ok_and(|found| found.is_file())
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

    /// Hashes every pack as a file, and every member of it, including members that are never read
    /// because the same blob is found elsewhere first. Gives the blobs with their lengths, bytes.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]; [`Error::Corrupt`] for a file that is no pack; [`Error::Io`].
    pub(crate) fn verify(&self) -> Result<BTreeMap<Digest, u64>> {
        let mut blobs = BTreeMap::new();
        for path in self.names()? {
            let differs = |item: String, expected, got| Error::DigestMismatch {
                path: path.clone(),
                item,
                expected,
                got,
            };
            let expected = named(&path).map_err(|problem| Error::corrupt(&path, problem))?;
            let mut file = open(&path).map_err(|e| Error::io(&path, e))?;
            let whole = file.try_clone().map_err(|e| Error::io(&path, e))?;
            let got = outside::digest_of(whole, MAX_PACK).map_err(|e| Error::io(&path, e))?;
            if got != expected {
                return Err(differs("pack".into(), expected, got));
            }
            for (digest, place) in members(&path)? {
                let bytes = place.read_from(&mut file);
                let got = Digest::of(&bytes.map_err(|e| Error::io(&path, e))?);
                if got != digest {
                    return Err(differs("blob in the pack".into(), digest, got));
                }
                blobs.insert(digest, place.bytes);
            }
        }
        Ok(blobs)
    }

    /// A new pack. The blobs are small, each there once.
    pub(crate) fn pack(&self, blobs: &[(Digest, &[u8])]) -> Result<Pack> {
        let mut blobs = blobs.to_vec();
        blobs.sort_unstable_by_key(|(digest, _)| *digest);
        let (bytes, starts) = write(&blobs).map_err(|e| Error::io(&self.folder, e))?;
        let path = self.folder.join(format!("{}.tar", Digest::of(&bytes)));
        let pack: Arc<Path> = path.as_path().into();
        let place = |((digest, blob), start): (&(Digest, &[u8]), u64)| {
            let (pack, bytes) = (pack.clone(), blob.len() as u64);
            (*digest, Place { pack, start, bytes })
        };
        Ok(Pack {
            members: blobs.iter().zip(starts).map(place).collect(),
            path,
            bytes,
        })
    }

    /// Takes note of a pack that was written.
    pub(crate) fn add(&self, pack: Pack) {
        self.index().add(&pack.path, Ok(pack.members));
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
                Err(Error::Io { source, .. }) if outside::is_unfit(&source) => {
                    index.add(&path, Err(source.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<BTreeSet<PathBuf>> {
        let store = self.folder.parent().unwrap_or(Path::new(""));
        let below = self.folder.strip_prefix(store).unwrap_or(&self.folder);
        let entries =
            outside::folder(store, below).and_then(|()| outside::names(&self.folder, MOST_NAMES));
        let entries = match entries {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other.map_err(|e| Error::io(&self.folder, e))?,
        };
        let paths = entries.iter().map(std::fs::DirEntry::path);
        Ok(paths.filter(|path| !files::is_temporary(path)).collect())
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
        open(&self.pack)
            .and_then(|mut file| self.read_from(&mut file))
            .map_err(|e| Error::io(&self.pack, e))
    }

    fn read_from(&self, pack: &mut File) -> io::Result<Vec<u8>> {
        pack.seek(SeekFrom::Start(self.start))?;
        // At most PACKED_BYTES: it was looked at when the pack was read.
        let mut bytes = Vec::new();
        pack.take(self.bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// `ab/abcd…`: a blob's place below the store's folder.
pub(crate) fn member(digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    let (first, _) = name.split_at(2);
    Path::new(first).join(&name)
}

/// A tar of these, the same for the same blobs, and where each begins in it.
fn write(blobs: &[(Digest, &[u8])]) -> io::Result<(Vec<u8>, Vec<u64>)> {
    // A header, the bytes filled up to a multiple of 512, two empty blocks at the end.
    let room: usize = blobs.iter().map(|(_, bytes)| bytes.len() + 2 * BLOCK).sum();
    let mut tar = Vec::with_capacity(room + 2 * BLOCK);
    let mut starts = Vec::with_capacity(blobs.len());
    for (digest, bytes) in blobs {
        tar.extend_from_slice(header(digest, bytes.len() as u64)?.as_bytes());
        starts.push(tar.len() as u64);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok((tar, starts))
}

/// The one header of a member.
fn header(digest: &Digest, bytes: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_path(member(digest))?;
    header.set_cksum();
    Ok(header)
}

/// Opens a pack; neither it nor the folder of packs may be a link.
fn open(pack: &Path) -> io::Result<File> {
    let store = pack
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""));
    outside::open(store, pack.strip_prefix(store).unwrap_or(pack))
}

fn members(path: &Path) -> Result<Vec<(Digest, Place)>> {
    named(path).map_err(|problem| Error::corrupt(path, problem))?;
    let file = open(path).map_err(|e| Error::io(path, e))?;
    let length = outside::length(&file, MAX_PACK).map_err(|e| Error::io(path, e))?;
    // Headers of blobs that are smaller than this come with those before them.
    let mut file = BufReader::with_capacity(8 * BLOCK, file);
    members_of(path, &mut file, length).map_err(|problem| Error::corrupt(path, problem))
}

/// Members of a pack, which must have the form that [`fn@write`] gives it. Members are not hashed.
fn members_of(
    path: &Path,
    tar: &mut (impl Read + Seek),
    length: u64,
) -> Result<Vec<(Digest, Place)>, String> {
    let pack: Arc<Path> = path.into();
    let mut members: Vec<(Digest, Place)> = Vec::new();
    let mut at = 0;
    loop {
        let mut block = [0; BLOCK];
        filled(tar, &mut block, &mut at).map_err(|error| match members.last() {
            Some((digest, _)) => format!("cut off after {digest}: {error}"),
            None => format!("cut off: {error}"),
        })?;
        if block == [0; BLOCK] {
            break;
        }
        let header_of = tar::Header::from_byte_slice(&block);
        let name = String::from_utf8_lossy(&header_of.path_bytes()).into_owned();
        let digest = name
            .rsplit('/')
            .next()
            .and_then(|last| last.parse::<Digest>().ok())
            .filter(|digest| Path::new(&name) == member(digest))
            .ok_or_else(|| format!("{name:?} in it is not the name of a blob"))?;
        let bytes = header_of.size().ok();
        let bytes = bytes
            .filter(|bytes| *bytes <= PACKED_BYTES as u64)
            .ok_or_else(|| format!("{name} in it has no length of a packed blob"))?;
        let written = header(&digest, bytes).map_err(|error| format!("{name}: {error}"))?;
        if *written.as_bytes() != block {
            return Err(format!(
                "the header of {name} in it is not the one of a blob (type, mode, owner, time, checksum)"
            ));
        }
        if let Some((before, _)) = members.last().filter(|(before, _)| *before >= digest) {
            return Err(format!(
                "{name} in it stands after {before}: not in order, or twice"
            ));
        }
        if members.len() == MOST_MEMBERS {
            return Err(format!("more than {MOST_MEMBERS} blobs are in it"));
        }
        let start = at;
        at += bytes;
        // At most PACKED_BYTES. What is behind the end is found to be missing below.
        tar.seek_relative(bytes as i64)
            .map_err(|error| format!("{name} in it is cut off: {error}"))?;
        let mut rest = [0; BLOCK];
        let rest = rest.get_mut(..(BLOCK - bytes as usize % BLOCK) % BLOCK);
        let rest = rest.unwrap_or_default();
        filled(tar, rest, &mut at).map_err(|_| format!("{name} in it is cut off"))?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(format!("bytes that are of no blob follow {name} in it"));
        }
        if at > length {
            return Err(format!("{name} in it is cut off"));
        }
        let pack = pack.clone();
        members.push((digest, Place { pack, start, bytes }));
    }
    let mut block = [1; BLOCK];
    filled(tar, &mut block, &mut at).map_err(|_| "cut off at its end".to_owned())?;
    match block == [0; BLOCK] && at == length {
        true => Ok(members),
        false => Err("bytes that are of no blob stand at its end".into()),
    }
}

/// Reads as much as there is room for, and counts it.
fn filled(tar: &mut impl Read, room: &mut [u8], at: &mut u64) -> io::Result<()> {
    tar.read_exact(room)?;
    *at += room.len() as u64;
    Ok(())
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
        let pack = packs.pack(&blobs).unwrap();
        let again = packs.pack(&blobs).unwrap();
        assert_eq!((&again.path, &again.bytes), (&pack.path, &pack.bytes));
        assert_eq!(packs.find(&blobs[1].0).unwrap().map(|p| p.start), None);
        std::fs::create_dir(packs.folder()).unwrap();
        std::fs::write(&pack.path, &pack.bytes).unwrap();
        // What is noted of a pack that was written is what is read of one that was found.
        assert_eq!(members(&pack.path).unwrap(), pack.members);
        for (digest, text) in blobs {
            let place = packs.find(&digest).unwrap().unwrap();
            assert_eq!(place.read().unwrap(), text);
        }
        assert_eq!(packs.all().unwrap().1, 1);
        packs.verify().unwrap();
    }

    #[test]
    fn packs_are_what_they_were_before_their_form_was_held_against_them() {
        let (one, two) = (b"one".as_slice(), [2; 600]);
        let mut blobs = [(Digest::of(one), one), (Digest::of(&two), &two)];
        blobs.sort();
        let mut tar = tar::Builder::new(Vec::new());
        for (digest, bytes) in blobs {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, member(&digest), bytes)
                .unwrap();
        }
        blobs.reverse();
        let packs = Packs::new("packs".into());
        assert_eq!(packs.pack(&blobs).unwrap().bytes, tar.into_inner().unwrap());
    }

    /// Content that somebody can put into a pack and name by its own bytes.
    #[test]
    fn a_pack_of_another_form_is_refused_whatever_it_is_called() {
        let texts = [b"one".as_slice(), b"two", &[3; 600]];
        let mut blobs = texts.map(|text| (Digest::of(text), text));
        blobs.sort();
        let built = |members: &[(tar::Header, &[u8])]| {
            let mut tar = tar::Builder::new(Vec::new());
            for (header, bytes) in members {
                tar.append(header, *bytes).unwrap();
            }
            tar.into_inner().unwrap()
        };
        let good =
            || blobs.map(|(digest, text)| (header(&digest, text.len() as u64).unwrap(), text));
        let bent = |at: usize, bend: &dyn Fn(&mut tar::Header)| {
            let mut members = good();
            bend(&mut members[at].0);
            members[at].0.set_cksum();
            built(&members)
        };
        let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = built(&good());
            edit(&mut bytes);
            bytes
        };
        let [first, second, third] = good();
        let lengths = blobs.map(|(_, text)| text.len());
        let other = vec![9; lengths[0]];
        let wrong = (first.0.clone(), other.as_slice());
        let long = vec![0; PACKED_BYTES + 1];
        let long = (
            header(&Digest::of(&long), long.len() as u64).unwrap(),
            long.as_slice(),
        );
        let cases: Vec<(&str, Vec<u8>)> = vec![
            (
                "not the one of a blob",
                bent(0, &|header| header.set_mode(0o4755)),
            ),
            (
                "not the one of a blob",
                bent(1, &|header| header.set_uid(1)),
            ),
            (
                "not the one of a blob",
                bent(2, &|header| header.set_mtime(1)),
            ),
            (
                "not the one of a blob",
                bent(1, &|header| {
                    header.set_entry_type(tar::EntryType::Symlink);
                }),
            ),
            (
                "not the one of a blob",
                bent(1, &|header| {
                    header.set_entry_type(tar::EntryType::XHeader);
                }),
            ),
            ("not the one of a blob", edited(&|bytes| bytes[148] = b'7')),
            (
                "no length",
                bent(1, &|header| header.as_old_mut().size = *b"99999999999\0"),
            ),
            (
                "no length",
                bent(1, &|header| header.as_old_mut().size = [b'x'; 12]),
            ),
            ("no length", built(&[long])),
            (
                "not in order, or twice",
                built(&[first.clone(), first.clone()]),
            ),
            // The right one comes last and would be what is read.
            ("not in order, or twice", built(&[wrong, first.clone()])),
            (
                "not in order, or twice",
                built(&[second.clone(), first.clone()]),
            ),
            ("blob in the pack", edited(&|bytes| bytes[BLOCK] ^= 1)),
            (
                "bytes that are of no blob follow",
                edited(&|bytes| bytes[BLOCK + lengths[0]] = 1),
            ),
            (
                "stand at its end",
                edited(&|bytes| bytes.extend([0; BLOCK])),
            ),
            ("stand at its end", edited(&|bytes| bytes.push(1))),
            (
                "stand at its end",
                edited(&|bytes| {
                    let last = bytes.len() - 1;
                    bytes[last] = 1;
                }),
            ),
            ("cut off", edited(&|bytes| bytes.truncate(bytes.len() - 1))),
            (
                "cut off",
                edited(&|bytes| bytes.truncate(bytes.len() - 1024)),
            ),
            ("cut off", edited(&|bytes| bytes.truncate(BLOCK + 1))),
            ("cut off", Vec::new()),
        ];
        let refusal = |bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            let name = format!("{}.tar", Digest::of(bytes));
            let packs = Packs::new(folder.path().join("packs"));
            std::fs::create_dir(packs.folder()).unwrap();
            std::fs::write(packs.folder().join(name), bytes).unwrap();
            packs.verify().err().map(|error| error.to_string())
        };
        assert_eq!(refusal(&built(&[first, second, third])), None);
        for (index, (reason, bytes)) in cases.into_iter().enumerate() {
            let error = refusal(&bytes).unwrap_or_default();
            assert!(
                error.contains(reason),
                "case {index}: {error}, not {reason}"
            );
        }
    }

    #[test]
    fn what_is_no_pack_is_named_with_the_reason() {
        let texts = [b"one".as_slice(), b"two", b"three"];
        let blobs = texts.map(|text| (Digest::of(text), text));
        type Change<'a> = &'a dyn Fn(&Path, &mut Vec<u8>) -> PathBuf;
        let spoil = |change: Change<'_>| {
            let folder = tempfile::tempdir().unwrap();
            let packs = Packs::new(folder.path().to_owned());
            let Pack {
                path, mut bytes, ..
            } = packs.pack(&blobs).unwrap();
            let path = change(&path, &mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let found = packs.all().and_then(|_| packs.verify());
            let lost = packs.find(&Digest::of(b"in no pack"));
            (found.unwrap_err().to_string(), lost.is_err())
        };
        let same = |path: &Path| path.to_owned();
        let cases: [(&str, bool, Change<'_>); 6] = [
            ("not the name of a pack", true, &|path, _| {
                path.with_file_name("notes.txt")
            }),
            ("bytes that are of no blob follow", true, &|path, bytes| {
                bytes[700] ^= 1;
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
            ("stand at its end", true, &|path, bytes| {
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

//! The files of a layout: `oci-layout`, the index, and blobs that are named by their digest.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::descriptor::{Descriptor, Index, MAX_JSON, Manifest, bytes_of, parse, short, spend};
use crate::digest::Digest;
use crate::{Error, Result, outside};

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The index of a layout, made when there is none.
pub(super) fn begin(folder: &Path) -> Result<Index> {
    if folder.join("index.json").exists() {
        return read_index(folder);
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|source| io(&blobs, source))?;
    write(&folder.join("oci-layout"), LAYOUT.as_bytes())?;
    Ok(Index::new())
}

pub(super) fn end(folder: &Path, index: &Index) -> Result<()> {
    write(&folder.join("index.json"), &bytes_of(index)?)
}

pub(super) fn read_index(folder: &Path) -> Result<Index> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let version: Version = parse("oci-layout", &read(folder, Path::new("oci-layout"), 4096)?)?;
    if !version.version.starts_with("1.") {
        return Err(Error::Mismatch {
            what: "imageLayoutVersion",
            expected: "1.0.0".into(),
            got: short(&version.version),
        });
    }
    let bytes = read(folder, Path::new("index.json"), MAX_JSON)?;
    Index::read("index.json", &bytes)
}

/// Reads a manifest; subtracts its size from `left`, the bytes that may still be read.
pub(super) fn read_manifest(
    folder: &Path,
    descriptor: &Descriptor,
    left: &mut u64,
) -> Result<Manifest> {
    spend(left, descriptor.size, &folder.display())?;
    Manifest::read(&read_blob(folder, descriptor, MAX_JSON)?)
}

/// As [`read_manifest`], for an entry that nobody asked for by name: none where it is broken, or named by
/// another digest than SHA-256. A layout holds what others put there.
///
/// # Errors
/// The manifests together have more bytes than may be read.
pub(super) fn read_other(
    folder: &Path,
    descriptor: &Descriptor,
    left: &mut u64,
) -> Result<Option<Manifest>> {
    if !descriptor.readable() {
        return Ok(None);
    }
    if descriptor.size > *left {
        return read_manifest(folder, descriptor, left).map(Some);
    }
    Ok(read_manifest(folder, descriptor, left).ok())
}

pub(super) fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(blob_name(digest))
}

fn blob_name(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.to_string())
}

pub(super) fn read_blob(folder: &Path, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>> {
    let expected = descriptor.sha256()?;
    let path = blob_path(folder, &expected);
    if descriptor.size > most {
        return Err(Error::Invalid {
            what: "OCI descriptor",
            detail: format!(
                "{}: {} bytes, at most {most}",
                path.display(),
                descriptor.size
            ),
        });
    }
    let bytes = read(folder, &blob_name(&expected), descriptor.size)?;
    let got = Digest::of(&bytes);
    if got != expected || bytes.len() as u64 != descriptor.size {
        return Err(Error::DigestMismatch {
            what: format!(
                "{} ({} bytes of {})",
                path.display(),
                bytes.len(),
                descriptor.size
            ),
            expected,
            got,
        });
    }
    Ok(bytes)
}

pub(super) fn write_blob(folder: &Path, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    let descriptor = Descriptor::new(media_type, bytes);
    let path = blob_path(folder, &Digest::of(bytes));
    // An existing blob may have been cut short or changed: then it is written again.
    if read_blob(folder, &descriptor, descriptor.size).is_err() {
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|source| io(parent, source))?;
        write(&path, bytes)?;
    }
    Ok(descriptor)
}

/// The file below the layout's folder, or an error where it is longer than `most` bytes.
fn read(folder: &Path, below: &Path, most: u64) -> Result<Vec<u8>> {
    outside::read(folder, below, most).map_err(|source| io(&folder.join(below), source))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let written = fs::File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    written.map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        path: path.display().to_string(),
        source,
    }
}

//! The files of a layout: `oci-layout`, the index, and blobs that are named by their digest.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::{Error, Result, outside};

/// Bytes of a manifest or an index, most.
const MAX_JSON: u64 = 4 << 20;
/// Bytes of all manifests that one pull reads, most.
pub(super) const MAX_READ: u64 = 64 << 20;
/// Bounds on an index: [`MAX_MANIFESTS`] descriptors with annotations.
const BOUNDS: Bounds = Bounds {
    bytes: MAX_JSON as usize,
    structure: 32 << 20,
};
/// Bounds on a manifest: an image of a thousand layers fits.
const MANIFEST_BOUNDS: Bounds = Bounds {
    bytes: MAX_JSON as usize,
    structure: 1 << 20,
};
/// Manifests that an index may name.
const MAX_MANIFESTS: usize = 10_000;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const TAG: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A descriptor (image-spec, descriptor.md). Fields that are not looked at are kept as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(flatten)]
    pub(super) more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub(super) more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct Manifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) subject: Option<Descriptor>,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", Digest::of(bytes)),
            size: bytes.len() as u64,
            more: serde_json::Map::new(),
        }
    }

    pub(super) fn sha256(&self) -> Result<Digest> {
        let hex = self
            .digest
            .strip_prefix("sha256:")
            .ok_or_else(|| Error::Invalid {
                what: "OCI descriptor",
                detail: format!("the digest {:?} is not one of sha256", short(&self.digest)),
            })?;
        hex.parse()
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.more.get("annotations")?.get(TAG)?.as_str()
    }
}

/// The index of a layout, made when there is none.
pub(super) fn begin(folder: &Path) -> Result<Index> {
    if folder.join("index.json").exists() {
        return read_index(folder);
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|source| io(&blobs, source))?;
    write(&folder.join("oci-layout"), LAYOUT.as_bytes())?;
    Ok(Index {
        schema_version: 2,
        manifests: Vec::new(),
        more: [("mediaType".to_owned(), INDEX.into())]
            .into_iter()
            .collect(),
    })
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
    let index: Index = parse(
        "index.json",
        &read(folder, Path::new("index.json"), MAX_JSON)?,
    )?;
    schema(index.schema_version)?;
    if index.manifests.len() > MAX_MANIFESTS {
        return Err(Error::Invalid {
            what: "index.json",
            detail: format!("more than {MAX_MANIFESTS} manifests"),
        });
    }
    Ok(index)
}

/// Reads a manifest; subtracts its size from `left`, the bytes that may still be read.
pub(super) fn read_manifest(
    folder: &Path,
    descriptor: &Descriptor,
    left: &mut u64,
) -> Result<Manifest> {
    *left = left
        .checked_sub(descriptor.size)
        .ok_or_else(|| Error::Invalid {
            what: "OCI layout",
            detail: format!(
                "{}: its manifests have more than {MAX_READ} bytes",
                folder.display()
            ),
        })?;
    let bytes = read_blob(folder, descriptor, MAX_JSON)?;
    let manifest: Manifest = bounded::from_slice("OCI manifest", &bytes, &MANIFEST_BOUNDS)?;
    schema(manifest.schema_version)?;
    Ok(manifest)
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
    if descriptor.size > MAX_JSON || descriptor.sha256().is_err() {
        return Ok(None);
    }
    if descriptor.size > *left {
        return read_manifest(folder, descriptor, left).map(Some);
    }
    Ok(read_manifest(folder, descriptor, left).ok())
}

fn schema(version: u32) -> Result<()> {
    if version == 2 {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: "schemaVersion",
        expected: "2".into(),
        got: version.to_string(),
    })
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

pub(super) fn parse<T: for<'a> Deserialize<'a>>(what: &'static str, bytes: &[u8]) -> Result<T> {
    bounded::from_slice(what, bytes, &BOUNDS)
}

pub(super) fn bytes_of(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Encode(error.into()))
}

/// At most 80 characters of what came from outside.
pub(super) fn short(text: &str) -> String {
    bounded::short(text, 80)
}

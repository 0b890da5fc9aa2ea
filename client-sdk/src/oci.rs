//! Modules in an OCI image layout on disk: the form in which wkg, oras and cosign keep artifacts.
//!
//! A layout is a folder with `oci-layout`, `index.json` and `blobs/sha256/…`
//! (OCI image-spec 1.1, image-layout.md). A module is an artifact with one layer of type
//! `application/wasm` and a config of type `application/vnd.wasm.config.v0+json` (CNCF TAG Runtime, Wasm
//! OCI artifact layout). Its signature is a referrer: a manifest of its own with the DSSE envelope as
//! its layer, whose `subject` is the module's manifest.
//!
//! Reading trusts nothing: every blob is read to the size that its descriptor says and must have the
//! digest that names it. Whose module it is says only the envelope ([`crate::module::verify`]).
//!
//! Blobs are written before the index, and each file whole or not at all; of two pushes at once one
//! index may win, and the loser's blobs stay without a name.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::{Error, Result};

/// Bytes of a manifest or an index, most.
const MAX_JSON: u64 = 4 << 20;
/// Bytes of a module, most; a sandbox takes less by its own limits.
const MAX_MODULE: u64 = 128 << 20;
/// Bytes of an envelope, most.
const MAX_ENVELOPE: u64 = 1 << 20;
/// Manifests that an index may name.
const MAX_MANIFESTS: usize = 10_000;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM: &str = "application/wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The media type of a DSSE envelope (secure-systems-lab/dsse, envelope.md; as cosign stores it).
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const TAG: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A place in a layout: `oci:DIR`, `oci:DIR:TAG` or `oci:DIR@sha256:HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The layout's folder.
    pub folder: PathBuf,
    /// Which of its manifests.
    pub name: Name,
}

/// Which manifest of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The only module, or the one tagged `latest`.
    Default,
    /// The one with this tag.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl Reference {
    /// Whether a word is meant as a reference.
    #[must_use]
    pub fn is_one(word: &str) -> bool {
        word.starts_with("oci:")
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another form or a tag that OCI does not allow; [`Error::Hex`].
    pub fn parse(word: &str) -> Result<Self> {
        let bad = |detail: String| Error::Invalid {
            what: "OCI reference",
            detail,
        };
        let rest = word
            .strip_prefix("oci:")
            .ok_or_else(|| bad(format!("{word:?} does not begin with oci:")))?;
        let (folder, name) = if let Some((folder, hex)) = rest.rsplit_once("@sha256:") {
            (folder, Name::Digest(hex.parse()?))
        } else {
            // A colon before a slash is part of the folder.
            match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((folder, tag)) => (folder, Name::Tag(tag.to_owned())),
                None => (rest, Name::Default),
            }
        };
        if folder.is_empty() {
            return Err(bad(format!("{word:?} names no folder")));
        }
        if let Name::Tag(tag) = &name {
            let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !tag.starts_with(first) || tag.len() > 128 || !tag.chars().all(inner) {
                return Err(bad(format!(
                    "the tag {tag:?} is not 1 to 128 of letters, digits, `_`, `.`, `-`"
                )));
            }
        }
        Ok(Self {
            folder: folder.into(),
            name,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.folder.display())?;
        match &self.name {
            Name::Default => Ok(()),
            Name::Tag(tag) => write!(f, ":{tag}"),
            Name::Digest(digest) => write!(f, "@sha256:{digest}"),
        }
    }
}

/// What stands in the config beside the digest, for registries and their readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The component's imports.
    pub imports: Vec<String>,
    /// The component's exports.
    pub exports: Vec<String>,
}

/// A module out of a layout.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The component's bytes.
    pub module: Vec<u8>,
    /// The envelopes that refer to it, in the index's order.
    pub envelopes: Vec<Envelope>,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// A descriptor (image-spec, descriptor.md). Fields that are not looked at are kept as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default)]
    subject: Option<Descriptor>,
}

impl Descriptor {
    fn new(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", Digest::of(bytes)),
            size: bytes.len() as u64,
            more: serde_json::Map::new(),
        }
    }

    fn sha256(&self) -> Result<Digest> {
        let hex = self
            .digest
            .strip_prefix("sha256:")
            .ok_or_else(|| Error::Invalid {
                what: "OCI descriptor",
                detail: format!("the digest {:?} is not one of sha256", short(&self.digest)),
            })?;
        hex.parse()
    }

    fn tag(&self) -> Option<&str> {
        self.more.get("annotations")?.get(TAG)?.as_str()
    }
}

/// Puts a module, and the envelopes about it, into a layout, which is made when there is none. A tag
/// that is there moves to the new module. Returns the digest of its manifest.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] for a reference by digest or a folder that holds something
/// else.
pub fn push(
    to: &Reference,
    module: &[u8],
    about: &About,
    envelopes: &[&Envelope],
) -> Result<Digest> {
    let tag = match &to.name {
        Name::Default => "latest",
        Name::Tag(tag) => tag,
        Name::Digest(_) => {
            return Err(Error::Invalid {
                what: "OCI reference",
                detail: format!("{to}: a module is pushed under a tag, its digest follows"),
            });
        }
    };
    let mut index = begin(&to.folder)?;
    let layer = write_blob(&to.folder, WASM, module)?;
    let config = json!({
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": {"imports": about.imports, "exports": about.exports},
    });
    let config = write_blob(&to.folder, WASM_CONFIG, &bytes_of(&config)?)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let mut named = write_blob(&to.folder, MANIFEST, &bytes_of(&manifest)?)?;
    let subject = named.clone();
    named.more.insert("annotations".into(), json!({ TAG: tag }));
    // The tag moves; what had it keeps its blobs and, if it has no other tag, its digest.
    index.manifests.retain(|other| other.tag() != Some(tag));
    index.manifests.push(named);
    for envelope in envelopes {
        refer(&to.folder, &mut index, &subject, envelope)?;
    }
    end(&to.folder, &index)?;
    subject.sha256()
}

/// Adds an envelope about a module that is in a layout.
///
/// # Errors
/// Those of [`pull`].
pub fn attach(to: &Reference, envelope: &Envelope) -> Result<()> {
    let mut index = read_index(&to.folder)?;
    let (mut subject, _) = find(to, &index)?;
    subject.more.clear();
    refer(&to.folder, &mut index, &subject, envelope)?;
    end(&to.folder, &index)
}

/// Takes a module and its envelopes out of a layout.
///
/// # Errors
/// [`Error::Io`] when a file is missing; [`Error::Json`] and [`Error::Invalid`] for what is no
/// layout, no Wasm artifact, or a name that stands for none or for several; [`Error::DigestMismatch`]
/// for a blob that is not what its name says.
pub fn pull(from: &Reference) -> Result<Pulled> {
    let index = read_index(&from.folder)?;
    let (named, manifest) = find(from, &index)?;
    let [layer] = manifest.layers.as_slice() else {
        return Err(Error::Invalid {
            what: "Wasm artifact",
            detail: format!(
                "{from}: {} layers, a component is one",
                manifest.layers.len()
            ),
        });
    };
    expect_type("Wasm artifact", &layer.media_type, WASM)?;
    let module = read_blob(&from.folder, layer, MAX_MODULE)?;
    let mut envelopes = Vec::new();
    for other in &index.manifests {
        if other.media_type != MANIFEST || other.digest == named.digest {
            continue;
        }
        let other = read_manifest(&from.folder, other)?;
        let about = other.subject.is_some_and(|s| s.digest == named.digest);
        if let ([layer], true) = (other.layers.as_slice(), about)
            && layer.media_type == ENVELOPE
        {
            let bytes = read_blob(&from.folder, layer, MAX_ENVELOPE)?;
            envelopes.push(Envelope::from_json(&bytes)?);
        }
    }
    Ok(Pulled {
        module,
        envelopes,
        manifest: named.sha256()?,
    })
}

/// The module's descriptor in the index, and its manifest.
fn find(from: &Reference, index: &Index) -> Result<(Descriptor, Manifest)> {
    let none = |detail: String| Error::Invalid {
        what: "OCI layout",
        detail: format!("{from}: {detail}"),
    };
    let mut modules = Vec::new();
    for descriptor in &index.manifests {
        if descriptor.media_type != MANIFEST {
            continue;
        }
        let wanted = match &from.name {
            Name::Default => true,
            Name::Tag(tag) => descriptor.tag() == Some(tag),
            Name::Digest(digest) => descriptor.sha256()? == *digest,
        };
        if !wanted {
            continue;
        }
        let manifest = read_manifest(&from.folder, descriptor)?;
        if manifest.config.media_type == WASM_CONFIG {
            modules.push((descriptor.clone(), manifest));
        } else if from.name != Name::Default {
            return Err(none(format!(
                "this is no Wasm artifact, its config is of type {:?}",
                short(&manifest.config.media_type)
            )));
        }
    }
    if from.name == Name::Default && modules.len() > 1 {
        modules.retain(|(descriptor, _)| descriptor.tag() == Some("latest"));
    }
    let tags: Vec<&str> = index.manifests.iter().filter_map(Descriptor::tag).collect();
    match (modules.pop(), modules.is_empty()) {
        (Some(module), true) => Ok(module),
        (Some(_), false) => Err(none("several modules have this name".into())),
        (None, _) => Err(none(format!(
            "no module has this name; tags here: {}",
            if tags.is_empty() {
                "none".into()
            } else {
                short(&tags.join(", "))
            }
        ))),
    }
}

/// Writes a referrer for an envelope and names it in the index, once.
fn refer(
    folder: &Path,
    index: &mut Index,
    subject: &Descriptor,
    envelope: &Envelope,
) -> Result<()> {
    let layer = write_blob(folder, ENVELOPE, &envelope.to_bytes())?;
    let config = write_blob(folder, EMPTY, b"{}")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ENVELOPE,
        "config": config,
        "layers": [layer],
        "subject": subject,
    });
    let mut named = write_blob(folder, MANIFEST, &bytes_of(&manifest)?)?;
    named.more.insert("artifactType".into(), ENVELOPE.into());
    if !index
        .manifests
        .iter()
        .any(|other| other.digest == named.digest)
    {
        index.manifests.push(named);
    }
    Ok(())
}

/// The index of a layout, made when there is none.
fn begin(folder: &Path) -> Result<Index> {
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

fn end(folder: &Path, index: &Index) -> Result<()> {
    write(&folder.join("index.json"), &bytes_of(index)?)
}

fn read_index(folder: &Path) -> Result<Index> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let version: Version = parse("oci-layout", &read(&folder.join("oci-layout"), 4096)?)?;
    if !version.version.starts_with("1.") {
        return Err(Error::Mismatch {
            what: "imageLayoutVersion",
            expected: "1.0.0".into(),
            got: short(&version.version),
        });
    }
    let index: Index = parse("index.json", &read(&folder.join("index.json"), MAX_JSON)?)?;
    schema(index.schema_version)?;
    if index.manifests.len() > MAX_MANIFESTS {
        return Err(Error::Invalid {
            what: "index.json",
            detail: format!("more than {MAX_MANIFESTS} manifests"),
        });
    }
    Ok(index)
}

fn read_manifest(folder: &Path, descriptor: &Descriptor) -> Result<Manifest> {
    let manifest: Manifest = parse("OCI manifest", &read_blob(folder, descriptor, MAX_JSON)?)?;
    schema(manifest.schema_version)?;
    Ok(manifest)
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

fn expect_type(what: &'static str, got: &str, expected: &str) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Mismatch {
        what,
        expected: expected.to_owned(),
        got: short(got),
    })
}

fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.to_string())
}

fn read_blob(folder: &Path, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>> {
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
    let bytes = read(&path, descriptor.size)?;
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

fn write_blob(folder: &Path, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    let descriptor = Descriptor::new(media_type, bytes);
    let path = blob_path(folder, &Digest::of(bytes));
    // A blob that is there may have been cut short or changed: it is written again.
    if read_blob(folder, &descriptor, descriptor.size).is_err() {
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|source| io(parent, source))?;
        write(&path, bytes)?;
    }
    Ok(descriptor)
}

/// The file, or an error where it is longer than `most` bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(|source| io(path, source))?;
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| io(path, source))?;
    if bytes.len() as u64 > most {
        return Err(Error::Invalid {
            what: "OCI layout",
            detail: format!("{}: longer than {most} bytes", path.display()),
        });
    }
    Ok(bytes)
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

fn parse<T: for<'a> Deserialize<'a>>(what: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { what, source })
}

fn bytes_of(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Encode(error.to_string()))
}

/// At most 80 characters of what came from outside.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;

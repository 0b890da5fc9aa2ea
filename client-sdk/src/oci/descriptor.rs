//! Descriptors, indexes and manifests (OCI image-spec 1.1), as layouts and registries keep them.

use serde::{Deserialize, Serialize};

use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::{Error, Result};

/// Bytes of a manifest or an index, most.
pub(super) const MAX_JSON: u64 = 4 << 20;
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
pub(super) const MAX_MANIFESTS: usize = 10_000;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const TAG: &str = "org.opencontainers.image.ref.name";

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

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub(super) more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
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

    /// Whether the content can be read where nobody asked for it by name.
    pub(super) fn readable(&self) -> bool {
        self.size <= MAX_JSON && self.sha256().is_ok()
    }
}

impl Index {
    /// An index without entries.
    pub(super) fn new() -> Self {
        Self {
            schema_version: 2,
            manifests: Vec::new(),
            more: [("mediaType".to_owned(), INDEX.into())]
                .into_iter()
                .collect(),
        }
    }

    /// Reads an index of at most [`MAX_MANIFESTS`] entries.
    pub(super) fn read(what: &'static str, bytes: &[u8]) -> Result<Self> {
        let index: Index = parse(what, bytes)?;
        schema(index.schema_version)?;
        if index.manifests.len() > MAX_MANIFESTS {
            return Err(Error::Invalid {
                what,
                detail: format!("more than {MAX_MANIFESTS} manifests"),
            });
        }
        Ok(index)
    }
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let manifest: Manifest = bounded::from_slice("OCI manifest", bytes, &MANIFEST_BOUNDS)?;
        schema(manifest.schema_version)?;
        Ok(manifest)
    }
}

/// Subtracts a manifest's size from `left`, the bytes that may still be read.
pub(super) fn spend(left: &mut u64, size: u64, place: &dyn std::fmt::Display) -> Result<()> {
    *left = left.checked_sub(size).ok_or_else(|| Error::Invalid {
        what: "OCI manifests",
        detail: format!("{place}: its manifests have more than {MAX_READ} bytes"),
    })?;
    Ok(())
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

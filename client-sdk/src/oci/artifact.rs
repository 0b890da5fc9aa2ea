//! A module, and a signature about it, as OCI artifacts.

use std::fmt::Display;

use serde_json::json;

use super::descriptor::{Descriptor, MANIFEST, Manifest, bytes_of, short};
use crate::{Error, Result};

/// Bytes of a module, most; a sandbox takes less by its own limits.
pub const MAX_MODULE: u64 = 128 << 20;
/// Bytes of an envelope, most.
pub const MAX_ENVELOPE: u64 = 1 << 20;
/// Envelopes about a module, most.
pub(super) const MAX_ENVELOPES: usize = 64;
pub(super) const WASM: &str = "application/wasm";
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The media type of a DSSE envelope (secure-systems-lab/dsse, envelope.md; as cosign stores it).
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Parts of the config next to the digest, for registries and their readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The component's imports.
    pub imports: Vec<String>,
    /// The component's exports.
    pub exports: Vec<String>,
}

/// Bytes of a module's config.
pub(super) fn config(layer: &Descriptor, about: &About) -> Result<Vec<u8>> {
    bytes_of(&json!({
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": {"imports": about.imports, "exports": about.exports},
    }))
}

/// Bytes of a module's manifest.
pub(super) fn manifest(config: &Descriptor, layer: &Descriptor) -> Result<Vec<u8>> {
    bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
    }))
}

/// Bytes of the manifest of an envelope about `subject`.
pub(super) fn referrer(
    config: &Descriptor,
    layer: &Descriptor,
    subject: &Descriptor,
) -> Result<Vec<u8>> {
    bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ENVELOPE,
        "config": config,
        "layers": [layer],
        "subject": subject,
    }))
}

/// A referrer as an index names it.
pub(super) fn named(mut referrer: Descriptor) -> Descriptor {
    referrer.more.insert("artifactType".into(), ENVELOPE.into());
    referrer
}

pub(super) fn is_module(manifest: &Manifest) -> bool {
    manifest.config.media_type == WASM_CONFIG
}

/// Words about a manifest that somebody named and that is no module's.
pub(super) fn no_module(manifest: &Manifest) -> String {
    format!(
        "this is no Wasm artifact, its config is of type {:?}",
        short(&manifest.config.media_type)
    )
}

/// The one layer of a module.
pub(super) fn layer<'a>(from: &dyn Display, manifest: &'a Manifest) -> Result<&'a Descriptor> {
    let [layer] = manifest.layers.as_slice() else {
        return Err(Error::Invalid {
            what: "Wasm artifact",
            detail: format!(
                "{from}: {} layers, a component is one",
                manifest.layers.len()
            ),
        });
    };
    if layer.media_type == WASM {
        return Ok(layer);
    }
    Err(Error::Mismatch {
        what: "Wasm artifact",
        expected: WASM.to_owned(),
        got: short(&layer.media_type),
    })
}

/// The layer of an envelope about the manifest with this digest; none for any other manifest.
pub(super) fn envelope<'a>(manifest: &'a Manifest, subject: &str) -> Option<&'a Descriptor> {
    let about = manifest.subject.as_ref()?.digest == subject;
    match manifest.layers.as_slice() {
        [layer] if about && layer.media_type == ENVELOPE => Some(layer),
        _ => None,
    }
}

/// Holds the number of envelopes to [`MAX_ENVELOPES`] before one more is read.
pub(super) fn room(from: &dyn Display, envelopes: usize) -> Result<()> {
    if envelopes < MAX_ENVELOPES {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "OCI artifact",
        detail: format!("{from}: more than {MAX_ENVELOPES} envelopes about it"),
    })
}

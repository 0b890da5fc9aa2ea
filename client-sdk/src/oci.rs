//! Modules in an OCI image layout on disk: the form in which wkg, oras and cosign keep artifacts.
//!
//! A layout is a folder with `oci-layout`, `index.json` and `blobs/sha256/…`
//! (OCI image-spec 1.1, image-layout.md). A module is an artifact with one layer of type
//! `application/wasm` and a config of type `application/vnd.wasm.config.v0+json` (CNCF TAG Runtime, Wasm
//! OCI artifact layout). Its signature is a referrer: a manifest of its own with the DSSE envelope as
//! its layer, whose `subject` is the module's manifest.
//!
//! Reading trusts nothing: every blob is read to the size that its descriptor says and must have
//! the digest that names it. Only the envelope says whose module it is ([`crate::module::verify`]).
//!
//! Blobs are written before the index, and each file whole or not at all; of two pushes at once one
//! index may win, and the loser's blobs stay without a name.

use std::path::Path;

use serde_json::json;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::{Error, Result};

mod layout;
mod reference;

use layout::{
    Descriptor, Index, MAX_READ, Manifest, TAG, begin, bytes_of, end, read_blob, read_index,
    read_manifest, read_other, short, write_blob,
};
pub use reference::{Name, Reference};

/// Bytes of a module, most; a sandbox takes less by its own limits.
pub const MAX_MODULE: u64 = 128 << 20;
/// Bytes of an envelope, most.
pub const MAX_ENVELOPE: u64 = 1 << 20;
/// Envelopes about a module, most.
const MAX_ENVELOPES: usize = 64;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM: &str = "application/wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
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
/// Any error of [`pull`].
pub fn attach(to: &Reference, envelope: &Envelope) -> Result<()> {
    let mut index = read_index(&to.folder)?;
    let (mut subject, _) = find(to, &index, &mut { MAX_READ })?;
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
    let mut left = MAX_READ;
    let (named, manifest) = find(from, &index, &mut left)?;
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
        let Some(other) = read_other(&from.folder, other, &mut left)? else {
            continue;
        };
        let about = other.subject.is_some_and(|s| s.digest == named.digest);
        if let ([layer], true) = (other.layers.as_slice(), about)
            && layer.media_type == ENVELOPE
        {
            if envelopes.len() == MAX_ENVELOPES {
                return Err(Error::Invalid {
                    what: "OCI layout",
                    detail: format!("{from}: more than {MAX_ENVELOPES} envelopes about it"),
                });
            }
            // Anybody may refer to a module: a broken envelope is one that does not count.
            let bytes = read_blob(&from.folder, layer, MAX_ENVELOPE);
            envelopes.extend(bytes.and_then(|bytes| Envelope::from_json(&bytes)));
        }
    }
    Ok(Pulled {
        module,
        envelopes,
        manifest: named.sha256()?,
    })
}

/// The module's descriptor in the index, and its manifest.
fn find(from: &Reference, index: &Index, left: &mut u64) -> Result<(Descriptor, Manifest)> {
    let none = |detail: String| Error::Invalid {
        what: "OCI layout",
        detail: format!("{from}: {detail}"),
    };
    // At most two of each are kept: two matches, or two modules tagged `latest` where no name is
    // given, show that the name is ambiguous.
    let (mut modules, mut latest) = (Vec::new(), Vec::new());
    for descriptor in &index.manifests {
        if descriptor.media_type != MANIFEST {
            continue;
        }
        let wanted = match &from.name {
            Name::Default => true,
            Name::Tag(tag) => descriptor.tag() == Some(tag),
            Name::Digest(digest) => descriptor.sha256().is_ok_and(|own| own == *digest),
        };
        if !wanted {
            continue;
        }
        let manifest = match &from.name {
            Name::Default => match read_other(&from.folder, descriptor, left)? {
                Some(manifest) => manifest,
                None => continue,
            },
            _ => read_manifest(&from.folder, descriptor, left)?,
        };
        if manifest.config.media_type == WASM_CONFIG {
            let kept = match (&from.name, descriptor.tag()) {
                (Name::Default, Some("latest")) => &mut latest,
                _ => &mut modules,
            };
            if kept.len() < 2 {
                kept.push((descriptor.clone(), manifest));
            }
        } else if from.name != Name::Default {
            return Err(none(format!(
                "this is no Wasm artifact, its config is of type {:?}",
                short(&manifest.config.media_type)
            )));
        }
    }
    if from.name == Name::Default && (!latest.is_empty() || modules.len() > 1) {
        modules = latest;
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

#[cfg(test)]
mod tests;

//! Modules in a layout: the names in its index.

use std::path::Path;

use serde_json::json;

use super::artifact::{self, About, EMPTY, ENVELOPE, MAX_ENVELOPE, MAX_MODULE, WASM, WASM_CONFIG};
use super::descriptor::{Descriptor, Index, MANIFEST, MAX_READ, Manifest, TAG, short};
use super::layout::{begin, end, read_blob, read_index, read_manifest, read_other, write_blob};
use super::{Name, Pulled, Reference};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::{Error, Result};

/// Puts a module and its envelopes into a layout under a tag.
pub(super) fn push(
    folder: &Path,
    tag: &str,
    module: &[u8],
    about: &About,
    envelopes: &[&Envelope],
) -> Result<Digest> {
    let mut index = begin(folder)?;
    let layer = write_blob(folder, WASM, module)?;
    let config = write_blob(folder, WASM_CONFIG, &artifact::config(&layer, about)?)?;
    let manifest = artifact::manifest(&config, &layer)?;
    let mut named = write_blob(folder, MANIFEST, &manifest)?;
    let subject = named.clone();
    named.more.insert("annotations".into(), json!({ TAG: tag }));
    // The tag moves; what had it keeps its blobs and, if it has no other tag, its digest.
    index.manifests.retain(|other| other.tag() != Some(tag));
    index.manifests.push(named);
    for envelope in envelopes {
        refer(folder, &mut index, &subject, envelope)?;
    }
    end(folder, &index)?;
    subject.sha256()
}

/// Adds an envelope about a module that is in a layout.
pub(super) fn attach(to: &Reference, folder: &Path, envelope: &Envelope) -> Result<()> {
    let mut index = read_index(folder)?;
    let (mut subject, _) = find(to, folder, &index, &mut { MAX_READ })?;
    subject.more.clear();
    refer(folder, &mut index, &subject, envelope)?;
    end(folder, &index)
}

/// Takes a module and its envelopes out of a layout.
pub(super) fn pull(from: &Reference, folder: &Path) -> Result<Pulled> {
    let index = read_index(folder)?;
    let mut left = MAX_READ;
    let (named, manifest) = find(from, folder, &index, &mut left)?;
    let module = read_blob(folder, artifact::layer(from, &manifest)?, MAX_MODULE)?;
    let mut envelopes = Vec::new();
    for other in &index.manifests {
        if other.media_type != MANIFEST || other.digest == named.digest {
            continue;
        }
        let Some(other) = read_other(folder, other, &mut left)? else {
            continue;
        };
        if let Some(layer) = artifact::envelope(&other, &named.digest) {
            artifact::room(from, envelopes.len())?;
            // Anybody may refer to a module: a broken envelope is one that does not count.
            let bytes = read_blob(folder, layer, MAX_ENVELOPE);
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
pub(super) fn find(
    from: &Reference,
    folder: &Path,
    index: &Index,
    left: &mut u64,
) -> Result<(Descriptor, Manifest)> {
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
            Name::Default => match read_other(folder, descriptor, left)? {
                Some(manifest) => manifest,
                None => continue,
            },
            _ => read_manifest(folder, descriptor, left)?,
        };
        if artifact::is_module(&manifest) {
            let kept = match (&from.name, descriptor.tag()) {
                (Name::Default, Some("latest")) => &mut latest,
                _ => &mut modules,
            };
            if kept.len() < 2 {
                kept.push((descriptor.clone(), manifest));
            }
        } else if from.name != Name::Default {
            return Err(none(artifact::no_module(&manifest)));
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
    let manifest = artifact::referrer(&config, &layer, subject)?;
    let named = artifact::named(write_blob(folder, MANIFEST, &manifest)?);
    if !index
        .manifests
        .iter()
        .any(|other| other.digest == named.digest)
    {
        index.manifests.push(named);
    }
    Ok(())
}

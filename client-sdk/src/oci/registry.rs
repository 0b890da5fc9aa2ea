//! Modules in a registry (OCI distribution-spec 1.1).
//!
//! [`wire`] sends requests and says what failed. [`login`] answers a registry's challenge with what
//! [`docker`] finds in the user's file. [`blobs`] moves content, [`referrers`] finds the envelopes.

mod blobs;
mod docker;
mod login;
mod referrers;
mod wire;

use super::artifact::{self, About, EMPTY, ENVELOPE, MAX_MODULE, WASM, WASM_CONFIG};
use super::descriptor::{Descriptor, INDEX, Index, MANIFEST, MAX_READ, Manifest, short, spend};
use super::{Access, Name, Pulled, Reference, Repository};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::{Error, Result};
use wire::{Aim, Wire};

/// Manifests that one pull asks a registry for, most.
const MAX_ASKED: u64 = 256;

/// Puts a module and its envelopes into a repository. The tag moves last: whoever reads it finds the
/// envelopes there.
pub(super) fn push(
    to: &Reference,
    at: &Repository,
    module: &[u8],
    about: &About,
    envelopes: &[&Envelope],
    access: &Access,
) -> Result<Digest> {
    let tag = to.tag()?;
    let mut wire = Wire::new(at, tag, Aim::Push, access);
    let layer = wire.upload(WASM, module)?;
    let config = wire.upload(WASM_CONFIG, &artifact::config(&layer, about)?)?;
    let manifest = artifact::manifest(&config, &layer)?;
    let subject = Descriptor::new(MANIFEST, &manifest);
    wire.put_manifest(&subject.digest, MANIFEST, &manifest)?;
    for envelope in envelopes {
        refer(&mut wire, &subject, envelope)?;
    }
    wire.put_manifest(tag, MANIFEST, &manifest)?;
    subject.sha256()
}

/// Adds an envelope about a module that is in a repository.
pub(super) fn attach(
    to: &Reference,
    at: &Repository,
    envelope: &Envelope,
    access: &Access,
) -> Result<()> {
    let name = name_of(to);
    let mut wire = Wire::new(at, &name, Aim::Push, access);
    let (subject, _) = find(&mut wire, to, &name, &mut Left::new())?;
    refer(&mut wire, &subject, envelope)
}

/// Takes a module and its envelopes out of a repository.
pub(super) fn pull(from: &Reference, at: &Repository, access: &Access) -> Result<Pulled> {
    let name = name_of(from);
    let mut wire = Wire::new(at, &name, Aim::Pull, access);
    let mut left = Left::new();
    let (named, manifest) = find(&mut wire, from, &name, &mut left)?;
    let module = wire.blob(artifact::layer(from, &manifest)?, MAX_MODULE)?;
    let envelopes = referrers::envelopes(&mut wire, from, &named, &mut left)?;
    Ok(Pulled {
        module,
        envelopes,
        manifest: named.sha256()?,
    })
}

/// Manifests that one pull may still read: their bytes and their number.
struct Left {
    bytes: u64,
    asked: u64,
}

impl Left {
    fn new() -> Self {
        Self {
            bytes: MAX_READ,
            asked: MAX_ASKED,
        }
    }

    /// Reads a manifest that nobody asked for by name: none where it is broken or gone, or is named by
    /// another digest than SHA-256. A registry holds what others put there.
    ///
    /// # Errors
    /// More manifests than may be read; a registry that cannot be reached or refuses.
    fn other(&mut self, wire: &mut Wire<'_>, descriptor: &Descriptor) -> Result<Option<Manifest>> {
        if descriptor.media_type != MANIFEST || !descriptor.readable() {
            return Ok(None);
        }
        spend(&mut self.bytes, descriptor.size, &wire.place())?;
        self.asked = self.asked.checked_sub(1).ok_or_else(|| Error::Invalid {
            what: "OCI manifests",
            detail: format!("{}: more than {MAX_ASKED} to look at", wire.place()),
        })?;
        let manifest = wire
            .manifest_of(descriptor)
            .and_then(|bytes| Manifest::read(&bytes));
        usable(manifest)
    }
}

/// Passes over what is broken or gone; an error of the registry itself stays one.
fn usable<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Registry(problem)) if !matches!(problem.status, Some(404 | 410)) => {
            Err(Error::Registry(problem))
        }
        Err(_) => Ok(None),
    }
}

/// The name by which a registry is asked for a reference's manifest.
fn name_of(reference: &Reference) -> String {
    match &reference.name {
        Name::Default => "latest".into(),
        Name::Tag(tag) => tag.clone(),
        Name::Digest(digest) => format!("sha256:{digest}"),
    }
}

/// The module's descriptor and its manifest.
fn find(
    wire: &mut Wire<'_>,
    from: &Reference,
    name: &str,
    left: &mut Left,
) -> Result<(Descriptor, Manifest)> {
    let none = |detail: String| Error::Invalid {
        what: "OCI registry",
        detail: format!("{from}: {detail}"),
    };
    let (named, bytes) = wire.manifest(name)?;
    spend(&mut left.bytes, named.size, from)?;
    match named.media_type.as_str() {
        MANIFEST => {
            let manifest = Manifest::read(&bytes)?;
            if artifact::is_module(&manifest) {
                return Ok((named, manifest));
            }
            Err(none(artifact::no_module(&manifest)))
        }
        // A tag may stand for several artifacts. Those of others are none of a module's business.
        INDEX => {
            let index = Index::read("OCI index", &bytes)?;
            let mut modules = Vec::new();
            for mut descriptor in index.manifests {
                let manifest = left.other(wire, &descriptor)?;
                if let Some(manifest) = manifest.filter(artifact::is_module) {
                    descriptor.more.clear();
                    modules.push((descriptor, manifest));
                }
            }
            match (modules.pop(), modules.is_empty()) {
                (Some(module), true) => Ok(module),
                (Some(_), false) => Err(none("several modules have this name".into())),
                (None, _) => Err(none("it is an index without a module".into())),
            }
        }
        other => Err(none(format!(
            "{:?} is neither an OCI manifest nor an index",
            short(other)
        ))),
    }
}

/// Uploads an envelope about a manifest. A registry that does not list referrers gets the list under a
/// tag (distribution-spec, "Pushing Manifests with Subject").
fn refer(wire: &mut Wire<'_>, subject: &Descriptor, envelope: &Envelope) -> Result<()> {
    let layer = wire.upload(ENVELOPE, &envelope.to_bytes())?;
    let config = wire.upload(EMPTY, b"{}")?;
    let manifest = artifact::referrer(&config, &layer, subject)?;
    let named = Descriptor::new(MANIFEST, &manifest);
    if wire.put_manifest(&named.digest, MANIFEST, &manifest)? {
        return Ok(());
    }
    referrers::add(wire, subject, artifact::named(named))
}

#[cfg(test)]
mod tests;

//! Modules in an OCI image layout on disk, or in an OCI registry: the form in which wkg, oras and cosign
//! keep artifacts.
//!
//! A layout is a folder with `oci-layout`, `index.json` and `blobs/sha256/…` (OCI image-spec 1.1,
//! image-layout.md). A registry has the same blobs and manifests behind HTTP (distribution-spec 1.1;
//! feature `http`). A module is an artifact with one layer of type `application/wasm` and a config of
//! type `application/vnd.wasm.config.v0+json` (CNCF TAG Runtime, Wasm OCI artifact layout). Its signature
//! is a referrer: a manifest of its own with the DSSE envelope as its layer, whose `subject` is the
//! module's manifest.
//!
//! Reading trusts nothing: every blob is read to the size that its descriptor says and must have
//! the digest that names it. Only the envelope says whose module it is ([`crate::module::verify`]).
//!
//! A layout's blobs are written before its index, and each file whole or not at all; of two pushes at
//! once one index may win, and the loser's blobs stay without a name. In a registry the tag moves last,
//! when the module and its envelopes are there.

use crate::Result;
use crate::digest::Digest;
use crate::dsse::Envelope;

mod access;
mod artifact;
mod descriptor;
mod disk;
mod layout;
mod problem;
mod reference;
#[cfg(feature = "http")]
mod registry;
#[cfg(not(feature = "http"))]
#[path = "oci/without.rs"]
mod registry;

pub use access::Access;
pub use artifact::{About, ENVELOPE, MAX_ENVELOPE, MAX_MODULE};
pub use problem::Problem;
pub use reference::{Name, Reference, Repository, Store};

/// A module out of a layout or a registry.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The component's bytes.
    pub module: Vec<u8>,
    /// The envelopes that refer to it, in the index's order.
    pub envelopes: Vec<Envelope>,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// Puts a module, and the envelopes about it, into a registry or a layout, which is made when there is
/// none. A tag that is there moves to the new module. Returns the digest of its manifest.
///
/// # Errors
/// [`Error::Io`]; [`Error::Registry`]; [`Error::Invalid`] for a reference by digest or a folder that
/// holds something else.
///
/// [`Error::Io`]: crate::Error::Io
/// [`Error::Registry`]: crate::Error::Registry
/// [`Error::Invalid`]: crate::Error::Invalid
pub fn push(
    to: &Reference,
    module: &[u8],
    about: &About,
    envelopes: &[&Envelope],
    access: &Access,
) -> Result<Digest> {
    match &to.store {
        Store::Folder(folder) => disk::push(folder, to.tag()?, module, about, envelopes),
        Store::Repository(at) => registry::push(to, at, module, about, envelopes, access),
    }
}

/// Adds an envelope about a module that is in a layout or a registry.
///
/// # Errors
/// Any error of [`pull`].
pub fn attach(to: &Reference, envelope: &Envelope, access: &Access) -> Result<()> {
    match &to.store {
        Store::Folder(folder) => disk::attach(to, folder, envelope),
        Store::Repository(at) => registry::attach(to, at, envelope, access),
    }
}

/// Takes a module and its envelopes out of a layout or a registry.
///
/// # Errors
/// [`Error::Io`] when a file is missing; [`Error::Registry`] when a registry refuses or cannot be
/// reached; [`Error::Json`] and [`Error::Invalid`] for what is no layout, no Wasm artifact, or a name
/// that stands for none or for several; [`Error::DigestMismatch`] for a blob that is not what its name
/// says.
///
/// [`Error::Io`]: crate::Error::Io
/// [`Error::Registry`]: crate::Error::Registry
/// [`Error::Json`]: crate::Error::Json
/// [`Error::Invalid`]: crate::Error::Invalid
/// [`Error::DigestMismatch`]: crate::Error::DigestMismatch
pub fn pull(from: &Reference, access: &Access) -> Result<Pulled> {
    match &from.store {
        Store::Folder(folder) => disk::pull(from, folder),
        Store::Repository(at) => registry::pull(from, at, access),
    }
}

#[cfg(test)]
mod tests;

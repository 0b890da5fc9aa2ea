//! Answers of a build without the feature `http` where a registry is named.

use super::{About, Access, Pulled, Reference, Repository};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::{Error, Result};

pub(super) fn push(
    to: &Reference,
    _at: &Repository,
    _module: &[u8],
    _about: &About,
    _envelopes: &[&Envelope],
    _access: &Access,
) -> Result<Digest> {
    to.tag()?;
    Err(left_out(to))
}

pub(super) fn attach(
    to: &Reference,
    _at: &Repository,
    _envelope: &Envelope,
    _access: &Access,
) -> Result<()> {
    Err(left_out(to))
}

pub(super) fn pull(from: &Reference, _at: &Repository, _access: &Access) -> Result<Pulled> {
    Err(left_out(from))
}

fn left_out(reference: &Reference) -> Error {
    Error::Invalid {
        what: "OCI reference",
        detail: format!("{reference}: this build has no HTTP (feature `http`), so no registry"),
    }
}

//! Envelopes about a module: the registry's list of referrers, or, where it has none, an index under a tag
//! made of the digest (distribution-spec, "Listing Referrers" and "Referrers Tag Schema").

use ureq::http::header::{CONTENT_TYPE, LINK};

use super::super::Reference;
use super::super::artifact::{self, ENVELOPE, MAX_ENVELOPE};
use super::super::descriptor::{
    Descriptor, INDEX, Index, MAX_JSON, MAX_MANIFESTS, bytes_of, spend,
};
use super::wire::{Answer, Ask, Wire, header};
use super::{Left, usable};
use crate::dsse::Envelope;
use crate::{Error, Result};

const LIST: &str = "listing the signatures";
/// Pages of a list, most.
const MAX_PAGES: usize = 100;

/// The envelopes about a manifest. Anybody who may write there may refer to a module: an entry that is
/// broken, gone, of another kind or named by another digest than SHA-256 is one that does not count.
pub(super) fn envelopes(
    wire: &mut Wire<'_>,
    from: &Reference,
    subject: &Descriptor,
    left: &mut Left,
) -> Result<Vec<Envelope>> {
    let mut envelopes = Vec::new();
    for descriptor in list(wire, subject, left)? {
        let kind = descriptor.more.get("artifactType");
        if kind.is_some_and(|kind| kind != ENVELOPE) {
            continue;
        }
        let Some(manifest) = left.other(wire, &descriptor)? else {
            continue;
        };
        if let Some(layer) = artifact::envelope(&manifest, &subject.digest) {
            artifact::room(from, envelopes.len())?;
            if let Some(bytes) = usable(wire.blob(layer, MAX_ENVELOPE))? {
                envelopes.extend(Envelope::from_json(&bytes));
            }
        }
    }
    Ok(envelopes)
}

/// Everything that refers to a manifest.
fn list(wire: &mut Wire<'_>, subject: &Descriptor, left: &mut Left) -> Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    let rest = format!("referrers/{}?artifactType={ENVELOPE}", subject.digest);
    let mut next = Some(wire.url(&rest.replace('+', "%2B")));
    for _ in 0..MAX_PAGES {
        let Some(url) = next.take() else {
            return Ok(found);
        };
        let mut ask = Ask::get(LIST, url);
        ask.headers.push((ureq::http::header::ACCEPT, INDEX.into()));
        let answer = wire.ask(&ask)?;
        let kind = header(&answer, CONTENT_TYPE).unwrap_or_default();
        match answer.status().as_u16() {
            200 if kind
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim() == INDEX) => {}
            // A registry that does not know this list.
            200 | 404 | 405 | 501 if found.is_empty() => {
                return Ok(tagged(wire, subject, left)?.manifests);
            }
            _ => return Err(wire.refusal(LIST, answer)),
        }
        next = match following(&answer) {
            Some(address) => Some(wire.absolute(LIST, &address)?),
            None => None,
        };
        let bytes = wire.body(LIST, answer, MAX_JSON)?;
        spend(&mut left.bytes, bytes.len() as u64, &wire.place())?;
        found.append(&mut Index::read("OCI referrers", &bytes)?.manifests);
        if found.len() > MAX_MANIFESTS {
            break;
        }
    }
    if next.is_none() && found.len() <= MAX_MANIFESTS {
        return Ok(found);
    }
    Err(wire.wrong(
        LIST,
        format!("more than {MAX_MANIFESTS} entries or {MAX_PAGES} pages"),
    ))
}

/// The tag under which a registry without a list of referrers keeps it.
fn tag_of(subject: &Descriptor) -> String {
    subject.digest.replace(':', "-")
}

/// The list under its tag; an empty one where there is none.
fn tagged(wire: &mut Wire<'_>, subject: &Descriptor, left: &mut Left) -> Result<Index> {
    let Some((named, bytes)) = wire.manifest_if_any(&tag_of(subject))? else {
        return Ok(Index::new());
    };
    spend(&mut left.bytes, named.size, &wire.place())?;
    if named.media_type == INDEX {
        return Index::read("OCI referrers", &bytes);
    }
    Err(Error::Mismatch {
        what: "media type of the tag with the signatures",
        expected: INDEX.into(),
        got: super::short(&named.media_type),
    })
}

/// Adds a referrer to the list under the subject's tag, once. Of two that are added at once one may be
/// lost: the specification has no lock.
pub(super) fn add(wire: &mut Wire<'_>, subject: &Descriptor, referrer: Descriptor) -> Result<()> {
    let mut index = tagged(wire, subject, &mut Left::new())?;
    if index
        .manifests
        .iter()
        .any(|other| other.digest == referrer.digest)
    {
        return Ok(());
    }
    index.manifests.push(referrer);
    let bytes = bytes_of(&index)?;
    wire.put_manifest(&tag_of(subject), INDEX, &bytes)?;
    Ok(())
}

/// The address of a list's next page (header `Link`, RFC 8288).
fn following(answer: &Answer) -> Option<String> {
    let links = answer.headers().get_all(LINK);
    links
        .iter()
        .filter_map(|link| link.to_str().ok())
        .find_map(|link| {
            let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let mut parameters = parameters.split(';').map(str::trim);
            let next = parameters.any(|p| ["rel=\"next\"", "rel=next"].contains(&p));
            next.then(|| address.to_owned())
        })
}

//! Statements as other tools write them (in-toto attestation, spec/v1: "Parsing rules", "Resource
//! descriptor"): what ours say, in any JSON that says it.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{BOUNDS, DigestSet, Statement, Subject, expect};
use crate::bounded;
use crate::digest::Digest;
use crate::{Error, Result};

/// "Consumers MUST ignore unrecognized fields." Members of the predicate are its own type's.
#[derive(Deserialize)]
struct Foreign<P> {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Resource>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

/// A resource descriptor: its further members (URI, media type, annotations) are passed over.
#[derive(Deserialize)]
struct Resource {
    name: Option<String>,
    #[serde(default)]
    digest: Digests,
}

/// Digests by algorithm; SHA-256 is the one that is held against the bytes.
#[derive(Deserialize, Default)]
struct Digests {
    sha256: Option<Digest>,
}

const WHAT: &str = "statement";

/// Reads a statement of this predicate type.
pub(super) fn read<P: DeserializeOwned>(
    payload: &[u8],
    predicate_type: &str,
) -> Result<Statement<P>> {
    // The type first: of another predicate the members are none of ours.
    let head: Foreign<IgnoredAny> = bounded::from_slice(WHAT, payload, &BOUNDS)?;
    let IgnoredAny = head.predicate;
    expect(
        "statement predicateType",
        predicate_type,
        &head.predicate_type,
    )?;
    let foreign: Foreign<P> = bounded::from_slice(WHAT, payload, &BOUNDS)?;
    let subject = foreign.subject.into_iter().map(Resource::subject);
    Ok(Statement {
        statement_type: foreign.statement_type,
        subject: subject.collect::<Result<_>>()?,
        predicate_type: foreign.predicate_type,
        predicate: foreign.predicate,
    })
}

impl Resource {
    fn subject(self) -> Result<Subject> {
        let missing = |detail: &str| Error::Invalid {
            what: WHAT,
            detail: detail.into(),
        };
        let name = self
            .name
            .ok_or_else(|| missing("a subject without a name"))?;
        let sha256 = self
            .digest
            .sha256
            .ok_or_else(|| missing("a subject without a sha256 digest"))?;
        Ok(Subject {
            name,
            digest: DigestSet { sha256 },
        })
    }
}

//! in-toto Statement v1 (<https://github.com/in-toto/attestation>, spec/v1/statement.md): who
//! says what about which bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bounded::Bounds;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::{PublicKey, SigningKey};
use crate::{Error, Result, canonical};

mod foreign;

/// The `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The DSSE payload type of a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// More subjects than this are refused.
const MAX_SUBJECTS: usize = 64;

/// Bounds on a statement: the lineage of a module's 100,000 host calls fits.
pub(crate) const BOUNDS: Bounds = Bounds {
    bytes: crate::dsse::MAX_BYTES,
    structure: 256 << 20,
};

/// A statement: the predicate holds for the subjects.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// Bytes that it is about; at least one subject, names distinct.
    pub subject: Vec<Subject>,
    /// Kind of the predicate.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The content.
    pub predicate: P,
}

/// Bytes that a statement is about.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Their role in the statement.
    pub name: String,
    /// Their digest.
    pub digest: DigestSet,
}

/// An in-toto digest set with the one algorithm that fedseal uses.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    /// SHA-256.
    pub sha256: Digest,
}

impl Subject {
    /// A subject of this name and digest.
    pub fn new(name: &str, sha256: Digest) -> Self {
        Subject {
            name: name.to_owned(),
            digest: DigestSet { sha256 },
        }
    }
}

/// A statement whose envelope verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened<P> {
    /// The statement.
    pub statement: Statement<P>,
    /// The trusted key that signed it.
    pub signer: PublicKey,
}

impl<P: Serialize> Statement<P> {
    /// A statement of this predicate about these subjects.
    pub fn new(subject: Vec<Subject>, predicate_type: &str, predicate: P) -> Self {
        Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Signs the statement's canonical JSON.
    ///
    /// # Errors
    /// [`Error::Encode`] when the predicate holds a number that is not finite.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope> {
        Ok(Envelope::sign(PAYLOAD_TYPE, &canonical::to_vec(self)?, key))
    }
}

impl<P: Serialize + DeserializeOwned> Statement<P> {
    /// Verifies an envelope and reads the statement in it: canonical, of this predicate type,
    /// with at least one subject and no subject name twice.
    ///
    /// # Errors
    /// Any error of [`Envelope::verify`] and [`canonical::from_slice_within`]; [`Error::Mismatch`]
    /// and [`Error::Invalid`] for the rest.
    pub fn open(
        envelope: &Envelope,
        trusted: &[PublicKey],
        predicate_type: &str,
    ) -> Result<Opened<P>> {
        expect("DSSE payload type", PAYLOAD_TYPE, &envelope.payload_type)?;
        let verified = envelope.verify(trusted)?;
        let statement: Statement<P> = canonical::from_slice_within(&verified.payload, &BOUNDS)?;
        statement.validate(predicate_type)?;
        Ok(Opened {
            statement,
            signer: verified.signer,
        })
    }

    /// As [`Statement::open`], for a statement that any tool may have written: members in any order,
    /// whitespace, members that in-toto's types have and ours have not, further digests beside SHA-256.
    /// The predicate must be `P`.
    ///
    /// # Errors
    /// As [`Statement::open`], but for the canonical form.
    pub fn open_foreign(
        envelope: &Envelope,
        trusted: &[PublicKey],
        predicate_type: &str,
    ) -> Result<Opened<P>> {
        expect("DSSE payload type", PAYLOAD_TYPE, &envelope.payload_type)?;
        let verified = envelope.verify(trusted)?;
        let statement = foreign::read(&verified.payload, predicate_type)?;
        statement.validate(predicate_type)?;
        Ok(Opened {
            statement,
            signer: verified.signer,
        })
    }

    /// Checks types and subjects.
    fn validate(&self, predicate_type: &str) -> Result<()> {
        expect("statement _type", STATEMENT_TYPE, &self.statement_type)?;
        expect(
            "statement predicateType",
            predicate_type,
            &self.predicate_type,
        )?;
        let invalid = |detail: String| {
            Err(Error::Invalid {
                what: "statement",
                detail,
            })
        };
        if self.subject.is_empty() {
            return invalid("it has no subject, so it is about nothing".into());
        }
        if self.subject.len() > MAX_SUBJECTS {
            return invalid(format!("more than {MAX_SUBJECTS} subjects"));
        }
        for (i, subject) in self.subject.iter().enumerate() {
            let mut later = self.subject.iter().skip(i + 1);
            if later.any(|s| s.name == subject.name) {
                return invalid(format!("the subject {:?} occurs twice", subject.name));
            }
        }
        Ok(())
    }

    /// The digest of the subject of this name.
    pub fn subject_digest(&self, name: &str) -> Option<Digest> {
        self.subject
            .iter()
            .find(|s| s.name == name)
            .map(|s| s.digest.sha256)
    }
}

pub(crate) fn expect(what: &'static str, expected: &str, got: &str) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Mismatch {
        what,
        expected: expected.to_owned(),
        got: got.chars().take(200).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn open(statement: &Statement<Value>) -> Result<Opened<Value>> {
        Statement::open(&statement.sign(&key())?, &[key().public()], "urn:test")
    }

    #[test]
    fn fixed_bytes() {
        let statement = Statement::new(
            vec![Subject::new("a", Digest::of(b""))],
            "urn:test",
            json!({"x": 1}),
        );
        let bytes = canonical::to_vec(&statement).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicate\":{\"x\":1},\"predicateType\":\"urn:test\",\
             \"subject\":[{\"digest\":{\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"},\"name\":\"a\"}]}"
        );
        let opened = open(&statement).unwrap();
        assert_eq!(opened.statement, statement);
        assert_eq!(opened.statement.subject_digest("a"), Some(Digest::of(b"")));
        assert_eq!(opened.statement.subject_digest("b"), None);
    }

    #[test]
    fn what_open_refuses() {
        let good = Statement::new(
            vec![Subject::new("a", Digest::of(b""))],
            "urn:test",
            json!({}),
        );
        open(&good).unwrap();
        let mut none = good.clone();
        none.subject.clear();
        assert!(open(&none).is_err());
        let mut twice = good.clone();
        twice.subject.push(twice.subject[0].clone());
        assert!(open(&twice).is_err());
        let mut many = good.clone();
        many.subject = (0..=MAX_SUBJECTS)
            .map(|i| Subject::new(&i.to_string(), Digest::of(b"")))
            .collect();
        let error = open(&many).unwrap_err().to_string();
        assert!(error.contains("more than 64 subjects"), "{error}");
        many.subject.pop();
        open(&many).unwrap();
        let mut other = good.clone();
        other.predicate_type = "urn:other".into();
        assert!(open(&other).is_err());
        let mut version = good.clone();
        version.statement_type = "https://in-toto.io/Statement/v0.1".into();
        assert!(open(&version).is_err());
        // Signed, but not canonical.
        let spaced = serde_json::to_vec_pretty(&good).unwrap();
        let envelope = Envelope::sign(PAYLOAD_TYPE, &spaced, &key());
        assert!(Statement::<Value>::open(&envelope, &[key().public()], "urn:test").is_err());
        let envelope = Envelope::sign("text/plain", &canonical::to_vec(&good).unwrap(), &key());
        assert!(Statement::<Value>::open(&envelope, &[key().public()], "urn:test").is_err());
    }
}

//! Signed statements about keys: an old key names its successor (rotation), a key is given up
//! (revocation). in-toto statements in DSSE envelopes, so that anyone can check and pass them on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::trust::{bad_log, is_time};
use super::{PublicKey, RevokedKey, SigningKey, TrustedKey};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::statement::{BOUNDS, Statement, Subject, expect};
use crate::{Error, Result};

/// The predicate type of a rotation.
pub const ROTATION_TYPE: &str = "urn:fedseal:key-rotation:v1";

/// The predicate type of a revocation.
pub const REVOCATION_TYPE: &str = "urn:fedseal:key-revocation:v1";

/// The subject of both is the key's 32 bytes.
const SUBJECT: &str = "key";

/// An old key names its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The old key, which signs.
    pub old: PublicKey,
    /// Its successor; it signs too, so that nobody names a key that is not theirs.
    pub new: PublicKey,
    /// When, RFC 3339, UTC.
    pub created: String,
    /// Time from which the old key is no longer trusted, RFC 3339, UTC.
    pub old_expires: String,
}

/// A key is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The key, which signs: whoever holds it may give it up, a thief too.
    pub key: PublicKey,
    /// When, RFC 3339, UTC.
    pub created: String,
    /// Why, for people.
    pub reason: String,
    /// Number of entries up to which signatures by the key stand, by log (its verifier key; before,
    /// its origin).
    pub logs: BTreeMap<String, u64>,
}

/// Signs a rotation with both keys.
///
/// # Errors
/// [`Error::Invalid`] when the keys are one or a time is malformed.
pub fn rotate(
    old: &SigningKey,
    new: &SigningKey,
    created: &str,
    old_expires: &str,
) -> Result<Envelope> {
    let rotation = Rotation {
        old: old.public(),
        new: new.public(),
        created: created.to_owned(),
        old_expires: old_expires.to_owned(),
    };
    rotation.validate()?;
    let statement = Statement::new(vec![subject(&rotation.new)], ROTATION_TYPE, rotation);
    let mut envelope = statement.sign(old)?;
    envelope.signatures.extend(statement.sign(new)?.signatures);
    Ok(envelope)
}

/// Verifies that one of the trusted keys names a successor, and that the successor agrees.
///
/// # Errors
/// [`Error::Signature`] when either signature is missing or by another key; [`Error::Mismatch`],
/// [`Error::Invalid`] for the rest.
pub fn verify_rotation(envelope: &Envelope, trusted: &[PublicKey]) -> Result<Rotation> {
    let opened = Statement::<Rotation>::open(envelope, trusted, ROTATION_TYPE)?;
    let rotation = opened.statement.predicate;
    rotation.validate()?;
    if opened.statement.subject != [subject(&rotation.new)] {
        return Err(invalid("rotation", "its subject is not the new key".into()));
    }
    // Whichever trusted key signed first: the old one must have, and must be trusted.
    if !trusted.contains(&rotation.old) {
        return Err(Error::Signature {
            what: "key rotation",
            detail: format!("the old key {} is not trusted", rotation.old),
        });
    }
    for key in [rotation.old, rotation.new] {
        envelope.verify(&[key])?;
    }
    Ok(rotation)
}

/// Reads a rotation that both keys named in it signed. The caller checks whether the old one is
/// trusted.
///
/// # Errors
/// As [`verify_rotation`]; [`Error::NotCanonical`], [`Error::Json`] for another statement.
pub fn read_rotation(envelope: &Envelope) -> Result<Rotation> {
    let claimed: Statement<Rotation> =
        crate::canonical::from_slice_within(&envelope.unverified_payload()?, &BOUNDS)?;
    verify_rotation(envelope, &[claimed.predicate.old])
}

/// Signs a revocation.
///
/// # Errors
/// [`Error::Invalid`] when the time is malformed, the reason too long, or a log named by a damaged
/// verifier key.
pub fn revoke(
    key: &SigningKey,
    created: &str,
    reason: &str,
    logs: BTreeMap<String, u64>,
) -> Result<Envelope> {
    let revocation = Revocation {
        key: key.public(),
        created: created.to_owned(),
        reason: reason.to_owned(),
        logs,
    };
    revocation.validate()?;
    let subject = subject(&revocation.key);
    Statement::new(vec![subject], REVOCATION_TYPE, revocation).sign(key)
}

/// Verifies that a key of the list gives itself up.
///
/// # Errors
/// As [`verify_rotation`].
pub fn verify_revocation(envelope: &Envelope, known: &[PublicKey]) -> Result<Revocation> {
    let opened = Statement::<Revocation>::open(envelope, known, REVOCATION_TYPE)?;
    let revocation = opened.statement.predicate;
    revocation.validate()?;
    if opened.statement.subject != [subject(&revocation.key)] {
        return Err(invalid("revocation", "its subject is another key".into()));
    }
    expect(
        "revocation key",
        &revocation.key.to_string(),
        &opened.signer.to_string(),
    )?;
    Ok(revocation)
}

impl Rotation {
    fn validate(&self) -> Result<()> {
        if self.old == self.new {
            return Err(invalid("rotation", "old and new key are one".into()));
        }
        for time in [&self.created, &self.old_expires] {
            if !is_time(time) {
                return Err(invalid(
                    "rotation",
                    format!("{time:?} is not an RFC 3339 time in UTC"),
                ));
            }
        }
        Ok(())
    }

    /// The successor's entry in a trust store, under the old key's name.
    pub fn entry(&self, name: &str) -> TrustedKey {
        TrustedKey {
            name: name.to_owned(),
            key: self.new,
            expires: None,
            replaces: Some(self.old),
        }
    }
}

impl Revocation {
    fn validate(&self) -> Result<()> {
        if !is_time(&self.created) {
            return Err(invalid(
                "revocation",
                format!("{:?} is not an RFC 3339 time in UTC", self.created),
            ));
        }
        if self.reason.len() > 1000 || self.reason.chars().any(char::is_control) {
            return Err(invalid(
                "revocation",
                "the reason is longer than 1000 bytes or holds control characters".into(),
            ));
        }
        if let Some(problem) = bad_log(&self.logs) {
            return Err(invalid("revocation", problem));
        }
        Ok(())
    }

    /// The entry in a trust store.
    pub fn entry(&self) -> RevokedKey {
        RevokedKey {
            key: self.key,
            reason: self.reason.clone(),
            logs: self.logs.clone(),
        }
    }
}

fn subject(key: &PublicKey) -> Subject {
    Subject::new(SUBJECT, Digest::of(key.as_bytes()))
}

fn invalid(what: &'static str, detail: String) -> Error {
    Error::Invalid { what, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-01T00:00:00Z";
    const LATER: &str = "2026-07-01T00:00:00Z";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    #[test]
    fn a_rotation_needs_both() {
        let (old, new) = (key(1), key(2));
        let envelope = rotate(&old, &new, NOW, LATER).unwrap();
        let rotation = verify_rotation(&envelope, &[old.public()]).unwrap();
        assert_eq!((rotation.old, rotation.new), (old.public(), new.public()));
        assert_eq!(rotation.entry("a").replaces, Some(old.public()));
        assert!(verify_rotation(&envelope, &[]).is_err());
        assert!(verify_rotation(&envelope, &[key(3).public()]).is_err());
        // The new key vouches for nobody, least of all for itself.
        assert!(verify_rotation(&envelope, &[new.public()]).is_err());
        for left in 0..2 {
            let mut half = envelope.clone();
            half.signatures.remove(left);
            assert!(verify_rotation(&half, &[old.public(), new.public()]).is_err());
        }
        assert!(rotate(&old, &old, NOW, LATER).is_err());
        assert!(rotate(&old, &new, NOW, "soon").is_err());
        assert!(verify_revocation(&envelope, &[old.public()]).is_err());
    }

    #[test]
    fn a_key_gives_itself_up_and_no_other() {
        let logs = BTreeMap::from([("o".to_owned(), 7)]);
        let envelope = revoke(&key(1), NOW, "lost", logs.clone()).unwrap();
        let revocation = verify_revocation(&envelope, &[key(1).public()]).unwrap();
        assert_eq!(revocation.entry().logs, logs);
        assert!(verify_revocation(&envelope, &[key(2).public()]).is_err());
        // Another key's word about this one.
        let mut forged = revocation;
        forged.key = key(1).public();
        let statement = Statement::new(vec![subject(&forged.key)], REVOCATION_TYPE, forged);
        let signed = statement.sign(&key(2)).unwrap();
        assert!(verify_revocation(&signed, &[key(1).public(), key(2).public()]).is_err());
        assert!(revoke(&key(1), NOW, "a\nb", BTreeMap::new()).is_err());
        let damaged = BTreeMap::from([("o+00000000+AQ==".to_owned(), 7)]);
        assert!(revoke(&key(1), NOW, "lost", damaged).is_err());
    }
}

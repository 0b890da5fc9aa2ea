//! Verifier keys (C2SP signed-note, "Verifier keys"): `name+hash+base64(type || key)`.

use std::fmt;
use std::str::FromStr;

use super::note::{check_name, typed_key_hash};
use crate::bounded::short;
use crate::digest::strict_hex;
use crate::keys::PublicKey;
use crate::{Error, Result, base64};

/// Use of a key: the signature type byte of signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 0x01: a log's checkpoints.
    Log,
    /// 0x04: a witness's timestamped cosignatures (C2SP tlog-cosignature).
    Witness,
}

impl KeyKind {
    pub(super) fn algorithm(self) -> u8 {
        match self {
            KeyKind::Log => 0x01,
            KeyKind::Witness => 0x04,
        }
    }

    fn of(algorithm: u8) -> Option<KeyKind> {
        [KeyKind::Log, KeyKind::Witness]
            .into_iter()
            .find(|kind| kind.algorithm() == algorithm)
    }
}

/// A named Ed25519 key of one kind. As text it is a verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// The log's origin or the witness's name.
    pub name: String,
    /// Use of the key.
    pub kind: KeyKind,
    /// The key.
    pub key: PublicKey,
}

impl VerifierKey {
    /// A key of this name and kind.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is empty or holds whitespace, control characters or `+`.
    pub fn new(name: &str, kind: KeyKind, key: PublicKey) -> Result<Self> {
        check_name(name)?;
        Ok(VerifierKey {
            name: name.to_owned(),
            kind,
            key,
        })
    }

    /// The first four bytes of `SHA-256(name || "\n" || type || key)`.
    pub fn hash(&self) -> [u8; 4] {
        typed_key_hash(&self.name, self.kind.algorithm(), &self.key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![self.kind.algorithm()];
        raw.extend_from_slice(self.key.as_bytes());
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.hash()),
            base64::encode(&raw)
        )
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    /// Reads a verifier key; its hash must be the one of name and key.
    fn from_str(text: &str) -> Result<Self> {
        match AnyKey::read(text)? {
            AnyKey::Known(key) => Ok(key),
            AnyKey::Unknown { algorithm, .. } => Err(bad(
                text,
                format!(
                    "signature type {algorithm:#04x} is not known (0x01: a log's Ed25519, 0x04: a witness's Ed25519 cosignature)"
                ),
            )),
        }
    }
}

/// A verifier key of any signature type.
#[derive(Debug)]
pub(super) enum AnyKey {
    /// A key of a type that is verified here.
    Known(VerifierKey),
    /// A key of another type: ML-DSA-44, ECDSA, or one that was assigned later.
    Unknown {
        /// Name of the key.
        name: String,
        /// Signature type.
        algorithm: u8,
        /// The public key in the type's own encoding, at least one byte.
        material: Vec<u8>,
    },
}

impl AnyKey {
    /// Reads a verifier key. The hash of an unknown type cannot be checked: signed-note recommends how
    /// it is made and does not demand it.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Base64`], [`Error::Invalid`] with what is wrong.
    pub(super) fn read(text: &str) -> Result<AnyKey> {
        let bad = |detail: String| bad(text, detail);
        // The base64 part may hold `+`, name and hash may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(raw)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("expected NAME+HASH+KEY".into()));
        };
        check_name(name)?;
        strict_hex::<4>("verifier key hash", hash)?;
        let raw = base64::decode("verifier key", raw)?;
        let Some((algorithm, material)) = raw.split_first() else {
            return Err(bad("it has no key".into()));
        };
        let Some(kind) = KeyKind::of(*algorithm) else {
            if material.is_empty() {
                return Err(bad("it has no key".into()));
            }
            return Ok(AnyKey::Unknown {
                name: name.to_owned(),
                algorithm: *algorithm,
                material: material.to_vec(),
            });
        };
        let key = <[u8; 32]>::try_from(material)
            .map_err(|_| bad(format!("{} bytes of key, Ed25519 has 32", material.len())))?;
        let made = VerifierKey {
            name: name.to_owned(),
            kind,
            key: PublicKey::from_bytes(&key)?,
        };
        let expected = hex::encode(made.hash());
        if hash != expected {
            return Err(bad(format!(
                "its hash is {hash}, name and key give {expected}"
            )));
        }
        Ok(AnyKey::Known(made))
    }
}

fn bad(text: &str, detail: String) -> Error {
    Error::Key {
        what: format!("verifier key {:?}", short(text, 200)),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::tlog::verifier_key;

    #[test]
    fn round_trip_and_refusals() {
        let key = SigningKey::from_seed([5; 32]).public();
        for kind in [KeyKind::Log, KeyKind::Witness] {
            let made = VerifierKey::new("example.com/w", kind, key).unwrap();
            let text = made.to_string();
            assert_eq!(text.parse::<VerifierKey>().unwrap(), made);
            for i in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[i] ^= 1;
                let read = String::from_utf8(bytes).ok().and_then(|t| t.parse().ok());
                assert_ne!(read, Some(made.clone()), "byte {i}");
            }
        }
        let log = VerifierKey::new("o", KeyKind::Log, key).unwrap();
        assert_eq!(log.to_string(), verifier_key("o", &key));
        let witness = VerifierKey::new("o", KeyKind::Witness, key).unwrap();
        assert_ne!(log.hash(), witness.hash());
        for bad in ["", "a", "a+b", "a b+00000000+AQ==", "a+00000000+AQ=="] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
        }
        assert!(VerifierKey::new("a+b", KeyKind::Log, key).is_err());
    }

    #[test]
    fn the_specifications_example() {
        // signed-note: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
    }
}

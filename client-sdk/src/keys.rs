//! Ed25519 keys (RFC 8032), their files, the list of keys that a verifier trusts, and the signed
//! statements by which a key names its successor or is given up.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, strict_hex};
use crate::{Error, Result};

#[cfg(not(target_family = "wasm"))]
mod files;
#[cfg(not(target_family = "wasm"))]
mod mac;
#[cfg(not(target_family = "wasm"))]
mod p256;
mod statements;
mod trust;

#[cfg(not(target_family = "wasm"))]
pub use files::Passphrase;
#[cfg(not(target_family = "wasm"))]
pub use mac::MacKey;
#[cfg(not(target_family = "wasm"))]
pub use p256::{P256Key, P256PublicKey};
pub use statements::{
    REVOCATION_TYPE, ROTATION_TYPE, Revocation, Rotation, read_rotation, revoke, rotate,
    verify_revocation, verify_rotation,
};
pub use trust::{Moment, Place, RevokedKey, TrustStore, TrustedKey, Untrusted};

/// A private key. It is wiped from memory when dropped and prints only its public half.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte secret seed (RFC 8032, section 5.1.5). For tests and derived keys;
    /// everything else calls `generate`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs bytes; deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// A public key: a point of the curve that is not of small order. As text and in JSON it is
/// 64 lowercase hex digits.
#[derive(Clone, Copy)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key of these 32 bytes (RFC 8032, section 5.1.2).
    ///
    /// # Errors
    /// [`Error::Key`] when they are no point, or one of small order (under which one signature
    /// would verify for many messages).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let bad = |detail: &str| Error::Key {
            what: format!("public key {}", hex::encode(bytes)),
            detail: detail.into(),
        };
        if !is_reduced(bytes) {
            return Err(bad(
                "not the canonical encoding of a point (RFC 8032, 5.1.3)",
            ));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|_| bad("not a point of the Ed25519 curve"))?;
        if key.is_weak() {
            return Err(bad("a point of small order"));
        }
        Ok(PublicKey(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Checks a signature, strictly: canonical `s`, no small-order points.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<()> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| Error::Signature {
                what: "Ed25519 signature",
                detail: format!("does not verify under key {self}"),
            })
    }

    /// A short name for the key: a hint for finding it, never a proof.
    pub fn key_id(&self) -> KeyId {
        KeyId(hex::encode(&Digest::of(self.as_bytes()).0[..8]))
    }
}

/// Whether the y coordinate is below p = 2^255 - 19. The library reduces a larger one, so that one
/// key would have two names.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        PublicKey::from_bytes(&strict_hex("public key", text)?)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The first 16 hex digits of the SHA-256 of a raw public key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1: secret, public, message, signature.
    const RFC_8032: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    #[test]
    fn rfc_8032_vectors() {
        for [secret, public, message, signature] in RFC_8032 {
            let key = SigningKey::from_seed(strict_hex("secret", secret).unwrap());
            let message = hex::decode(message).unwrap();
            assert_eq!(key.public().to_string(), public);
            let made = key.sign(&message);
            assert_eq!(hex::encode(made), signature);
            key.public().verify(&message, &made).unwrap();
            for i in 0..64 {
                let mut bad = made;
                bad[i] ^= 1;
                assert!(key.public().verify(&message, &bad).is_err(), "byte {i}");
            }
        }
    }

    #[test]
    fn malleable_and_weak_are_refused() {
        let key = SigningKey::from_seed([1; 32]);
        let mut signature = key.sign(b"m");
        // s + L is the same scalar, but not canonical (RFC 8032, section 5.1.7).
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .unwrap();
        let mut carry = 0u16;
        for (s, l) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*s) + u16::from(l) + carry;
            *s = sum as u8;
            carry = sum >> 8;
        }
        assert!(key.public().verify(b"m", &signature).is_err());
        // The neutral element: every message would verify with s = 0.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(PublicKey::from_bytes(&neutral).is_err());
        assert!(PublicKey::from_bytes(&[2; 32]).is_err());
    }

    #[test]
    fn key_text_is_strict() {
        let key = SigningKey::from_seed([1; 32]).public();
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        assert!(key.to_string().to_uppercase().parse::<PublicKey>().is_err());
        assert_eq!(key.key_id().0.len(), 16);
        assert_eq!(
            format!("{:?}", SigningKey::from_seed([1; 32])),
            format!("SigningKey({key})")
        );
    }
}

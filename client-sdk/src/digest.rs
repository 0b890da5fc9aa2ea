//! SHA-256 digests, the name of every byte string in fedseal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, canonical};

/// A SHA-256 digest. As text and in JSON it is 64 lowercase hex digits, nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

const HEX: [u8; 16] = *b"0123456789abcdef";

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several byte strings, one after the other.
    pub fn of_parts(parts: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Digest(hasher.finalize().into())
    }

    /// The digest of a value's canonical JSON.
    ///
    /// # Errors
    /// [`Error::Encode`] when the value has no canonical form (see [`canonical::to_vec`]).
    pub fn of_json<T: Serialize + ?Sized>(value: &T) -> Result<Digest> {
        Ok(Digest::of(&canonical::to_vec(value)?))
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }

    /// The 64 hex digits.
    fn hex(&self) -> [u8; 64] {
        let mut text = [b'0'; 64];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
        }
        text
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Bytes with their digest, which were hashed once.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed {
    digest: Digest,
    bytes: Vec<u8>,
}

impl Hashed {
    /// Hashes bytes.
    pub fn of(bytes: Vec<u8>) -> Hashed {
        Hashed {
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// Digest of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest and bytes.
    pub fn into_parts(self) -> (Digest, Vec<u8>) {
        (self.digest, self.bytes)
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.digest, self.bytes.len())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        strict_hex("sha256 digest", text).map(Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex = self.hex();
        serializer.serialize_str(std::str::from_utf8(&hex).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Exactly `N` bytes in lowercase hex: one text per value.
pub(crate) fn strict_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N]> {
    let bad = || Error::Hex {
        what,
        bytes: N,
        got: text.chars().take(80).collect(),
    };
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(bad());
    }
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| bad())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vector() {
        // FIPS 180-2, appendix B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(Digest::of_parts(&[b"a", b"bc"]), text.parse().unwrap());
        assert_eq!(Digest::of(b"abc").short(), "ba7816bf8f01");
    }

    #[test]
    fn one_text_per_digest() {
        let text = Digest::of(b"abc").to_string();
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
        assert!(format!("{text}00").parse::<Digest>().is_err());
        assert!(serde_json::from_str::<Digest>(&format!("\"{}\"", text.to_uppercase())).is_err());
        let json = serde_json::to_string(&Digest::of(b"abc")).unwrap();
        assert_eq!(
            serde_json::from_str::<Digest>(&json).unwrap(),
            Digest::of(b"abc")
        );
    }
}

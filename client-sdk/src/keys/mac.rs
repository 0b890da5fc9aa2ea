//! Keys for data that one party writes for itself: HMAC-SHA256 (RFC 2104) under a key that is
//! derived from a private key, one for each purpose.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SigningKey;

/// A key for tags. It is wiped from memory when dropped and prints nothing of itself.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    /// A key for tags that only the holder of this private key can make or check. Different
    /// purposes give unrelated keys; none of them tells anything about the private key
    /// (HMAC as a key derivation, NIST SP 800-108r1, one block).
    pub fn mac_key(&self, purpose: &str) -> MacKey {
        let seed = Zeroizing::new(self.0.to_bytes());
        let seed = MacKey(seed);
        MacKey(Zeroizing::new(
            seed.tag(&[b"fedseal-mac-key-v1\0", purpose.as_bytes()]),
        ))
    }
}

impl MacKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        MacKey(Zeroizing::new(bytes))
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // "If the key is shorter than a block, zeros are appended" (RFC 2104, section 2).
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(self.0.as_slice());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        for part in parts {
            mac.update(part);
        }
        mac
    }

    /// The tag of several byte strings, one after the other; the caller separates them.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether this is their tag. The check takes the same time for every wrong tag.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8; 32]) -> bool {
        self.mac(parts).verify_slice(tag).is_ok()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_of_rfc_4231() {
        // Test case 3, but for its key of 20 bytes: HMAC pads keys with zeros up to a block.
        let mut key = [0; 32];
        key[..20].fill(0xaa);
        let key = MacKey::from_bytes(key);
        let tag = key.tag(&[&[0xdd; 20], &[0xdd; 30]]);
        assert_eq!(
            hex::encode(tag),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        );
        assert!(key.verify(&[&[0xdd; 50]], &tag));
        let mut other = tag;
        other[31] ^= 1;
        assert!(!key.verify(&[&[0xdd; 50]], &other));
        assert!(!key.verify(&[&[0xdd; 49]], &tag));
    }

    #[test]
    fn keys_differ_by_private_key_and_purpose() {
        let (one, two) = (
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        );
        let tag = |key: &SigningKey, purpose| key.mac_key(purpose).tag(&[b"x"]);
        assert_eq!(tag(&one, "a"), tag(&one, "a"));
        assert_ne!(tag(&one, "a"), tag(&one, "b"));
        assert_ne!(tag(&one, "a"), tag(&two, "a"));
    }
}

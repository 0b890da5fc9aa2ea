//! DSSE envelopes (Dead Simple Signing Envelope v1, <https://github.com/secure-systems-lab/dsse>):
//! a payload, its type, and signatures over both.

use serde::{Deserialize, Serialize};

use crate::bounded::{self, Bounds, short};
use crate::keys::{PublicKey, SigningKey};
use crate::{Error, Result, base64, canonical};

/// More signatures than this are refused unread.
const MAX_SIGNATURES: usize = 16;

/// Longer envelopes (bytes) are refused unread.
pub const MAX_BYTES: usize = 32 << 20;

/// Bounds on an envelope: its payload is one string.
const BOUNDS: Bounds = Bounds {
    bytes: MAX_BYTES,
    structure: 32 << 10,
};

/// Characters of a key id that an error shows.
const SHOWN: usize = 64;

/// An envelope in its file form: payload and signatures in base64.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Type of the payload, for example [`crate::statement::PAYLOAD_TYPE`].
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signed bytes, base64.
    pub payload: String,
    /// At least one.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// A hint at the key that signed; never trusted.
    pub keyid: String,
    /// 64 bytes, base64.
    pub sig: String,
}

/// Content of a verified envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The trusted key whose signature verified.
    pub signer: PublicKey,
}

/// The bytes that are signed: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`
/// (DSSE protocol, "Signature Definition"; lengths in decimal ASCII).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Envelope {
        let signature = key.sign(&pae(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: base64::encode(payload),
            signatures: vec![EnvelopeSignature {
                keyid: key.public().key_id().0,
                sig: base64::encode(&signature),
            }],
        }
    }

    /// Finds a signature of a trusted key that verifies. The `keyid` only sets the order in
    /// which keys are tried.
    ///
    /// # Errors
    /// [`Error::Signature`] when `trusted` is empty, the envelope has no signature, or none of
    /// them is by a trusted key; [`Error::Base64`].
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<Verified> {
        let fail = |detail: String| Error::Signature {
            what: "DSSE envelope",
            detail,
        };
        if trusted.is_empty() {
            return Err(fail(
                "no trusted key was given, so no signature can count".into(),
            ));
        }
        if self.signatures.is_empty() {
            return Err(fail("it carries no signature".into()));
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(fail(format!(
                "{} signatures, at most {MAX_SIGNATURES} are read",
                self.signatures.len()
            )));
        }
        let payload = base64::decode("DSSE payload", &self.payload)?;
        let message = pae(&self.payload_type, &payload);
        for signature in &self.signatures {
            let bytes = base64::decode("DSSE signature", &signature.sig)?;
            let Ok(bytes) = <[u8; 64]>::try_from(bytes.as_slice()) else {
                return Err(fail(format!(
                    "the signature with keyid {:?} has {} bytes, Ed25519 has 64",
                    short(&signature.keyid, SHOWN),
                    bytes.len()
                )));
            };
            let mut keys: Vec<&PublicKey> = trusted.iter().collect();
            keys.sort_by_key(|k| k.key_id().0 != signature.keyid);
            if let Some(signer) = keys
                .into_iter()
                .find(|k| k.verify(&message, &bytes).is_ok())
            {
                return Ok(Verified {
                    payload,
                    signer: *signer,
                });
            }
        }
        let ids: Vec<String> = self
            .signatures
            .iter()
            .map(|s| short(&s.keyid, SHOWN))
            .collect();
        Err(fail(format!(
            "no signature of a trusted key verifies (keyids in it: {}; {} keys trusted)",
            ids.join(", "),
            trusted.len()
        )))
    }

    /// The payload, with no signature checked. For display only.
    ///
    /// # Errors
    /// [`Error::Base64`].
    pub fn unverified_payload(&self) -> Result<Vec<u8>> {
        base64::decode("DSSE payload", &self.payload)
    }

    /// The canonical JSON of the envelope; its SHA-256 is the envelope's digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Field by field, so that it cannot fail; a test holds it against `canonical::to_vec`.
        let mut out = b"{\"payload\":".to_vec();
        canonical::write_string(&mut out, &self.payload);
        out.extend_from_slice(b",\"payloadType\":");
        canonical::write_string(&mut out, &self.payload_type);
        out.extend_from_slice(b",\"signatures\":[");
        for (i, signature) in self.signatures.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"keyid\":");
            canonical::write_string(&mut out, &signature.keyid);
            out.extend_from_slice(b",\"sig\":");
            canonical::write_string(&mut out, &signature.sig);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Reads an envelope that must be canonical, as one whose digest names it must be.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::NotCanonical`]; [`Error::Invalid`] beyond [`MAX_BYTES`] or with
    /// too many signatures.
    pub fn from_bytes(bytes: &[u8]) -> Result<Envelope> {
        canonical::from_slice_within(bytes, &BOUNDS)
    }

    /// Reads an envelope that any tool may have written: any whitespace and key order, still no
    /// unknown fields.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::Invalid`] beyond [`MAX_BYTES`] or with too many signatures.
    pub fn from_json(bytes: &[u8]) -> Result<Envelope> {
        bounded::from_slice("DSSE envelope", bytes, &BOUNDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_vectors() {
        // DSSE protocol.md, "Test Vectors".
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        // Length in bytes, not characters.
        assert_eq!(pae("é", b"x"), "DSSEv1 2 é 1 x".as_bytes());
    }

    #[test]
    fn sign_and_verify() {
        let (key, other) = (
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        );
        let envelope = Envelope::sign("text/plain", b"hello", &key);
        let verified = envelope.verify(&[other.public(), key.public()]).unwrap();
        assert_eq!(verified.payload, b"hello");
        assert_eq!(verified.signer, key.public());

        assert!(envelope.verify(&[]).is_err(), "an empty list trusts nobody");
        assert!(envelope.verify(&[other.public()]).is_err());
        let mut bare = envelope.clone();
        bare.signatures.clear();
        assert!(
            bare.verify(&[key.public()]).is_err(),
            "no signature is no success"
        );
        let mut retyped = envelope.clone();
        retyped.payload_type = "text/html".into();
        assert!(
            retyped.verify(&[key.public()]).is_err(),
            "the type is signed too"
        );
        let mut moved = envelope;
        moved.signatures[0].keyid = "anything".into();
        moved
            .verify(&[key.public()])
            .expect("the keyid is only a hint");
    }

    #[test]
    fn a_second_signature_by_a_stranger_does_not_hurt() {
        let (key, other) = (
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        );
        let mut envelope = Envelope::sign("t", b"p", &other);
        envelope
            .signatures
            .extend(Envelope::sign("t", b"p", &key).signatures);
        assert_eq!(
            envelope.verify(&[key.public()]).unwrap().signer,
            key.public()
        );
        envelope.signatures = vec![envelope.signatures[0].clone(); MAX_SIGNATURES];
        assert!(Envelope::from_bytes(&envelope.to_bytes()).is_ok());
        envelope.signatures.push(envelope.signatures[0].clone());
        assert!(envelope.verify(&[other.public()]).is_err());
    }

    #[test]
    fn many_signatures_are_refused_before_they_are_read() {
        let mut envelope = Envelope::sign("t", b"p", &SigningKey::from_seed([1; 32]));
        envelope.signatures = vec![envelope.signatures[0].clone(); 1000];
        let bytes = envelope.to_bytes();
        for read in [Envelope::from_bytes(&bytes), Envelope::from_json(&bytes)] {
            let error = read.unwrap_err().to_string();
            assert!(error.contains("bytes of memory"), "{error}");
        }
        // A key id of any length is not repeated in full.
        envelope.signatures.truncate(1);
        envelope.signatures[0].keyid = "k".repeat(100_000);
        let stranger = SigningKey::from_seed([2; 32]).public();
        let error = envelope.verify(&[stranger]).unwrap_err().to_string();
        assert!(error.len() < 1000, "{} bytes", error.len());
    }

    #[test]
    fn bytes_are_canonical_and_every_flip_is_seen() {
        let key = SigningKey::from_seed([1; 32]);
        let envelope = Envelope::sign("t", b"payload", &key);
        let bytes = envelope.to_bytes();
        assert_eq!(bytes, canonical::to_vec(&envelope).unwrap());
        assert_eq!(Envelope::from_bytes(&bytes).unwrap(), envelope);
        let keyid = envelope.signatures[0].keyid.as_bytes();
        let at = bytes.windows(16).position(|w| w == keyid).unwrap();
        for i in 0..bytes.len() {
            if (at..at + 16).contains(&i) {
                continue; // the hint; the digest of the envelope covers it
            }
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            let accepted = Envelope::from_bytes(&bad)
                .and_then(|e| e.verify(&[key.public()]))
                .is_ok();
            assert!(!accepted, "flipped byte {i}");
        }
        assert!(Envelope::from_bytes(&[bytes.as_slice(), b"\n"].concat()).is_err());
        assert!(Envelope::from_json(&[bytes.as_slice(), b"\n"].concat()).is_ok());
    }
}

//! DSSE envelopes (Dead Simple Signing Envelope v1, <https://github.com/secure-systems-lab/dsse>):
//! a payload, its type, and signatures over both.

use serde::{Deserialize, Serialize};

use crate::bounded::{Bounds, short};
use crate::canonical::write_string;
use crate::keys::{PublicKey, SigningKey};
use crate::{Error, Result, base64, canonical};

mod foreign;

// A model's bundle, which lies in a folder, is read on hosts alone.
#[cfg(not(target_family = "wasm"))]
pub(crate) use foreign::or_empty;

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
    /// A hint at the key that signed; never trusted, and empty where there is none.
    pub keyid: String,
    /// The signature, base64. An Ed25519 one has 64 bytes; others are passed over.
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

    /// Finds the first trusted key that signed. The order of the signatures decides nothing, nor does
    /// `keyid`, and a signature of another kind than Ed25519 is passed over (DSSE protocol,
    /// "Protocol": one that verifies under a trusted key is enough).
    ///
    /// # Errors
    /// [`Error::Signature`] when `trusted` is empty, the envelope has no signature, or none of
    /// them is by a trusted key; [`Error::Base64`] for the payload.
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
        let payload = self.unverified_payload()?;
        let message = pae(&self.payload_type, &payload);
        let signatures: Vec<Option<[u8; 64]>> = self
            .signatures
            .iter()
            .map(|signature| signature.ed25519())
            .collect();
        let signed = |key: &&PublicKey| {
            let mut known = signatures.iter().flatten();
            known.any(|signature| key.verify(&message, signature).is_ok())
        };
        if let Some(signer) = trusted.iter().find(signed) {
            return Ok(Verified {
                payload,
                signer: *signer,
            });
        }
        let seen: Vec<String> = self
            .signatures
            .iter()
            .zip(&signatures)
            .map(|(signature, known)| {
                let id = short(&signature.keyid, SHOWN);
                match known {
                    Some(_) => id,
                    None => format!("{id} (not an Ed25519 signature)"),
                }
            })
            .collect();
        Err(fail(format!(
            "no signature of a trusted key verifies (keyids in it: {}; {} keys trusted)",
            seen.join(", "),
            trusted.len()
        )))
    }

    /// The payload, with no signature checked. For display only.
    ///
    /// # Errors
    /// [`Error::Base64`].
    pub fn unverified_payload(&self) -> Result<Vec<u8>> {
        base64::decode_any("DSSE payload", &self.payload)
    }

    /// The canonical JSON of the envelope; its SHA-256 is the envelope's digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Field by field, so that it cannot fail; a test holds it against `canonical::to_vec`.
        let mut out = b"{\"payload\":".to_vec();
        write_string(&mut out, &self.payload);
        out.extend_from_slice(b",\"payloadType\":");
        write_string(&mut out, &self.payload_type);
        out.extend_from_slice(b",\"signatures\":[");
        for (i, signature) in self.signatures.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"keyid\":");
            write_string(&mut out, &signature.keyid);
            out.extend_from_slice(b",\"sig\":");
            write_string(&mut out, &signature.sig);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Reads an envelope that must be canonical, as one whose digest names it must be: the standard
    /// alphabet of base64, too.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::NotCanonical`]; [`Error::Invalid`] beyond [`MAX_BYTES`], with
    /// too many signatures or the other alphabet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Envelope> {
        let envelope: Envelope = canonical::from_slice_within(bytes, &BOUNDS)?;
        let sigs = envelope.signatures.iter().map(|signature| &signature.sig);
        if sigs
            .chain([&envelope.payload])
            .any(|text| base64::is_url_safe(text))
        {
            return Err(Error::Invalid {
                what: "DSSE envelope",
                detail: "base64 of the URL-safe alphabet; its canonical form has the standard one"
                    .into(),
            });
        }
        Ok(envelope)
    }

    /// Reads an envelope that any tool may have written: any whitespace and key order, fields that are
    /// not known, no `keyid`, either alphabet of base64. What comes back is in our own form, so that
    /// its [`Envelope::to_bytes`] are canonical.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::Base64`] for the payload; [`Error::Invalid`] beyond [`MAX_BYTES`] or
    /// with too many signatures.
    pub fn from_json(bytes: &[u8]) -> Result<Envelope> {
        foreign::read(bytes)
    }
}

impl EnvelopeSignature {
    /// The signature, if it can be one of Ed25519.
    fn ed25519(&self) -> Option<[u8; 64]> {
        let bytes = base64::decode_any("DSSE signature", &self.sig).ok()?;
        bytes.try_into().ok()
    }
}

#[cfg(test)]
mod tests;

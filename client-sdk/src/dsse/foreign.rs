//! Envelopes as other tools write them (DSSE envelope.md, "Parsing rules").

use serde::{Deserialize, Deserializer};

use super::{BOUNDS, Envelope, EnvelopeSignature};
use crate::bounded;
use crate::{Result, base64};

/// "Consumers MUST ignore unrecognized fields."
#[derive(Deserialize)]
struct Foreign {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

/// "An unset field MUST be treated the same as set-but-empty."
#[derive(Deserialize)]
struct Signature {
    #[serde(default, deserialize_with = "or_empty")]
    keyid: String,
    sig: String,
}

/// protobuf's JSON may write `null` for a field that is not set.
pub(crate) fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads an envelope and puts it into our own form.
pub(super) fn read(bytes: &[u8]) -> Result<Envelope> {
    let foreign: Foreign = bounded::from_slice("DSSE envelope", bytes, &BOUNDS)?;
    let signatures = foreign.signatures.into_iter().map(|signature| {
        EnvelopeSignature {
            keyid: signature.keyid,
            // A signature that is no base64 is of no kind that is known here: it is passed over later.
            sig: match base64::decode_any("DSSE signature", &signature.sig) {
                Ok(bytes) => base64::encode(&bytes),
                Err(_) => signature.sig,
            },
        }
    });
    Ok(Envelope {
        payload_type: foreign.payload_type,
        payload: base64::encode(&base64::decode_any("DSSE payload", &foreign.payload)?),
        signatures: signatures.collect(),
    })
}

//! The Sigstore bundle around a model's signature, as far as it is looked at.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::invalid;
use crate::Result;

/// Hints at the key that signed. Nothing in it is signed or trusted, so unknown fields are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Hint>,
    /// The certificate of a signature by Sigstore's short-lived keys. That it is there is all that is read.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub certificate: Option<()>,
    /// The certificates of a signature by an authority's key, as above.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub x509_certificate_chain: Option<()>,
    #[serde(default, deserialize_with = "ignored")]
    pub tlog_entries: [u8; 0],
}

impl Material {
    /// Whether a bare key signed; else what did.
    pub(super) fn key(&self) -> Result<&Hint> {
        let other = match self {
            Material {
                public_key: Some(hint),
                ..
            } => return Ok(hint),
            Material {
                certificate: Some(()),
                ..
            } => "is signed with a Sigstore certificate (model_signing verify sigstore)",
            Material {
                x509_certificate_chain: Some(()),
                ..
            } => "is signed with a certificate chain (model_signing verify certificate)",
            _ => "names no public key",
        };
        Err(invalid(format!(
            "its signature {other}; signatures by a P-256 key are read here (model_signing sign key)"
        )))
    }
}

/// Entries of a log that is not looked at: skipped, whatever they are.
fn ignored<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<[u8; 0], D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| [])
}

/// Whether a member is there and not null.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<()>, D::Error> {
    let found: Option<IgnoredAny> = Option::deserialize(deserializer)?;
    Ok(found.map(|_| ()))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hint {
    pub hint: Option<String>,
}

/// As [`crate::dsse::Envelope`], with a `keyid` that may be left out, as protobuf's JSON may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Envelope {
    pub payload: String,
    pub payload_type: String,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub sig: String,
    #[serde(default, deserialize_with = "crate::dsse::or_empty")]
    pub keyid: String,
}

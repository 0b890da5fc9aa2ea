//! Signing a request.

use super::base::{ALWAYS, Input, Parameter};
use super::{
    CONTENT_DIGEST, CONTENT_TYPE, Digests, ED25519, Request, Role, SIGNATURE, SIGNATURE_INPUT,
};
use crate::keys::SigningKey;
use crate::{Error, Result, base64};

/// Label of our signatures; it is not signed, and a verifier takes any.
const LABEL: &str = "fedseal";

/// Times and nonce of a signature.
#[derive(Clone, Debug)]
pub struct Validity {
    /// Unix time, seconds.
    pub created: i64,
    /// Seconds after which it no longer counts.
    pub seconds: i64,
    /// Sixteen random bytes in base64url, new for every request.
    pub nonce: String,
}

impl Validity {
    /// From now on, with a random nonce.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives no entropy.
    #[cfg(not(target_family = "wasm"))]
    pub fn now(seconds: i64) -> Result<Self> {
        use ::base64::Engine as _;
        use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| Error::Key {
            what: "nonce".into(),
            detail: error.to_string().into(),
        })?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(Validity {
            created: now.map_or(0, |since| since.as_secs() as i64),
            seconds,
            nonce: URL_SAFE_NO_PAD.encode(bytes),
        })
    }
}

/// Fields that sign a request: Content-Digest where there is a body, Signature-Input and Signature, to be
/// added as they are. The request is signed as the client sends it, so anew for each try and redirect. A
/// body's media type must be among the request's fields.
///
/// # Errors
/// [`Error::Invalid`] for a body without Content-Type, and for a value that no field can hold.
pub fn sign(
    request: &Request<'_>,
    body: Option<&[u8]>,
    key: &SigningKey,
    role: Role,
    validity: &Validity,
) -> Result<Vec<(&'static str, String)>> {
    let invalid = |detail: String| Error::Invalid {
        what: "signed request",
        detail,
    };
    let mut made = Vec::new();
    let mut covered: Vec<String> = ALWAYS.iter().map(ToString::to_string).collect();
    if let Some(body) = body {
        if request.field(CONTENT_TYPE).is_none() {
            return Err(invalid("a body without a Content-Type field".into()));
        }
        covered.extend([CONTENT_DIGEST.to_owned(), CONTENT_TYPE.to_owned()]);
        made.push((CONTENT_DIGEST, Digests::field(body)));
    }
    let digest = made.first().map(|(name, value)| (*name, value.as_bytes()));
    let fields: Vec<(&str, &[u8])> = request.fields.iter().copied().chain(digest).collect();
    let request = Request {
        fields: &fields,
        ..request.clone()
    };
    let input = Input {
        covered,
        parameters: vec![
            Parameter::Created(validity.created),
            Parameter::Expires(validity.created + validity.seconds),
            Parameter::Nonce(validity.nonce.clone()),
            Parameter::Algorithm(ED25519.into()),
            Parameter::KeyId(key.public().to_string()),
            Parameter::Tag(role.tag().into()),
        ],
    };
    let base = input
        .base(&request)
        .map_err(|missing| invalid(format!("{missing:?}")))?;
    let list = input.serialised().map_err(invalid)?;
    let signature = base64::encode(&key.sign(&base));
    made.push((SIGNATURE_INPUT, format!("{LABEL}={list}")));
    made.push((SIGNATURE, format!("{LABEL}=:{signature}:")));
    Ok(made)
}

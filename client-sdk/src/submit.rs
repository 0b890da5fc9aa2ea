//! Submitting a module to a running server (feature `http`).

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::PublicKey;
use crate::{Error, Result, base64};

/// A larger answer (bytes) is cut off.
const MAX_ANSWER: u64 = 1 << 20;

/// What the server registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The module's digest.
    pub digest: Digest,
    /// Its name, from the signed predicate.
    pub name: String,
    /// Its author's key.
    pub signer: PublicKey,
}

#[derive(Serialize)]
struct Submission<'a> {
    module: String,
    envelope: &'a Envelope,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    what: String,
    hint: Option<String>,
}

/// Posts a module and its signature to `{url}/api/modules`.
///
/// # Errors
/// [`Error::Http`] when the server does not answer, or not with what this expects;
/// [`Error::Refused`] with the server's reason; [`Error::DigestMismatch`] when it registered
/// other bytes.
pub fn submit_module(url: &str, module: &[u8], envelope: &Envelope) -> Result<Registered> {
    let url = format!("{}/api/modules", url.trim_end_matches('/'));
    let transport = |detail: String| Error::Http {
        url: url.clone(),
        detail,
    };
    let body = serde_json::to_vec(&Submission {
        module: base64::encode(module),
        envelope,
    })
    .map_err(|e| Error::Encode(e.to_string()))?;
    // A refusal is an answer with a reason, not a transport error.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(120)))
        .build()
        .into();
    let mut answer = agent
        .post(&url)
        .header("content-type", "application/json")
        .send(&body[..])
        .map_err(|e| transport(e.to_string()))?;
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_string()
        .map_err(|e| transport(e.to_string()))?;
    if status == 201 {
        let registered: Registered = serde_json::from_str(&text)
            .map_err(|e| transport(format!("status 201 with an unexpected body: {e}")))?;
        let expected = Digest::of(module);
        if registered.digest != expected {
            return Err(Error::DigestMismatch {
                what: "module as registered by the server".into(),
                expected,
                got: registered.digest,
            });
        }
        return Ok(registered);
    }
    match serde_json::from_str::<Refusal>(&text) {
        Ok(refusal) => Err(Error::Refused {
            url,
            status,
            error: refusal.error,
            what: refusal.what,
            hint: refusal.hint,
        }),
        Err(_) => Err(transport(format!(
            "status {status}: {}",
            text.chars().take(200).collect::<String>()
        ))),
    }
}

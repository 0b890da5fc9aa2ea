//! Submitting a module to a running server (feature `http`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounded::short;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::{Source, about};
use crate::http_signature::Role;
use crate::keys::{PublicKey, SigningKey};
use crate::{Error, Result, base64, http, signed};

/// A larger answer (bytes) is an error.
const MAX_ANSWER: u64 = 64 << 10;
/// Longest time of a call.
const LONGEST: Duration = Duration::from_secs(120);
/// Media type of a submission.
const JSON: &str = "application/json";
/// Characters of each part of a refusal that are kept.
const SHOWN: usize = 500;

/// Module that the server registered.
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

/// Posts a module and its signature to `{url}/api/modules`; `sender` signs the request (RFC 9421) as an author.
///
/// # Errors
/// [`Error::Http`] when the server does not answer or answers something else than expected;
/// [`Error::Refused`] with the server's reason; [`Error::DigestMismatch`] when it registered other
/// bytes.
pub fn submit_module(
    url: &str,
    module: &[u8],
    envelope: &Envelope,
    sender: Option<&SigningKey>,
) -> Result<Registered> {
    let url = format!("{}/api/modules", url.trim_end_matches('/'));
    let transport = |detail: Source| Error::Http {
        url: url.clone(),
        detail,
    };
    let body = serde_json::to_vec(&Submission {
        module: base64::encode(module),
        envelope,
    })
    .map_err(|e| Error::Encode(e.into()))?;
    let agent = http::agent(&url, LONGEST);
    let mut request = agent.post(&url).header("content-type", JSON);
    if let Some(sender) = sender {
        let body = Some((JSON, body.as_slice()));
        for (name, value) in signed::fields("POST", &url, body, sender, Role::Author)? {
            request = request.header(name, value);
        }
    }
    let mut answer = request.send(&body[..]).map_err(|e| transport(e.into()))?;
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_string()
        .map_err(|e| transport(e.into()))?;
    if status == 201 {
        let registered: Registered = serde_json::from_str(&text)
            .map_err(|e| transport(about(format!("status 201 with an unexpected body: {e}"), e)))?;
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
            error: short(&refusal.error, SHOWN),
            what: short(&refusal.what, SHOWN),
            hint: refusal.hint.map(|hint| short(&hint, SHOWN)),
        }),
        Err(_) => Err(transport(
            format!("status {status}: {}", short(&text, 200)).into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::keys::SigningKey;
    use crate::module::{self, ModulePredicate};

    /// Answers one request with this status and body; hands back what was asked.
    fn serve_once(status: &str, body: String) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let n = stream.read(&mut buffer).unwrap();
                asked.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&asked);
                if n == 0 || text.trim_end().ends_with("]}}") {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, thread)
    }

    fn submission() -> (Registered, Envelope) {
        let key = SigningKey::from_seed([1; 32]);
        let registered = Registered {
            digest: Digest::of(b"wasm"),
            name: "plain".into(),
            signer: key.public(),
        };
        let about = ModulePredicate::new("plain", "1");
        (registered, module::sign(b"wasm", &about, &key).unwrap())
    }

    #[test]
    fn registered() {
        let (registered, envelope) = submission();
        let body = serde_json::to_string(&registered).unwrap();
        let (url, thread) = serve_once("201 Created", body);
        assert_eq!(
            submit_module(&url, b"wasm", &envelope, None).unwrap(),
            registered
        );
        let asked = thread.join().unwrap();
        assert!(
            asked.starts_with("POST /api/modules HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("\"module\":\"d2FzbQ==\""), "{asked}");
    }

    #[test]
    fn refused_with_the_reason() {
        let body = r#"{"error":"unknown signer","what":"envelope","hint":"add the key"}"#;
        let (url, _) = serve_once("403 Forbidden", body.into());
        let error = submit_module(&url, b"wasm", &submission().1, None).unwrap_err();
        assert!(matches!(error, Error::Refused { status: 403, .. }));
        let text = error.to_string();
        assert!(
            text.contains("unknown signer") && text.contains("hint: add the key"),
            "{text}"
        );
        let body = format!(r#"{{"error":"{}","hint":null}}"#, "e".repeat(50_000));
        let (url, _) = serve_once("403 Forbidden", body);
        let error = submit_module(&url, b"wasm", &submission().1, None).unwrap_err();
        assert!(error.to_string().len() < 1000, "a server's words are cut");
    }

    #[test]
    fn anything_else_is_no_success() {
        let (registered, envelope) = submission();
        for (status, body) in [
            ("200 OK", serde_json::to_string(&registered).unwrap()),
            ("201 Created", "{}".into()),
            ("502 Bad Gateway", "<html>".into()),
            (
                "201 Created",
                serde_json::to_string(&registered).unwrap() + &" ".repeat(MAX_ANSWER as usize),
            ),
        ] {
            let (url, _) = serve_once(status, body);
            assert!(
                submit_module(&url, b"wasm", &envelope, None).is_err(),
                "{status}"
            );
        }
        let other = Registered {
            digest: Digest::of(b"other"),
            ..registered
        };
        let (url, _) = serve_once("201 Created", serde_json::to_string(&other).unwrap());
        let error = submit_module(&url, b"wasm", &envelope, None).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
        assert!(submit_module("http://127.0.0.1:1", b"wasm", &envelope, None).is_err());
    }
}

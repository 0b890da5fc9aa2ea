//! Signed calls of a server (feature `http`); see [`crate::http_signature`].

use std::time::Duration;

use crate::bounded::short;
use crate::error::Source;
use crate::http_signature::{Request, Role, Validity, sign};
use crate::keys::SigningKey;
use crate::{Error, Result, http};

/// Seconds for which a signed request is good.
const GOOD_FOR: i64 = 120;
/// Characters of a refusal that are kept.
const SHOWN: usize = 500;

/// Fields that sign a request to an address, with its body's media type and bytes.
///
/// # Errors
/// [`Error::Http`] for an address without scheme; [`Error::Key`] when the system gives no entropy.
pub fn fields(
    method: &str,
    url: &str,
    body: Option<(&str, &[u8])>,
    key: &SigningKey,
    role: Role,
) -> Result<Vec<(&'static str, String)>> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| Error::Http {
        url: url.to_owned(),
        detail: "the address has no scheme; it begins with http://".into(),
    })?;
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let kind: Vec<(&str, &[u8])> = body
        .iter()
        .map(|(kind, _)| ("content-type", kind.as_bytes()))
        .collect();
    let request = Request {
        method,
        secure: scheme.eq_ignore_ascii_case("https"),
        host,
        target,
        fields: &kind,
    };
    let body = body.map(|(_, bytes)| bytes);
    sign(&request, body, key, role, &Validity::now(GOOD_FOR)?)
}

/// A client that signs every request.
pub struct SignedClient {
    agent: ureq::Agent,
    server: String,
    key: SigningKey,
    role: Role,
}

impl SignedClient {
    /// A client of the server at this address. A call ends after `longest`.
    pub fn new(server: &str, key: SigningKey, role: Role, longest: Duration) -> Self {
        SignedClient {
            agent: http::config(server)
                .timeout_global(Some(longest))
                .build()
                .into(),
            server: server.trim_end_matches('/').to_owned(),
            key,
            role,
        }
    }

    /// Calls `METHOD path`; gives status and body of a success, at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::Http`] when the server does not answer; [`Error::Refused`] for any status from 400 on.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        most: u64,
    ) -> Result<(u16, Vec<u8>)> {
        self.send(method, path, body, None, most)
    }

    /// Reads `most` bytes of a path from an offset on (RFC 9110, section 14); fewer, or none, where it ends
    /// before.
    ///
    /// # Errors
    /// As [`SignedClient::call`]; [`Error::Http`] for a server that sends no parts.
    pub fn piece(&self, path: &str, from: u64, most: u64) -> Result<Vec<u8>> {
        let last = from.saturating_add(most.saturating_sub(1));
        let range = format!("bytes={from}-{last}");
        match self.send("GET", path, None, Some(&range), most) {
            Ok((206, bytes)) => Ok(bytes),
            Ok((200, bytes)) if from == 0 => Ok(bytes),
            Ok((status, _)) => Err(Error::Http {
                url: format!("{}{path}", self.server),
                detail: format!("status {status} in answer to a range").into(),
            }),
            // Nothing is there from this offset on.
            Err(Error::Refused { status: 416, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        range: Option<&str>,
        most: u64,
    ) -> Result<(u16, Vec<u8>)> {
        let url = format!("{}{path}", self.server);
        let transport = |detail: Source| Error::Http {
            url: url.clone(),
            detail,
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url.as_str());
        if let Some((kind, _)) = body {
            request = request.header("content-type", kind);
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        for (name, value) in fields(method, &url, body, &self.key, self.role)? {
            request = request.header(name, value);
        }
        let bytes = body.map_or(&[][..], |(_, bytes)| bytes);
        let answer = match body {
            Some(_) => self
                .agent
                .run(request.body(bytes).map_err(|e| transport(e.into()))?),
            None => self
                .agent
                .run(request.body(()).map_err(|e| transport(e.into()))?),
        };
        answered(&url, answer, most)
    }
}

/// Status and body of an answer, at most `most` bytes; a refusal is an error.
fn answered(
    url: &str,
    answer: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    most: u64,
) -> Result<(u16, Vec<u8>)> {
    let transport = |detail: Source| Error::Http {
        url: url.to_owned(),
        detail,
    };
    let mut answer = answer.map_err(|e| transport(e.into()))?;
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(most)
        .read_to_vec()
        .map_err(|e| transport(e.into()))?;
    if status < 400 {
        return Ok((status, bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().map(|text| short(text, SHOWN));
    Err(Error::Refused {
        url: url.to_owned(),
        status,
        error: member("error").unwrap_or_else(|| short(&text, SHOWN)),
        what: member("what").unwrap_or_default(),
        hint: member("hint"),
    })
}

/// Posts JSON with a bearer token (RFC 6750); gives the body of a success, at most 16 MiB.
///
/// # Errors
/// As [`SignedClient::call`].
pub fn post_with_token(url: &str, token: &str, body: &[u8]) -> Result<Vec<u8>> {
    let agent: ureq::Agent = http::config(url)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let request = agent
        .post(url)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    Ok(answered(url, request.send(body), 16 << 20)?.1)
}

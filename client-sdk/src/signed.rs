//! Signed calls of a server (feature `http`); see [`crate::http_signature`].

use std::time::Duration;

use crate::http_signature::{Request, Role, Validity, sign};
use crate::keys::SigningKey;
use crate::{Error, Result, http};

/// Seconds for which a signed request is good.
const GOOD_FOR: i64 = 120;

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
            agent: http::agent(server, longest),
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
        let mut fields = fields(method, &url, body, &self.key, self.role)?;
        fields.extend(range.map(|range| ("range", range.to_owned())));
        http::call(&self.agent, method, &url, &fields, body, most)
    }
}

//! Signed requests as bytes, for tests that send them piece by piece or by the thousand.

use std::net::SocketAddr;

use fedseal_client_sdk::http_signature::{Request, Role, Validity, sign};
use fedseal_client_sdk::keys::SigningKey;

/// A coordinator as somebody reaches it who signs.
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) host: String,
    pub(super) key: &'a SigningKey,
    /// Fields of every request, each with its end of line.
    pub(super) fields: &'static str,
}

/// Times of a signature that is good for two minutes from now on.
pub(super) fn valid() -> Validity {
    Validity::now(120).unwrap()
}

impl Target<'_> {
    /// Head of a signed request up to its last field; `body` is what is signed.
    pub(super) fn head(&self, line: &str, body: Option<&[u8]>, validity: &Validity) -> String {
        let (method, path) = line.split_once(' ').unwrap();
        let kind = body.map(|_| ("content-type", b"application/json".as_slice()));
        let kind: Vec<(&str, &[u8])> = kind.into_iter().collect();
        let request = Request {
            method,
            secure: false,
            host: &self.host,
            target: path,
            fields: &kind,
        };
        let signed = sign(&request, body, self.key, Role::Node, validity).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}",
            self.host, self.fields
        );
        if body.is_some() {
            head += "Content-Type: application/json\r\n";
        }
        for (name, value) in signed {
            head += &format!("{name}: {value}\r\n");
        }
        head
    }

    /// A whole request.
    pub(super) fn request(&self, line: &str, body: &[u8]) -> Vec<u8> {
        let head = self.head(line, Some(body), &valid());
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// A question, with further fields.
    pub(super) fn get(&self, path: &str, fields: &str) -> Vec<u8> {
        let head = self.head(&format!("GET {path}"), None, &valid());
        format!("{head}{fields}\r\n").into_bytes()
    }
}

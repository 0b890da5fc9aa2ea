//! Signed HTTP requests: HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530), by one profile
//! (feature `signed-requests`).
//!
//! - Covered in every request: `@method`, `@authority`, `@path` and `@query`; with a body or a Content-Digest
//!   field also `content-digest`, and `content-type` where the request has that field. Other plain fields may
//!   be covered.
//! - Parameters: `created`, `nonce`, `keyid` and `tag` always; `expires` and `alg` where the signer likes.
//!   The tag names the role in which the key acts; the registered key decides the algorithm.
//! - A component with parameters, another derived component, another parameter, a repeated label, component,
//!   parameter or digest, and a covered field that is missing are refused, each by its name: correct
//!   software disagrees about them.
//! - A request is judged when its head has arrived, by the server's clock. A nonce counts once.
//!
//! [`sign`] makes the fields, [`Verifier::verify`] checks the head of a request, and the [`Digests`] that it
//! returns are held against the body as it comes.

mod base;
mod digest;
mod field;
mod nonce;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use digest::{Algorithm, Digests, Hashing};
pub use nonce::{Nonces, RecentNonces};
pub use sign::{Validity, sign};
pub use verify::{Known, Refusal, Signed, Verifier};

use std::fmt;

/// Field of the signatures' inputs (RFC 9421, section 4.1).
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Field of the signatures (RFC 9421, section 4.2).
pub const SIGNATURE: &str = "signature";
/// Field of the body's digests (RFC 9530, section 2).
pub const CONTENT_DIGEST: &str = "content-digest";
/// Field of the body's media type.
const CONTENT_TYPE: &str = "content-type";
/// Algorithm that `alg` may name (RFC 9421, section 3.3.6).
const ED25519: &str = "ed25519";

/// Seconds that a signature is taken after its creation.
pub const MOST_AGE: i64 = 300;
/// Seconds that a signer's clock may be ahead.
pub const MOST_AHEAD: i64 = 30;
/// The longest nonce, characters.
pub const MOST_NONCE: usize = 128;
/// Components that a signature may cover.
pub const MOST_COMPONENTS: usize = 64;
/// Signatures of a request, those of gateways among them.
pub const MOST_SIGNATURES: usize = 16;
/// Bytes of the fields that are read for a signature, each.
pub const MOST_FIELD: usize = 16 << 10;

/// Role in which a key signs a request: the signature's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A data holder's node.
    Node,
    /// A module's author.
    Author,
    /// A worker that does jobs of a run.
    Worker,
    /// Whoever runs the server.
    Administrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Node, Role::Author, Role::Worker, Role::Administrator];

    /// The tag (RFC 9421, section 2.3).
    pub fn tag(self) -> &'static str {
        match self {
            Role::Node => "fedseal-node",
            Role::Author => "fedseal-author",
            Role::Worker => "fedseal-worker",
            Role::Administrator => "fedseal-administrator",
        }
    }

    /// The role with this tag.
    pub fn of_tag(tag: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.tag() == tag)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Node => "node",
            Role::Author => "author",
            Role::Worker => "worker",
            Role::Administrator => "administrator",
        })
    }
}

/// The head of a request, as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method, in upper case as sent.
    pub method: &'a str,
    /// Whether it goes over TLS: the scheme's default port is left out of the authority.
    pub secure: bool,
    /// The Host field.
    pub host: &'a str,
    /// Path with its query, as in the request line (RFC 9112, section 3.2.1).
    pub target: &'a str,
    /// The fields in their order: names in lower case, values as sent.
    pub fields: &'a [(&'a str, &'a [u8])],
}

impl Request<'_> {
    /// `@authority` (RFC 9421, section 2.2.3): host and port, lower case, without the default port.
    pub fn authority(&self) -> String {
        let host = self.host.trim().to_ascii_lowercase();
        let default = if self.secure { ":443" } else { ":80" };
        match host.strip_suffix(default) {
            // An IPv6 address without a port may end alike.
            Some(rest) if !rest.is_empty() && (!rest.contains(':') || rest.ends_with(']')) => {
                rest.to_owned()
            }
            _ => host,
        }
    }

    /// `@path` (section 2.2.6).
    fn path(&self) -> &str {
        match self.target.split_once('?') {
            Some(("", _)) => "/",
            Some((path, _)) => path,
            None if self.target.is_empty() => "/",
            None => self.target,
        }
    }

    /// `@query` (section 2.2.7), with its question mark; a request without one has that alone.
    fn query(&self) -> &str {
        match self.target.find('?') {
            Some(at) => &self.target[at..],
            None => "?",
        }
    }

    /// A field's value: that of all its lines, without the blanks around each (section 2.1). None where it
    /// is missing.
    fn field(&self, name: &str) -> Option<Vec<u8>> {
        let mut lines = self.fields.iter().filter(|(of, _)| *of == name);
        let mut value = lines.next()?.1.trim_ascii().to_vec();
        for (_, line) in lines {
            value.extend_from_slice(b", ");
            value.extend_from_slice(line.trim_ascii());
        }
        Some(value)
    }
}

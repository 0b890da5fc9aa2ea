//! The one error type of this crate: each variant is something a caller can act on.

use crate::digest::Digest;

/// Result of every fallible function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error below one of ours, whatever library it is from.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

#[cfg(not(target_family = "wasm"))]
/// Words about an error that is kept: they hold its text where people need it.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct About {
    words: String,
    source: Source,
}

#[cfg(not(target_family = "wasm"))]
/// An error with words of our own about it.
pub(crate) fn about(words: impl Into<String>, source: impl Into<Source>) -> Source {
    Box::new(About {
        words: words.into(),
        source: source.into(),
    })
}

/// Faults of a key, a signature, a statement, a record or a proof.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A string is not exactly `bytes` bytes of lowercase hex.
    #[error("{what}: expected {bytes} bytes as {} lowercase hex digits, got {got:?}", bytes * 2)]
    Hex {
        /// Name of the value that was read.
        what: &'static str,
        /// How many bytes were expected.
        bytes: usize,
        /// The string as it came (cut after 80 characters).
        got: String,
    },
    /// A string is not standard base64 with canonical padding.
    #[error(
        "{what}: not strict base64 (standard alphabet, canonical padding, no whitespace): {source}"
    )]
    Base64 {
        /// Name of the value that was read.
        what: &'static str,
        /// Error of the decoder.
        source: base64::DecodeError,
    },
    /// JSON that does not parse into the expected type.
    #[error("{what}: {source}")]
    Json {
        /// The Rust type that was expected.
        what: &'static str,
        /// Position and reason.
        source: serde_json::Error,
    },
    /// JSON that parses, but is not the one canonical form of its value.
    #[error(
        "{what}: not canonical JSON, first difference at byte {offset} (keys sorted, no whitespace, no unknown or repeated fields)"
    )]
    NotCanonical {
        /// The Rust type that was expected.
        what: &'static str,
        /// First byte at which the canonical form differs.
        offset: usize,
    },
    /// A value that has no canonical JSON form (a non-finite number, a key that is not a string).
    #[error("cannot be written as canonical JSON: {0}")]
    Encode(#[source] Source),
    /// Bytes do not hash to the digest that names them.
    #[error("{what}: expected sha256 {expected}, got {got}")]
    DigestMismatch {
        /// Name of the bytes that were hashed.
        what: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of the bytes at hand.
        got: Digest,
    },
    /// A key that cannot be used.
    #[error("{what}: {detail}")]
    Key {
        /// Name of the key.
        what: String,
        /// Why it cannot be used.
        #[source]
        detail: Source,
    },
    /// A key file that others can read.
    #[error("{path}: mode {mode:04o} lets others read this private key; run: chmod 600 '{path}'")]
    KeyMode {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A signature does not verify, or no trusted key made one.
    #[error("{what}: {detail}")]
    Signature {
        /// Name of the signed value.
        what: &'static str,
        /// The signer, and the key id.
        detail: String,
    },
    /// A signed value says something else than expected.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// Name of the field.
        what: &'static str,
        /// The value that was required.
        expected: String,
        /// The value that was found.
        got: String,
    },
    /// A value that breaks a rule of its type (a lineage with a cycle, an entry too long).
    #[error("{what}: {detail}")]
    Invalid {
        /// Name of the value.
        what: &'static str,
        /// The rule, and where it is broken.
        detail: String,
    },
    /// A Merkle proof does not lead to the root.
    #[error("{what}: {detail}")]
    Proof {
        /// `inclusion proof` or `consistency proof`.
        what: &'static str,
        /// Sizes, expected and computed roots.
        detail: String,
    },
    /// The server could not be reached.
    #[error("{url}: {detail}")]
    Http {
        /// Address of the request.
        url: String,
        /// Error of the transport, or what is wrong with the answer.
        #[source]
        detail: Source,
    },
    /// The server answered and refused.
    #[error("{url} refused with status {status}: {error} ({what}){}", hint.as_deref().map(|h| format!("; hint: {h}")).unwrap_or_default())]
    Refused {
        /// Address of the request.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's description of the fault.
        error: String,
        /// The part of the request that is wrong.
        what: String,
        /// Advice on what to do about it.
        hint: Option<String>,
    },
    /// A registry refused, or could not be reached.
    #[cfg(not(target_family = "wasm"))]
    #[error(transparent)]
    Registry(Box<crate::oci::Problem>),
}

#[cfg(not(target_family = "wasm"))]
impl Error {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Error::Io {
            path: path.display().to_string(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_error_below_is_kept_with_words_of_ours() {
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let words = format!("the passphrase does not open this key ({json})");
        let error = Error::Key {
            what: "node.key".into(),
            detail: about(words.clone(), json),
        };
        assert_eq!(error.to_string(), format!("node.key: {words}"));
        let about = error.source().and_then(std::error::Error::source);
        assert!(about.is_some_and(|it| it.is::<serde_json::Error>()));
    }
}

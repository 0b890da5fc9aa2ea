//! Strict base64: the standard alphabet with canonical padding, so that one byte string has
//! exactly one text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, Result};

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `STANDARD` refuses whitespace, missing or excess padding and non-zero trailing bits.
pub(crate) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|source| Error::Base64 { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_per_byte_string() {
        assert_eq!(decode("t", "aGVsbG8=").unwrap(), b"hello");
        for bad in [
            "aGVsbG8",
            "aGVsbG8==",
            "aGVs bG8=",
            "aGVsbG8=\n",
            "aGVsbG9=",
            "_-__",
        ] {
            assert!(decode("t", bad).is_err(), "{bad:?} must be refused");
        }
    }
}

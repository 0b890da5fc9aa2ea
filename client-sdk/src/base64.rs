//! Base64 (RFC 4648). What is hashed or signed has one text a byte string: the standard alphabet with
//! canonical padding ([`decode`]). Formats of others allow more ([`decode_any`]).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose};

use crate::{Error, Result};

/// Readers of both alphabets, with padding or without it.
const EITHER: GeneralPurposeConfig =
    general_purpose::PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ANY_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER);
const ANY_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER);

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `STANDARD` refuses whitespace, missing or excess padding and non-zero trailing bits.
pub(crate) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|source| Error::Base64 { what, source })
}

/// Reads the standard or the URL-safe alphabet (sections 4 and 5), one of them a text, with padding or
/// without. DSSE and protobuf's JSON allow either.
pub(crate) fn decode_any(what: &'static str, text: &str) -> Result<Vec<u8>> {
    let engine = match is_url_safe(text) {
        true => &ANY_URL_SAFE,
        false => &ANY_STANDARD,
    };
    engine
        .decode(text)
        .map_err(|source| Error::Base64 { what, source })
}

/// Whether a text has characters of the URL-safe alphabet alone.
pub(crate) fn is_url_safe(text: &str) -> bool {
    text.contains(['-', '_'])
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

    #[test]
    fn both_alphabets_with_and_without_padding() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(decode_any("t", text).unwrap(), [0xfb, 0xff], "{text}");
        }
        // Both in one text, trailing bits, too much padding, whitespace.
        for bad in ["+_8=", "-_9=", "-_8==", "-_ 8", "-_8=\n"] {
            assert!(decode_any("t", bad).is_err(), "{bad:?}");
        }
    }
}

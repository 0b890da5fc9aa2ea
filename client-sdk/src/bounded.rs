//! Bounds on what comes from outside, checked before anything is built from it.
//!
//! A few bytes of JSON can become hundreds in memory: an empty object inside another is six bytes
//! of text and one tree node. [`from_slice`] adds up what the parts of a text may take while it
//! skips over them, and builds nothing where that is too much.

use serde::Deserialize;

use crate::{Error, Result};

/// Bounds on a JSON text and the memory for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of text.
    pub bytes: usize,
    /// Bytes of memory that its objects, arrays and members may take, apart from the text itself.
    pub structure: usize,
}

// Most bytes that `serde_json::Value` takes on 64 bits; typed values take less.
/// An object: one node of the map has room for eleven members.
const OBJECT: usize = 640;
/// An array: room for four values at first.
const ARRAY: usize = 128;
/// One more member or element, in a buffer that has just doubled.
const NEXT: usize = 64;
/// A string: the allocation beside its text.
const STRING: usize = 32;

impl Bounds {
    /// Checks a text against the bounds. Whether it is JSON at all is left to its parser.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the bound that does not hold.
    pub fn check(&self, what: &'static str, text: &[u8]) -> Result<()> {
        let invalid = |detail| Error::Invalid { what, detail };
        if text.len() > self.bytes {
            return Err(invalid(format!("longer than {} bytes", self.bytes)));
        }
        if let Err(at) = within(text, self.structure) {
            return Err(invalid(format!(
                "its objects and arrays up to byte {at} take more than {} bytes of memory",
                self.structure
            )));
        }
        Ok(())
    }
}

/// Reads a value from JSON that keeps within bounds.
///
/// # Errors
/// [`Error::Invalid`] beyond the bounds; [`Error::Json`] for what is not JSON for `T`.
pub fn from_slice<'a, T: Deserialize<'a>>(
    what: &'static str,
    text: &'a [u8],
    bounds: &Bounds,
) -> Result<T> {
    bounds.check(what, text)?;
    serde_json::from_slice(text).map_err(|source| Error::Json { what, source })
}

/// Checks that the structure of a text takes at most `most` bytes; the error is the offset at which
/// it takes more. Strings end here where they end for a parser, so that both see one structure.
fn within(text: &[u8], most: usize) -> Result<(), usize> {
    let mut taken = 0usize;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        taken += match byte {
            b'{' => OBJECT,
            b'[' => ARRAY,
            b',' => NEXT,
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
                STRING
            }
            _ => continue,
        };
        if taken > most {
            return Err(at);
        }
    }
    Ok(())
}

/// The first `most` characters of what came from outside, for an error.
pub(crate) fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(text: &str, structure: usize) -> Result<Value> {
        let bytes = 1 << 20;
        from_slice("text", text.as_bytes(), &Bounds { bytes, structure })
    }

    #[test]
    fn what_would_grow_is_refused_unbuilt() {
        let wide = format!("[{}0]", "0,".repeat(1000));
        let objects = format!("[{}{{}}]", "{},".repeat(1000));
        let nested = format!("{}0{}", "{\"\":".repeat(100), "}".repeat(100));
        let strings = format!("[{}\"\"]", "\"\",".repeat(1000));
        for text in [wide, objects, nested, strings] {
            let error = read(&text, 50_000).unwrap_err().to_string();
            assert!(error.contains("50000 bytes of memory"), "{error}");
            read(&text, 1 << 20).unwrap();
        }
        assert!(read(&" ".repeat((1 << 20) + 1), 0).is_err());
    }

    #[test]
    fn brackets_in_strings_are_text() {
        let text = r#"{"a\"[[[{{{,,,": "\\", "b": "[[[[\\\""}"#;
        let value = read(text, OBJECT + NEXT + 4 * STRING).unwrap();
        assert_eq!(value["b"], "[[[[\\\"");
        assert!(read(text, OBJECT + NEXT + 4 * STRING - 1).is_err());
        // Broken texts end somewhere, too.
        for broken in ["\"", "\"\\", "{\"", "]]]", ""] {
            assert!(read(broken, 1 << 20).is_err(), "{broken}");
        }
    }

    /// The estimate is an upper bound: it is compared with what a map of the same shape asks of the
    /// allocator.
    #[test]
    fn the_costs_cover_the_types() {
        assert!(ARRAY >= 4 * size_of::<Value>());
        assert!(NEXT >= 2 * size_of::<Value>());
        // std's B-tree: eleven keys and values, a parent, two lengths.
        let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
        assert!(OBJECT >= node, "{node}");
    }
}

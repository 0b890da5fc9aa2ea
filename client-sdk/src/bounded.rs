//! Bounds on what comes from outside, checked before anything is built from it.
//!
//! A few bytes of JSON can become hundreds in memory: an empty object inside another is six bytes
//! of text and one tree node. [`from_slice`] adds up what the parts of a text may take while it
//! skips over them, and builds nothing where that is too much.

use serde::Deserialize;

use crate::{Error, Result};

/// What a JSON text may be and take.
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
    /// Holds a text against the bounds. Whether it is JSON at all is its parser's question.
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

/// Where the structure of a text has taken more than `most` bytes, if anywhere. Strings end here
/// where they end for a parser, so that both see one structure.
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

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] for a longer one, of which no more is read.
#[cfg(not(target_family = "wasm"))]
pub fn read_file(path: impl AsRef<std::path::Path>, most: u64) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let path = path.as_ref();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > most {
        return Err(Error::Invalid {
            what: "file",
            detail: format!("{}: longer than {most} bytes", path.display()),
        });
    }
    Ok(bytes)
}

/// As [`read_file`], for text.
///
/// # Errors
/// As [`read_file`]; [`Error::Invalid`] for what is not UTF-8.
#[cfg(not(target_family = "wasm"))]
pub fn read_text(path: impl AsRef<std::path::Path>, most: u64) -> Result<String> {
    let path = path.as_ref();
    String::from_utf8(read_file(path, most)?).map_err(|error| Error::Invalid {
        what: "file",
        detail: format!("{}: not UTF-8: {error}", path.display()),
    })
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

    /// The estimate is an upper bound: held against what the allocator was asked for in a map of
    /// the same shape.
    #[test]
    fn the_costs_cover_the_types() {
        assert!(ARRAY >= 4 * size_of::<Value>());
        assert!(NEXT >= 2 * size_of::<Value>());
        // std's B-tree: eleven keys and values, a parent, two lengths.
        let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
        assert!(OBJECT >= node, "{node}");
    }

    #[test]
    fn a_file_is_read_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let error = read_file(&path, 4).unwrap_err().to_string();
        assert!(error.contains("longer than 4 bytes"), "{error}");
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 4).is_err());
        assert!(matches!(
            read_file(dir.path().join("none"), 4),
            Err(Error::Io { .. })
        ));
    }
}

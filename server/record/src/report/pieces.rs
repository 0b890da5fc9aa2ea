//! JSON that is read in pieces, one value at a time, each with its place in the file. Only the ends of values
//! are found here; their content is serde's to read and to refuse. No reader of serde_json says where a value
//! lies in a file that is larger than memory.

use std::io::{self, ErrorKind, Read};

use fedseal_client_sdk::digest::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// The longest name of a field, bytes.
const MOST_NAME: usize = 1 << 10;

/// Why a document cannot be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// The file.
    Io(io::Error),
    /// Its content.
    Content(String),
}

impl Problem {
    pub(super) fn of(text: impl std::fmt::Display) -> Problem {
        Problem::Content(text.to_string())
    }
}

/// A document from its beginning. Bytes that were taken are not kept.
pub(super) struct Pieces<R> {
    from: R,
    hasher: Sha256,
    /// Bytes of the document before the buffer.
    before: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken.
    at: usize,
}

impl<R: Read> Pieces<R> {
    pub(super) fn new(from: R) -> Self {
        Pieces {
            from,
            hasher: Sha256::new(),
            before: 0,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// Place of the next byte.
    pub(super) fn place(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Bytes that are in memory and were not taken.
    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Reads more; false at the document's end.
    fn more(&mut self) -> Result<bool, Problem> {
        self.buffer.drain(..self.at);
        self.before += self.at as u64;
        self.at = 0;
        let had = self.buffer.len();
        self.buffer.resize(had + PIECE, 0);
        let read = loop {
            match self.from.read(&mut self.buffer[had..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                other => break other,
            }
        };
        self.buffer.truncate(had + *read.as_ref().unwrap_or(&0));
        let read = read.map_err(Problem::Io)?;
        self.hasher.update(&self.buffer[had..]);
        Ok(read > 0)
    }

    /// The next byte that is no white space; none at the end. It is not taken.
    fn peek(&mut self) -> Result<Option<u8>, Problem> {
        loop {
            let spaces = self.ahead().iter().take_while(|byte| is_space(**byte));
            self.at += spaces.count();
            let next = self.ahead().first().copied();
            if next.is_some() || !self.more()? {
                return Ok(next);
            }
        }
    }

    /// Takes the next byte, which must be this one.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), Problem> {
        match self.peek()? {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            found => Err(self.unexpected(wanted, found)),
        }
    }

    fn unexpected(&self, wanted: u8, found: Option<u8>) -> Problem {
        let found = found.map_or("the end".to_owned(), |byte| {
            format!("`{}`", byte.escape_ascii())
        });
        let (wanted, place) = (char::from(wanted), self.place());
        Problem::of(format!(
            "`{wanted}` is expected at byte {place}, where {found} is"
        ))
    }

    /// Whether the object or list that began has another member; its end is taken. `first` is true before the
    /// first one.
    pub(super) fn another(&mut self, first: &mut bool, end: u8) -> Result<bool, Problem> {
        let found = self.peek()?;
        let is_first = std::mem::replace(first, false);
        match found {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            found => Err(self.unexpected(b',', found)),
        }
    }

    /// The name of the next field, and its colon.
    pub(super) fn name(&mut self) -> Result<String, Problem> {
        let (_, text) = self.value("a name", MOST_NAME)?;
        let name = serde_json::from_slice(text).map_err(Problem::of)?;
        self.expect(b':')?;
        Ok(name)
    }

    /// The next value, of at most so many bytes, with its place. `what` is what a message calls it.
    pub(super) fn value(&mut self, what: &str, most: usize) -> Result<(u64, &[u8]), Problem> {
        self.peek()?;
        let place = self.place();
        let mut scan = Scan::default();
        let mut seen = 0;
        loop {
            let rest = self.ahead().get(seen..).unwrap_or_default();
            let end = scan.over(rest);
            seen += end.unwrap_or(rest.len());
            if seen > most {
                let bound = format!("{what} at byte {place} is larger than {most} bytes");
                return Err(Problem::of(bound));
            }
            if end.is_some() {
                break;
            }
            if !self.more()? {
                return Err(Problem::of(format!(
                    "it ends within {what} at byte {place}"
                )));
            }
        }
        let from = self.at;
        self.at += seen;
        Ok((place, &self.buffer[from..self.at]))
    }

    /// Passes over the next value, of which nothing is kept.
    pub(super) fn skip(&mut self) -> Result<(), Problem> {
        self.peek()?;
        let mut scan = Scan::default();
        loop {
            let rest = self.ahead();
            let end = scan.over(rest);
            self.at += end.unwrap_or(rest.len());
            if end.is_some() {
                return Ok(());
            }
            if !self.more()? {
                return Err(Problem::of("it ends within a value"));
            }
        }
    }

    /// Makes sure that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(Problem::of(format!(
                "something follows its end, at byte {}",
                self.place()
            ))),
        }
    }

    /// Reads the rest. Returns the digest of all bytes, and how many they are.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        loop {
            self.at = self.buffer.len();
            match self.more() {
                Ok(true) => (),
                Ok(false) => return Ok((Digest(self.hasher.finalize().into()), self.before)),
                Err(Problem::Io(error)) => return Err(error),
                Err(Problem::Content(text)) => return Err(io::Error::other(text)),
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How far the end of a value was looked for.
#[derive(Default)]
struct Scan {
    /// Objects and lists that are open.
    depth: usize,
    /// Whether a text is open.
    quoted: bool,
    /// Whether the next byte of the text is escaped.
    escaped: bool,
    /// Whether something of the value was seen.
    begun: bool,
}

impl Scan {
    /// Bytes of the value among these; none where it goes on behind them.
    fn over(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.quoted {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.quoted = false;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => (),
                }
                continue;
            }
            match byte {
                // Behind a number or a word.
                b'"' | b'{' | b'[' if self.depth == 0 && self.begun => return Some(at),
                b'"' => self.quoted = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == 0 => return Some(at),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                b',' | b':' if self.depth == 0 => return Some(at),
                byte if self.depth == 0 && is_space(*byte) => return Some(at),
                _ => (),
            }
            self.begun = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            match (self.0.split_first(), to.first_mut()) {
                (Some((byte, rest)), Some(to)) => {
                    *to = *byte;
                    self.0 = rest;
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn values_come_whole_with_their_places() {
        let text = br#" [ {"a":[1,"}]\"\\"]} ,-1.5e3,"x,\u005d",null, [] ] "#;
        let mut pieces = Pieces::new(Slow(text));
        pieces.expect(b'[').unwrap();
        let mut first = true;
        let mut found = Vec::new();
        while pieces.another(&mut first, b']').unwrap() {
            let (place, value) = pieces.value("a value", 100).unwrap();
            let at = usize::try_from(place).unwrap();
            assert_eq!(&text[at..at + value.len()], value);
            found.push(String::from_utf8(value.to_vec()).unwrap());
        }
        pieces.end().unwrap();
        let wanted = [
            r#"{"a":[1,"}]\"\\"]}"#,
            "-1.5e3",
            r#""x,\u005d""#,
            "null",
            "[]",
        ];
        assert_eq!(found, wanted);
        let (digest, length) = pieces.finish().unwrap();
        assert_eq!((digest, length), (Digest::of(text), text.len() as u64));
    }

    #[test]
    fn what_ends_early_or_is_too_long_is_refused() {
        for text in ["", "[", "[1", r#"["\""#, r#"[{"a":1]"#] {
            let mut pieces = Pieces::new(text.as_bytes());
            let mut all = || -> Result<(), Problem> {
                pieces.expect(b'[')?;
                let mut first = true;
                while pieces.another(&mut first, b']')? {
                    pieces.skip()?;
                }
                Ok(())
            };
            assert!(all().is_err(), "{text}");
        }
        let mut pieces = Pieces::new(&br#""12345""#[..]);
        assert!(pieces.value("a text", 6).is_err());
        // All of it counts for the digest, whatever was looked at.
        assert_eq!(pieces.finish().unwrap().1, 7);
    }
}

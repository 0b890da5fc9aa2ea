//! The transcript: every host call of a guest, in order, hash-chained.
//!
//! `h_0 = SHA-256("fedseal-transcript-v1")`, `h_i = SHA-256(h_(i-1) || canonical(entry_i))`; the
//! root is the last `h`. Two executions are the same when their roots are.
//!
//! A guest may make a hundred thousand calls, so an entry is written once, as the canonical bytes
//! that are hashed and kept ([`Transcript`]); it is taken apart again only where somebody reads it
//! ([`Entry`]).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::{Error, Result, canonical};

/// The domain string that is hashed into `h_0`.
pub const DOMAIN: &[u8] = b"fedseal-transcript-v1";

/// What stands around the entries in [`Transcript::to_bytes`].
const AROUND: [&[u8]; 2] = [b"{\"entries\":[", b"]}"];

/// All host calls of one execution, as canonical JSON.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The entries, a comma between each two.
    text: Vec<u8>,
    /// Where each of them ends in `text`.
    ends: Vec<usize>,
}

/// One host call, taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its position, from 0.
    pub seq: u32,
    /// The function's name in the WIT world, for example `train`.
    pub call: String,
    /// Its arguments; large data by digest.
    pub args: Value,
    /// Its result, or `{"error": ...}`.
    pub result: Value,
}

/// The arguments of one call, written as they become known. Used again for the next call, it takes
/// no new memory.
#[derive(Debug, Default)]
pub struct Args {
    /// The values' canonical JSON, one after the other.
    text: Vec<u8>,
    /// Names, and where in `text` their values are.
    fields: Vec<(&'static str, Range<usize>)>,
}

/// Bytes that [`Args::clear`] keeps at most for the next call: one has had a long list.
const KEPT: usize = 4096;

impl Args {
    /// Adds an argument. A name is set once for each call, and is plain: ASCII without quotes and
    /// backslashes.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let start = self.text.len();
        canonical::write_value(&mut self.text, &value.into());
        self.fields.push((name, start..self.text.len()));
    }

    /// Forgets all arguments.
    pub fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.fields.clear();
    }

    /// The canonical JSON object.
    fn write(&mut self, out: &mut Vec<u8>) {
        // ASCII sorts alike by bytes and by UTF-16 code units.
        self.fields.sort_unstable_by_key(|(name, _)| *name);
        let mut before = None;
        out.push(b'{');
        for (name, range) in &self.fields {
            debug_assert!(plain(name) && before != Some(name), "argument {name:?}");
            out.extend_from_slice(if before.is_some() { b",\"" } else { b"\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            // Always in range: `set` made it.
            out.extend_from_slice(self.text.get(range.clone()).unwrap_or_default());
            before = Some(name);
        }
        out.push(b'}');
    }
}

/// Whether a name is its own JSON string.
fn plain(name: &str) -> bool {
    let special = |byte: u8| byte == b'"' || byte == b'\\' || !(0x20..0x7f).contains(&byte);
    !name.bytes().any(special)
}

impl Transcript {
    /// An empty transcript.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a call and returns its sequence number.
    pub fn push(&mut self, call: &str, args: &Value, result: &Value) -> u32 {
        let seq = self.begin();
        canonical::write_value(&mut self.text, args);
        self.text.extend_from_slice(b",\"call\":");
        canonical::write_string(&mut self.text, call);
        self.end(result, seq)
    }

    /// As [`Transcript::push`] without taking memory for this call alone; `call` is as plain as the
    /// names of [`Args::set`].
    pub fn push_call(&mut self, call: &'static str, args: &mut Args, result: &Value) -> u32 {
        debug_assert!(plain(call), "call {call:?}");
        let seq = self.begin();
        args.write(&mut self.text);
        self.text.extend_from_slice(b",\"call\":\"");
        self.text.extend_from_slice(call.as_bytes());
        self.text.push(b'"');
        self.end(result, seq)
    }

    /// Appends the calls of another transcript; they count on from the last one here.
    pub fn append(&mut self, other: &Transcript) {
        for (seq, entry) in other.entry_bytes().enumerate() {
            // All but the number is kept. It comes last, and `end` wrote it.
            let number = format!("{}}}", number(seq));
            let kept = entry.strip_suffix(number.as_bytes()).unwrap_or(entry);
            let seq = self.next();
            self.text.extend_from_slice(kept);
            self.close(seq);
        }
    }

    /// What comes before an entry's arguments, and its number.
    fn begin(&mut self) -> u32 {
        let seq = self.next();
        self.text.extend_from_slice(b"{\"args\":");
        seq
    }

    fn next(&mut self) -> u32 {
        if !self.ends.is_empty() {
            self.text.push(b',');
        }
        number(self.ends.len())
    }

    /// What comes after an entry's call.
    fn end(&mut self, result: &Value, seq: u32) -> u32 {
        self.text.extend_from_slice(b",\"result\":");
        canonical::write_value(&mut self.text, result);
        self.text.extend_from_slice(b",\"seq\":");
        self.close(seq);
        seq
    }

    fn close(&mut self, seq: u32) {
        canonical::write_u64(&mut self.text, seq.into());
        self.text.push(b'}');
        self.ends.push(self.text.len());
    }

    /// The canonical JSON of each entry in order: what is hashed.
    pub fn entry_bytes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            // Always in range, and in order: `close` made them.
            let entry = self.text.get(start..*end).unwrap_or_default();
            start = end + 1;
            entry
        })
    }

    /// The entries, taken apart.
    ///
    /// # Errors
    /// [`Error::Json`], which no transcript of this type gives.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        self.entry_bytes().map(Entry::from_bytes).collect()
    }

    /// The last hash of the chain; that of an empty transcript is `h_0`.
    pub fn root(&self) -> Digest {
        self.entry_bytes().fold(Digest::of(DOMAIN), |hash, entry| {
            Digest::of_parts(&[&hash.0, entry])
        })
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The canonical JSON, as it is kept among the blobs.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [before, after] = AROUND;
        [before, &self.text, after].concat()
    }

    /// Reads [`Transcript::to_bytes`] back.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::NotCanonical`]; [`Error::Invalid`] when the sequence numbers do
    /// not count from 0.
    pub fn from_bytes(bytes: &[u8]) -> Result<Transcript> {
        const WHAT: &str = "Transcript";
        let whole: Whole =
            serde_json::from_slice(bytes).map_err(|source| Error::Json { what: WHAT, source })?;
        let mut transcript = Transcript::new();
        for entry in &whole.entries {
            transcript.begin();
            canonical::write_value(&mut transcript.text, &entry.args);
            transcript.text.extend_from_slice(b",\"call\":");
            canonical::write_string(&mut transcript.text, &entry.call);
            // With the number that it says it has: whether that is right is asked below.
            transcript.end(&entry.result, entry.seq);
        }
        canonical::same(WHAT, &transcript.to_bytes(), bytes)?;
        for (i, entry) in whole.entries.iter().enumerate() {
            if usize::try_from(entry.seq) != Ok(i) {
                return Err(Error::Invalid {
                    what: "transcript",
                    detail: format!("entry {i} says it is number {}", entry.seq),
                });
            }
        }
        Ok(transcript)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entry_bytes().map(String::from_utf8_lossy);
        f.debug_list().entries(entries).finish()
    }
}

impl Entry {
    /// Reads one of [`Transcript::entry_bytes`].
    ///
    /// # Errors
    /// [`Error::Json`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Entry> {
        serde_json::from_slice(bytes).map_err(|source| Error::Json {
            what: "transcript entry",
            source,
        })
    }
}

/// A transcript with its entries taken apart.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
struct Whole {
    entries: Vec<Entry>,
}

/// Host calls are limited far below what 32 bits count.
fn number(seq: usize) -> u32 {
    u32::try_from(seq).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

//! The transcript: every host call of a guest, in order, hash-chained.
//!
//! `h_0 = SHA-256("fedseal-transcript-v1")`, `h_i = SHA-256(h_(i-1) || canonical(entry_i))`; the
//! root is the last `h`. Two executions are the same when their roots are.
//!
//! A guest may make a hundred thousand calls and must not wait for any of them to be written down. So
//! [`Transcript`] keeps of each call only what differs from call to call, in few bytes: canonical
//! JSON, names by index, numbers as they are. The whole entry is put together when it is hashed or
//! written, and taken apart when somebody reads it ([`Entry`]).

use std::fmt;
use std::ops::Range;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bounded::{self, Bounds};
use crate::digest::Digest;
use crate::{Error, Result, canonical};

/// The domain string that is hashed into `h_0`.
pub const DOMAIN: &[u8] = b"fedseal-transcript-v1";

/// Longer transcripts (bytes) are refused unread.
pub const MAX_BYTES: usize = 64 << 20;

/// Bounds on the arguments or the result of one call when they are read.
const VALUE: Bounds = Bounds {
    bytes: MAX_BYTES,
    structure: 32 << 20,
};

/// All host calls of one execution.
#[derive(Clone, Default)]
pub struct Transcript {
    calls: Vec<Packed>,
    /// Parts of calls that [`Packed`] does not hold: JSON, each after its length in eight bytes.
    json: Vec<u8>,
    /// The known names.
    names: Vec<&'static str>,
    /// The index of the name that came last.
    last: u8,
}

/// Fixed part of every call. Parts that are not in it follow in [`Transcript::json`]: the name, the
/// arguments, the result.
#[derive(Clone, Copy)]
struct Packed {
    /// Index in [`Transcript::names`].
    name: Option<u8>,
    /// Whether there are arguments.
    args: bool,
    /// Whether [`Packed::number`] is the result.
    counts: bool,
    number: u64,
}

/// One host call with all its parts.
struct Call<'a> {
    name: Name<'a>,
    /// JSON; empty when there are none.
    args: &'a [u8],
    result: Outcome<'a>,
}

enum Name<'a> {
    Known(&'static str),
    Json(&'a [u8]),
}

enum Outcome<'a> {
    Number(u64),
    Json(&'a [u8]),
}

impl Call<'_> {
    /// Writes the entry's canonical JSON: what is hashed.
    fn write(&self, out: &mut Vec<u8>, seq: usize) {
        out.extend_from_slice(b"{\"args\":");
        out.extend_from_slice(match self.args {
            [] => b"{}",
            args => args,
        });
        out.extend_from_slice(b",\"call\":");
        match self.name {
            Name::Known(name) => canonical::write_string(out, name),
            Name::Json(json) => out.extend_from_slice(json),
        }
        out.extend_from_slice(b",\"result\":");
        match self.result {
            Outcome::Number(number) => canonical::write_u64(out, number),
            Outcome::Json(json) => out.extend_from_slice(json),
        }
        out.extend_from_slice(b",\"seq\":");
        canonical::write_u64(out, number(seq).into());
        out.push(b'}');
    }
}

fn pack(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(&(json.len() as u64).to_le_bytes());
    out.extend_from_slice(json);
}

/// Takes what [`pack`] wrote from the front, and nothing where it wrote nothing.
fn unpack<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = rest.split_off(..8).and_then(|bytes| bytes.try_into().ok());
    let length = usize::try_from(length.map_or(0, u64::from_le_bytes));
    let json = length.ok().and_then(|length| rest.split_off(..length));
    json.unwrap_or_default()
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
    /// The object.
    json: Vec<u8>,
}

/// Bytes of an entry in addition to its packed parts, at most: the names of its four parts, a known
/// name (of 27 bytes or fewer), a number as the result, its own number.
const ENTRY_BYTES: u64 = 96;

/// Bytes that [`Args::clear`] keeps at most for the next call: one may have had a long list.
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
    #[inline]
    pub fn clear(&mut self) {
        if !self.fields.is_empty() {
            self.fields.clear();
            for buffer in [&mut self.text, &mut self.json] {
                buffer.clear();
                buffer.shrink_to(KEPT);
            }
        }
    }

    /// The canonical JSON object; empty when there are no arguments.
    fn json(&mut self) -> &[u8] {
        // ASCII sorts alike by bytes and by UTF-16 code units.
        self.fields.sort_unstable_by_key(|(name, _)| *name);
        self.json.clear();
        let mut before = None;
        for (name, range) in &self.fields {
            debug_assert!(plain(name) && before != Some(name), "argument {name:?}");
            let open: &[u8] = if before.is_some() { b",\"" } else { b"{\"" };
            self.json.extend_from_slice(open);
            self.json.extend_from_slice(name.as_bytes());
            self.json.extend_from_slice(b"\":");
            // `set` made the range, so it is always within the text.
            let value = self.text.get(range.clone()).unwrap_or_default();
            self.json.extend_from_slice(value);
            before = Some(name);
        }
        if before.is_some() {
            self.json.push(b'}');
        }
        &self.json
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
        let [mut name, mut given, mut outcome] = [const { Vec::new() }; 3];
        canonical::write_string(&mut name, call);
        canonical::write_value(&mut given, args);
        canonical::write_value(&mut outcome, result);
        self.add(&Call {
            name: Name::Json(&name),
            args: &given,
            result: Outcome::Json(&outcome),
        })
    }

    /// As [`Transcript::push`]; `call` is as plain as the names of [`Args::set`].
    pub fn push_call(&mut self, call: &'static str, args: &mut Args, result: &Value) -> u32 {
        let mut outcome = Vec::new();
        canonical::write_value(&mut outcome, result);
        self.add(&Call {
            name: Name::Known(call),
            args: args.json(),
            result: Outcome::Json(&outcome),
        })
    }

    /// As [`Transcript::push_call`] for a call that gives a number. Without arguments it takes a
    /// few nanoseconds.
    #[inline]
    pub fn push_number(&mut self, call: &'static str, args: &mut Args, result: u64) -> u32 {
        match self.known(call) {
            Some(index) if args.fields.is_empty() => self.count(Packed {
                name: Some(index),
                args: false,
                counts: true,
                number: result,
            }),
            _ => self.add(&Call {
                name: Name::Known(call),
                args: args.json(),
                result: Outcome::Number(result),
            }),
        }
    }

    fn add(&mut self, call: &Call<'_>) -> u32 {
        let name = match call.name {
            Name::Known(name) => {
                let index = self.known(name);
                if index.is_none() {
                    let mut json = Vec::new();
                    canonical::write_string(&mut json, name);
                    pack(&mut self.json, &json);
                }
                index
            }
            Name::Json(json) => {
                pack(&mut self.json, json);
                None
            }
        };
        let args = !call.args.is_empty();
        if args {
            pack(&mut self.json, call.args);
        }
        let (counts, number) = match call.result {
            Outcome::Number(number) => (true, number),
            Outcome::Json(json) => {
                pack(&mut self.json, json);
                (false, 0)
            }
        };
        self.count(Packed {
            name,
            args,
            counts,
            number,
        })
    }

    #[inline]
    fn count(&mut self, packed: Packed) -> u32 {
        let seq = number(self.calls.len());
        self.calls.push(packed);
        seq
    }

    /// The index of a name; none when there is no room for another one.
    #[inline]
    fn known(&mut self, call: &'static str) -> Option<u8> {
        match self.names.get(usize::from(self.last)) {
            Some(name) if std::ptr::eq(*name, call) => Some(self.last),
            _ => self.know(call),
        }
    }

    fn know(&mut self, call: &'static str) -> Option<u8> {
        let at = self.names.iter().position(|name| *name == call);
        let index = u8::try_from(at.unwrap_or(self.names.len())).ok()?;
        if at.is_none() {
            self.names.push(call);
        }
        self.last = index;
        Some(index)
    }

    /// Appends the calls of another transcript; they count on from the last one here.
    pub fn append(&mut self, other: &Transcript) {
        for call in other.calls() {
            self.add(&call);
        }
    }

    /// The calls in order.
    fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        let mut rest = self.json.as_slice();
        self.calls.iter().map(move |packed| Call {
            name: match packed.name.and_then(|i| self.names.get(usize::from(i))) {
                Some(name) => Name::Known(name),
                None => Name::Json(unpack(&mut rest)),
            },
            args: match packed.args {
                true => unpack(&mut rest),
                false => &[],
            },
            result: match packed.counts {
                true => Outcome::Number(packed.number),
                false => Outcome::Json(unpack(&mut rest)),
            },
        })
    }

    /// The entries, taken apart.
    ///
    /// # Errors
    /// [`Error::Json`], which no transcript of this type gives.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let read = |(seq, call): (usize, Call<'_>)| {
            let mut bytes = Vec::new();
            call.write(&mut bytes, seq);
            serde_json::from_slice(&bytes).map_err(|source| Error::Json {
                what: "transcript entry",
                source,
            })
        };
        self.calls().enumerate().map(read).collect()
    }

    /// The last hash of the chain; that of an empty transcript is `h_0`.
    pub fn root(&self) -> Digest {
        let mut bytes = Vec::new();
        let mut hash = Digest::of(DOMAIN);
        for (seq, call) in self.calls().enumerate() {
            bytes.clear();
            call.write(&mut bytes, seq);
            hash = Digest::of_parts(&[&hash.0, &bytes]);
        }
        hash
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Upper bound on the length of [`Transcript::to_bytes`], without making the bytes.
    #[inline]
    pub fn bytes_at_most(&self) -> u64 {
        // Packed parts appear once; names by index and numbers fit into an entry's bytes.
        16 + self.json.len() as u64 + ENTRY_BYTES * self.calls.len() as u64
    }

    /// The canonical JSON, as it is kept among the blobs.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.json.len() + 64 * self.calls.len());
        out.extend_from_slice(b"{\"entries\":[");
        for (seq, call) in self.calls().enumerate() {
            if seq > 0 {
                out.push(b',');
            }
            call.write(&mut out, seq);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Reads [`Transcript::to_bytes`] back.
    ///
    /// # Errors
    /// [`Error::Json`], also when the sequence numbers do not count from 0
    /// or an entry's values could take more than 32 MiB of memory; [`Error::NotCanonical`];
    /// [`Error::Invalid`] for more than [`MAX_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Transcript> {
        const WHAT: &str = "Transcript";
        if bytes.len() > MAX_BYTES {
            return Err(Error::Invalid {
                what: "transcript",
                detail: format!("longer than {MAX_BYTES} bytes"),
            });
        }
        let Whole {
            entries: transcript,
        } = serde_json::from_slice(bytes).map_err(|source| Error::Json { what: WHAT, source })?;
        canonical::same(WHAT, &transcript.to_bytes(), bytes)?;
        Ok(transcript)
    }
}

/// Equal when the entries are the same.
impl PartialEq for Transcript {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// A transcript's JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(deserialize_with = "packed")]
    entries: Transcript,
}

/// An entry whose values are still text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    seq: u32,
    call: String,
    #[serde(borrow)]
    args: &'a RawValue,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Packs entries as they come: taken apart, all of them would take many times their text.
fn packed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transcript, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Transcript;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the calls of a transcript")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Transcript, A::Error> {
            let value = |raw: &RawValue| -> Result<Value, A::Error> {
                bounded::from_slice("transcript entry", raw.get().as_bytes(), &VALUE)
                    .map_err(A::Error::custom)
            };
            let mut transcript = Transcript::new();
            while let Some(entry) = all.next_element::<Raw<'de>>()? {
                let (args, result) = (value(entry.args)?, value(entry.result)?);
                let seq = transcript.push(&entry.call, &args, &result);
                if seq != entry.seq {
                    return Err(A::Error::custom(format_args!(
                        "entry {seq} says it is number {}",
                        entry.seq
                    )));
                }
            }
            Ok(transcript)
        }
    }

    deserializer.deserialize_seq(Entries)
}

/// Sequence number of a call. Host calls are limited far below what 32 bits count.
#[inline]
fn number(seq: usize) -> u32 {
    u32::try_from(seq).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

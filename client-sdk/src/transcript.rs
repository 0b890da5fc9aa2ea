//! The transcript: every host call of a guest, in order, hash-chained.
//!
//! `h_0 = SHA-256("fedseal-transcript-v1")`, `h_i = SHA-256(h_(i-1) || canonical(entry_i))`; the
//! root is the last `h`. Two executions are the same when their roots are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::{Error, Result, canonical};

/// The domain string that is hashed into `h_0`.
pub const DOMAIN: &[u8] = b"fedseal-transcript-v1";

/// All host calls of one execution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The calls; `entries[i].seq == i`.
    pub entries: Vec<Entry>,
}

/// One host call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its position, from 0.
    pub seq: u32,
    /// The function's name in the WIT world, for example `train`.
    pub call: Cow<'static, str>,
    /// Its arguments; large data by digest.
    pub args: Value,
    /// Its result, or `{"error": ...}`.
    pub result: Value,
}

impl Transcript {
    /// An empty transcript.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a call and returns its sequence number.
    pub fn push(&mut self, call: impl Into<Cow<'static, str>>, args: Value, result: Value) -> u32 {
        let seq = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry {
            seq,
            call: call.into(),
            args,
            result,
        });
        seq
    }

    /// The last hash of the chain; that of an empty transcript is `h_0`.
    pub fn root(&self) -> Digest {
        let mut hash = Digest::of(DOMAIN);
        let mut bytes = Vec::new();
        for entry in &self.entries {
            bytes.clear();
            entry.write(&mut bytes);
            hash = Digest::of_parts(&[&hash.0, &bytes]);
        }
        hash
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The canonical JSON, as it is kept among the blobs.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"{\"entries\":[".to_vec();
        for (i, entry) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            entry.write(&mut out);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Reads [`Transcript::to_bytes`] back.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::NotCanonical`]; [`Error::Invalid`] when the sequence numbers do
    /// not count from 0.
    pub fn from_bytes(bytes: &[u8]) -> Result<Transcript> {
        let transcript: Transcript = canonical::from_slice(bytes)?;
        for (i, entry) in transcript.entries.iter().enumerate() {
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

impl Entry {
    /// Canonical form, key by key, so that it cannot fail; a test holds it against
    /// `canonical::to_vec`.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"args\":");
        canonical::write_value(out, &self.args);
        out.extend_from_slice(b",\"call\":");
        canonical::write_string(out, &self.call);
        out.extend_from_slice(b",\"result\":");
        canonical::write_value(out, &self.result);
        out.extend_from_slice(b",\"seq\":");
        out.extend_from_slice(self.seq.to_string().as_bytes());
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Transcript {
        let mut t = Transcript::new();
        t.push("shard", json!({}), json!({"handle": 1}));
        t.push(
            "train",
            json!({"learning-rate": 0.001, "steps": 4}),
            json!({"handle": 2, "é\n": null}),
        );
        t
    }

    #[test]
    fn chain_by_hand() {
        let h0 = Digest::of(b"fedseal-transcript-v1");
        assert_eq!(Transcript::new().root(), h0);
        let mut t = Transcript::new();
        assert_eq!(t.push("shard", json!({}), json!({"handle": 1})), 0);
        let entry = br#"{"args":{},"call":"shard","result":{"handle":1},"seq":0}"#;
        assert_eq!(t.root(), Digest::of(&[h0.0.as_slice(), entry].concat()));
    }

    #[test]
    fn bytes_round_trip_and_are_canonical() {
        let t = sample();
        let bytes = t.to_bytes();
        assert_eq!(bytes, canonical::to_vec(&t).unwrap());
        assert_eq!(Transcript::from_bytes(&bytes).unwrap(), t);
        assert_eq!(
            Transcript::from_bytes(&Transcript::new().to_bytes())
                .unwrap()
                .len(),
            0
        );
    }

    #[test]
    fn order_and_content_change_the_root() {
        let t = sample();
        let mut swapped = t.clone();
        swapped.entries.swap(0, 1);
        assert_ne!(swapped.root(), t.root());
        let mut shorter = t.clone();
        shorter.entries.pop();
        assert_ne!(shorter.root(), t.root());
        let mut renumbered = t.clone();
        renumbered.entries[1].seq = 2;
        assert!(Transcript::from_bytes(&canonical::to_vec(&renumbered).unwrap()).is_err());
    }
}

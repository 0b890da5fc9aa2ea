//! Requests and answers between this program and `fedseal-engines`, over its standard input and output. A frame is
//! two lengths (u32, little-endian), JSON, and bytes: digests and names in the one, bodies and blobs in the other.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};

use fedseal_client_sdk::digest::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::queue::{Lease, Taken};
use crate::records::{Row, Table};

/// Version of the protocol; both programs are built together, and say so first.
pub const VERSION: u32 = 2;
/// Longest JSON of a frame, bytes.
const MAX_JSON: usize = 64 << 20;
/// Longest bytes of a frame: a result.
const MAX_BYTES: usize = 2 << 30;

/// A request, with its number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Number that the answer has too.
    pub number: u64,
    /// The request; its bytes follow.
    pub request: Request,
}

/// A request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// First of all: connect.
    Open {
        /// [`VERSION`].
        version: u32,
    },
    /// [`Queue::offer`](crate::queue::Queue::offer); the bytes are the body.
    Offer {
        /// The job.
        job: Digest,
    },
    /// [`Queue::take`](crate::queue::Queue::take).
    Take {
        /// Longest wait, seconds.
        within: f64,
    },
    /// [`Queue::settle`](crate::queue::Queue::settle).
    Settle {
        /// The lease.
        lease: String,
        /// The act.
        act: Lease,
    },
    /// [`Queue::outstanding`](crate::queue::Queue::outstanding).
    Outstanding,
    /// [`Store::put`](crate::store::Store::put); the bytes are the blob.
    Put,
    /// [`Store::get`](crate::store::Store::get).
    Get {
        /// The blob.
        digest: Digest,
    },
    /// [`Store::claim`](crate::store::Store::claim); the bytes are the value.
    Claim {
        /// The claim.
        name: String,
    },
    /// [`Store::claimed`](crate::store::Store::claimed).
    Claimed {
        /// The claim.
        name: String,
    },
    /// [`Records::ready`](crate::records::Records::ready).
    Ready,
    /// [`Records::add`](crate::records::Records::add).
    Add {
        /// The table.
        table: Table,
        /// The row.
        row: Row,
    },
    /// [`Records::append`](crate::records::Records::append).
    Append {
        /// Envelope of the decision before it.
        previous: Option<String>,
        /// The row.
        row: Row,
    },
    /// [`Records::newest`](crate::records::Records::newest).
    Newest {
        /// The table.
        table: Table,
        /// The key, where one is asked for.
        key: Option<String>,
    },
    /// [`Records::all`](crate::records::Records::all).
    All {
        /// The table.
        table: Table,
    },
}

/// An answer, with its request's number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The request's number.
    pub number: u64,
    /// The answer; its bytes follow.
    pub answer: Answer,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done; the digest of what was kept.
    Kept(Digest),
    /// There is nothing of that kind.
    Nothing,
    /// The bytes are it.
    Bytes,
    /// A job; the bytes are its body.
    Taken(Taken),
    /// Jobs.
    Jobs(BTreeSet<Digest>),
    /// It is answered; whether a row was added.
    Added(bool),
    /// Rows of a table.
    Rows(Vec<Row>),
    /// It failed.
    Failed {
        /// Which variant of [`Error`](crate::Error).
        kind: Failed,
        /// The engine.
        engine: String,
        /// Its words.
        detail: String,
    },
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failed {
    /// [`Error::Unreachable`](crate::Error::Unreachable).
    Unreachable,
    /// [`Error::Unfit`](crate::Error::Unfit).
    Unfit,
    /// Everything else.
    Refused,
}

/// Writes a frame.
///
/// # Errors
/// The other side is gone; [`ErrorKind::InvalidInput`] for a frame longer than may be, of which nothing is written.
pub fn write(to: &mut impl Write, head: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let json = serde_json::to_vec(head)?;
    let length = |length: usize, most: usize| match u32::try_from(length) {
        Ok(short) if length <= most => Ok(short.to_le_bytes()),
        _ => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("{length} bytes do not fit into a frame"),
        )),
    };
    // Both before the first byte: a beginning without its rest would be the next frame's.
    let lengths = [
        length(json.len(), MAX_JSON)?,
        length(bytes.len(), MAX_BYTES)?,
    ];
    to.write_all(lengths.as_flattened())?;
    to.write_all(&json)?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads a frame; none at the end of the stream.
///
/// # Errors
/// A stream that ends within a frame, or holds something else.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match from.read_exact(&mut lengths[..1]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    from.read_exact(&mut lengths[1..])?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let json = u32::from_le_bytes([a, b, c, d]) as usize;
    let bytes = u32::from_le_bytes([e, f, g, h]) as usize;
    if json > MAX_JSON || bytes > MAX_BYTES {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {json} and {bytes} bytes"),
        ));
    }
    let head: T = serde_json::from_slice(&received(from, json)?)?;
    Ok(Some((head, received(from, bytes)?)))
}

/// Reads so many bytes; memory grows with what comes.
fn received(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let got = from.take(length as u64).read_to_end(&mut all)?;
    match got == length {
        true => Ok(all),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_a_torn_one_is_an_error() {
        let job = Digest::of(b"job");
        let asked = Asked {
            number: 7,
            request: Request::Offer { job },
        };
        let mut stream = Vec::new();
        write(&mut stream, &asked, b"body").unwrap();
        let (read_back, bytes): (Asked, Vec<u8>) = read(&mut &stream[..]).unwrap().unwrap();
        assert_eq!((read_back.number, &bytes[..]), (7, &b"body"[..]));
        assert!(matches!(read_back.request, Request::Offer { job: it } if it == job));
        assert!(read::<Asked>(&mut &b""[..]).unwrap().is_none());
        for cut in 1..stream.len() {
            assert!(read::<Asked>(&mut &stream[..cut]).is_err(), "{cut}");
        }
        // Zeros that nobody touches take no memory.
        let long = vec![0; MAX_BYTES + 1];
        let mut none = Vec::new();
        let refused = write(&mut none, &asked, &long).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(none.is_empty(), "half a frame");
        let huge = [0xff; 8];
        assert!(read::<Asked>(&mut &huge[..]).is_err());
    }
}

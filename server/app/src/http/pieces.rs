//! A part of a blob as an answer: read a piece at a time as the client takes it, so that a large blob that goes to
//! many is in memory nowhere.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fedseal_ledger::OpenBlob;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::ranges::Part;

/// Bytes that are read at once.
const PIECE: u64 = 256 << 10;

/// The bytes of a part that are not read yet, and the piece that is being read.
pub(super) struct Pieces {
    blob: Arc<OpenBlob>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Pieces {
    /// So many bytes of a blob from an offset on.
    pub(super) fn new(blob: Arc<OpenBlob>, (first, count): Part) -> Pieces {
        Pieces {
            blob,
            at: first,
            left: count,
            reading: None,
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let (blob, at, count) = (&this.blob, this.at, this.left.min(PIECE));
        let reading = this.reading.get_or_insert_with(|| {
            let blob = blob.clone();
            spawn_blocking(move || blob.read(at, count))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        this.reading = None;
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let read = read.and_then(|bytes| match bytes.is_empty() {
            // The whole is as long as was said, or the answer breaks off.
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(bytes),
        });
        Poll::Ready(Some(read.map(|bytes| {
            this.at += bytes.len() as u64;
            this.left -= bytes.len() as u64;
            Frame::data(Bytes::from(bytes))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

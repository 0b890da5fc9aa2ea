//! How long a client may keep the server waiting, in both directions: taking an answer, sending a
//! body.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::metrics::BYTES;

/// Time in which no byte may move. Waiting uses it up, and each byte that moves gives some of it back:
/// a client that moves less than `rate` bytes a second runs out of it, however evenly it moves.
#[derive(Debug)]
pub(super) struct Patience {
    whole: Duration,
    rate: u64,
    left: Duration,
    /// Start of the time in which nothing moves, and the timer of its end.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    /// Patience of `whole` in all, given back at `rate` bytes a second.
    pub(super) fn new(whole: Duration, rate: u64) -> Patience {
        Patience {
            whole,
            rate: rate.max(1),
            left: whole,
            waiting: None,
        }
    }

    /// So many bytes have moved.
    fn moved(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.left = self.left.saturating_add(earned).min(self.whole);
    }

    /// Polls while nothing moves: ready, with an error, after too long a time.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let left = self.left;
        let (_, timer) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Error::new(
            ErrorKind::TimedOut,
            format!("less than {} bytes a second moved", self.rate),
        ))
    }

    /// Counts what an attempt to write came to.
    fn watch(&mut self, cx: &mut Context<'_>, wrote: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match wrote {
            Poll::Ready(Ok(bytes)) => {
                BYTES[1].add(bytes as u64);
                self.moved(bytes);
                wrote
            }
            Poll::Ready(Err(_)) => wrote,
            Poll::Pending => self.waits(cx).map(Err),
        }
    }
}

/// A connection that fails when its other side does not take the written bytes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    patience: Patience,
}

impl<S> Watched<S> {
    /// Watches a connection.
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Watched { stream, patience }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        // A client may be silent while it waits for an answer; a head or a body that is due has a
        // deadline of its own.
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        BYTES[0].add((into.filled().len() - before) as u64);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, from);
        self.patience.watch(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.patience.watch(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request's body that fails when the client does not send it. Its error is [`Error`] of the kind
/// [`ErrorKind::TimedOut`].
#[derive(Debug)]
pub(super) struct Timed<B> {
    body: B,
    patience: Patience,
}

impl<B> Timed<B> {
    /// Watches a body.
    pub(super) fn new(body: B, patience: Patience) -> Self {
        Timed { body, patience }
    }
}

impl<B> Body for Timed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.moved(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::other(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.patience.waits(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const WHOLE: Duration = Duration::from_secs(1);

    /// Writes 64 KiB through a buffer of 1 KiB to a reader that takes `bytes` every `pause`.
    async fn written(bytes: usize, pause: Duration) -> Result<()> {
        let (near, mut far) = duplex(1 << 10);
        let reading = tokio::spawn(async move {
            let mut piece = vec![0; bytes];
            while far.read(&mut piece).await.is_ok_and(|n| n > 0) {
                tokio::time::sleep(pause).await;
            }
        });
        let mut near = Watched::new(near, Patience::new(WHOLE, 100_000));
        let done = near.write_all(&[7; 64 << 10]).await;
        reading.abort();
        done
    }

    #[tokio::test]
    async fn who_takes_nothing_or_little_is_cut_off() {
        written(1 << 10, Duration::ZERO).await.unwrap();
        // One stops reading; one reads on, far below the least rate.
        for (bytes, pause) in [
            (1 << 10, Duration::from_secs(60)),
            (1, Duration::from_millis(20)),
        ] {
            let done = tokio::time::timeout(Duration::from_secs(30), written(bytes, pause));
            let error = done.await.expect("it is over by itself").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn patience_comes_back_with_what_moves() {
        let mut patience = Patience::new(WHOLE, 1000);
        patience.left = Duration::ZERO;
        patience.moved(100);
        assert_eq!(patience.left, Duration::from_millis(100));
        patience.moved(100_000);
        assert_eq!(patience.left, WHOLE);
        let waited = std::future::poll_fn(|cx| patience.waits(cx)).await;
        assert_eq!(waited.kind(), ErrorKind::TimedOut);
        patience.moved(0);
        assert_eq!(patience.left, Duration::ZERO, "it was used up");
    }
}

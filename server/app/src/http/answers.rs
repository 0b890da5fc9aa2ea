//! Bounds on large answers, which are in memory until their clients have taken them: on their bytes at
//! once, and on the number of answers that are being made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use tokio::sync::Semaphore;

use super::listen::Limits;
use super::refusal::Refusal;
use super::shares::{Peer, Share, Shares};

/// Smaller answers (bytes) are not counted: all connections together have few such bytes.
const SMALL: u64 = 64 << 10;

/// The bytes of answers, and the places to make them.
#[derive(Clone)]
pub(super) struct Answers {
    bytes: Arc<Shares>,
    making: Arc<Semaphore>,
}

impl Answers {
    /// Within a server's limits.
    pub(super) fn new(limits: &Limits) -> Answers {
        Answers {
            bytes: Shares::new(limits.answer_bytes, limits.answer_bytes_of_address),
            making: Arc::new(Semaphore::new(limits.making)),
        }
    }
}

/// Answers a request within the bounds. A request with a body has bounds of its own: its client may be
/// slow, and must not hold one of these places meanwhile.
pub(super) async fn bounded(
    State(answers): State<Answers>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let response = {
        // The semaphore is never closed.
        let _place = match reads {
            true => answers.making.acquire().await.ok(),
            false => None,
        };
        next.run(request).await
    };
    let size = response.body().size_hint().exact().unwrap_or(0);
    let (Some(peer), true) = (peer, size > SMALL) else {
        return response;
    };
    // An answer larger than a client's share takes the whole share.
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let Some(share) = answers.bytes.take(peer, size.min(answers.bytes.each())) else {
        return Refusal::busy("other large answers are still being taken").into_response();
    };
    response.map(|body| {
        Body::new(Held {
            body,
            share: Arc::new(share),
        })
    })
}

/// A body whose bytes hold a share for as long as anybody holds them: they wait to be written after
/// the body itself is gone.
struct Held {
    body: Body,
    share: Arc<Share>,
}

struct HeldBytes {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let share = &self.share;
        frame.map_ok(|frame| {
            frame.map_data(|bytes| {
                Bytes::from_owner(HeldBytes {
                    bytes,
                    _share: share.clone(),
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

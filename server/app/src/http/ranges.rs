//! Range requests (RFC 9110, section 14): a download that broke off goes on where it stopped.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Bytes, Frame};

use super::refusal::Refusal;

/// A part of an answer: its first byte, and how many.
pub(super) type Part = (u64, u64);

/// Sends the part of an answer that a client asks for. Several parts at once are not: then the whole is sent.
pub(super) async fn partial(request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let length = length(&response);
    let (StatusCode::OK, Some(length)) = (response.status(), length) else {
        return response;
    };
    part(response, asked, length, &path, |body, (first, count)| {
        Body::new(Cut {
            body,
            skip: first,
            left: count,
        })
    })
}

/// The part that was asked for of a whole answer of so many bytes; `cut` takes it out of the body.
pub(super) fn part(
    mut response: Response,
    asked: Option<Asked>,
    length: u64,
    path: &str,
    cut: impl FnOnce(Body, Part) -> Body,
) -> Response {
    let bytes = HeaderValue::from_static("bytes");
    response.headers_mut().insert(header::ACCEPT_RANGES, bytes);
    let Some(asked) = asked.filter(|asked| asked.holds(response.headers())) else {
        return response;
    };
    let Some((first, count)) = asked.range.within(length) else {
        let refusal = Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "The answer has no such part.",
            path,
            format!("It has {length} bytes."),
        );
        let whole = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
        return (whole, refusal).into_response();
    };
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    let last = first + count - 1;
    if let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{last}/{length}")) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    response.map(|body| cut(body, (first, count)))
}

/// Bytes of a whole answer, where that is known before they are sent.
pub(super) fn length(response: &Response) -> Option<u64> {
    let said = response.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
    said.or_else(|| response.body().size_hint().exact())
}

/// A request for a part.
pub(super) struct Asked {
    range: Range,
    /// The tag that the whole must have.
    tag: Option<HeaderValue>,
}

impl Asked {
    /// The part that a request asks for, where it does.
    pub(super) fn of(request: &Request) -> Option<Asked> {
        let headers = request.headers();
        let range = headers.get(header::RANGE)?.to_str().ok()?;
        let range = Range::parse(range).filter(|_| *request.method() == Method::GET)?;
        Some(Asked {
            range,
            tag: headers.get(header::IF_RANGE).cloned(),
        })
    }

    /// Whether the whole is still the one of which the client has a part. Tags are compared strongly: a weak
    /// one, or a date, holds for nothing.
    fn holds(&self, headers: &HeaderMap) -> bool {
        match &self.tag {
            None => true,
            Some(tag) => {
                tag.as_bytes().starts_with(b"\"") && headers.get(header::ETAG) == Some(tag)
            }
        }
    }
}

/// One range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// From a byte on, up to another one where that is said.
    From(u64, Option<u64>),
    /// So many last bytes.
    Last(u64),
}

impl Range {
    /// The range of a header; none where it has several, or something else.
    fn parse(text: &str) -> Option<Range> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        match (first, last) {
            ("", last) => number(last).map(Range::Last),
            (first, "") => Some(Range::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Range::From(first, Some(last)))
            }
        }
    }

    /// The part of so many bytes; none where nothing of it is there.
    fn within(self, length: u64) -> Option<Part> {
        let (first, end) = match self {
            Range::From(first, last) => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                (first, end)
            }
            Range::Last(count) => (length.saturating_sub(count), length),
        };
        (first < end).then(|| (first, end - first))
    }
}

/// A part of a body.
struct Cut {
    body: Body,
    skip: u64,
    left: u64,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        while this.left > 0 {
            let mut frame = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                other => return other,
            };
            let skipped = this.skip.min(frame.len() as u64);
            this.skip -= skipped;
            // Both are at most the length of what is in memory.
            let mut data = frame.split_off(skipped as usize);
            data.truncate(this.left.min(data.len() as u64) as usize);
            if !data.is_empty() {
                this.left -= data.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts_of_the_whole_or_none() {
        for (text, length, part) in [
            ("bytes=0-4", 10, Some((0, 5))),
            ("bytes=4-", 10, Some((4, 6))),
            ("bytes=-3", 10, Some((7, 3))),
            ("bytes=-30", 10, Some((0, 10))),
            ("bytes=9-99", 10, Some((9, 1))),
            ("bytes=0-18446744073709551615", 10, Some((0, 10))),
            ("bytes=10-", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
        ] {
            assert_eq!(Range::parse(text).unwrap().within(length), part, "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=3-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-18446744073709551616",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}

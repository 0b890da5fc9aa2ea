//! How answers travel: with entity tags, so that what a client has is not sent again (RFC 9110, section
//! 13), and compressed where the client takes gzip.

use std::io::Write as _;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fedseal_client_sdk::digest::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body as _, Bytes, Frame};

use super::ranges::length;
use super::refusal::Refusal;

/// Answers of at most so many bytes get a tag of their bytes; larger ones have one from their handler, or none.
const TAGGED: usize = 1 << 20;
/// Answers of fewer bytes are sent as they are: gzip would save no packet.
const WORTH: u64 = 1 << 10;
/// Bytes that are compressed before others get their turn.
const PIECE: usize = 64 << 10;

/// The tag of bytes: half of their SHA-256.
pub(super) fn tag(bytes: &[u8]) -> HeaderValue {
    let digest = Digest::of(bytes).to_string();
    let half = digest.get(..32).unwrap_or_default();
    HeaderValue::from_str(&format!("\"{half}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Answers with 304 where the client has what would be sent. What has a tag may be kept by a browser, which
/// asks again each time.
pub(super) async fn conditional(request: Request, next: Next) -> Response {
    let get = request.method() == Method::GET;
    let reads = get || request.method() == Method::HEAD;
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    let known: Vec<HeaderValue> = known.iter().cloned().collect();
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return response;
    }
    let mut response = match response.headers().contains_key(header::ETAG) {
        false if get => tagged(response).await,
        _ => response,
    };
    let Some(tag) = response.headers().get(header::ETAG).cloned() else {
        return response;
    };
    let keep = HeaderValue::from_static("no-cache");
    let keep = response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(keep)
        .clone();
    if !has(&known, &tag) {
        return response;
    }
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, keep)];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

/// Whether a client has it: tags are compared weakly, so that one of a compressed answer counts.
fn has(known: &[HeaderValue], tag: &HeaderValue) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tag = plain(tag.to_str().unwrap_or_default());
    let lists = known.iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .any(|one| one.trim() == "*" || plain(one) == tag)
}

/// With the tag of its bytes, where they are in memory and few.
async fn tagged(response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if size.is_none_or(|size| size > TAGGED as u64) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    match to_bytes(body, TAGGED).await {
        Ok(bytes) => {
            parts.headers.insert(header::ETAG, tag(&bytes));
            Response::from_parts(parts, Body::from(bytes))
        }
        Err(error) => Refusal::broken("an answer", error).into_response(),
    }
}

/// Compresses answers for clients that take gzip.
pub(super) async fn compressed(request: Request, next: Next) -> Response {
    let wanted = request.method() == Method::GET && takes_gzip(request.headers());
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let size = length(&response).unwrap_or(0);
    if !is_text(kind) || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !wanted || size < WORTH || response.status() != StatusCode::OK {
        return response;
    }
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // Other bytes with the same meaning.
    if let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{}", tag.trim_start_matches("W/")))
    {
        headers.insert(header::ETAG, weak);
    }
    response.map(|body| {
        Body::new(Gzip {
            body,
            left: Bytes::new(),
            encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
        })
    })
}

/// Whether an Accept-Encoding has gzip with a weight above 0 (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Media types that become smaller. A live feed is none: its events must not wait for each other.
fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let others = [
        "application/json",
        "image/svg+xml",
        "application/wasm",
        "application/problem+json",
    ];
    kind != "text/event-stream" && (kind.starts_with("text/") || others.contains(&kind))
}

/// A body, compressed piece by piece while it is taken.
struct Gzip {
    body: Body,
    /// Bytes of the body that are not compressed yet.
    left: Bytes,
    /// None at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl hyper::body::Body for Gzip {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(None);
            };
            if this.left.is_empty() {
                match Pin::new(&mut this.body).poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(frame))) => {
                        this.left = frame.into_data().unwrap_or_default()
                    }
                    Poll::Ready(Some(Err(error))) => {
                        this.encoder = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(None) => {
                        let end = this.encoder.take().map(GzEncoder::finish);
                        let end = end.transpose().map_err(axum::Error::new);
                        return Poll::Ready(Some(
                            end.map(|end| Frame::data(end.unwrap_or_default().into())),
                        ));
                    }
                }
                continue;
            }
            let piece = this.left.split_to(this.left.len().min(PIECE));
            if let Err(error) = encoder.write_all(&piece) {
                this.encoder = None;
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
            let out = mem::take(encoder.get_mut());
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_have_weights() {
        let takes = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_gzip(&headers)
        };
        for value in ["gzip", "br, GZIP;q=0.1", "deflate, gzip; q=1.0"] {
            assert!(takes(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "gzip;q=x", "gzipped"] {
            assert!(!takes(value), "{value}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        let values = |list: &'static str| [HeaderValue::from_static(list)];
        let tag = HeaderValue::from_static("\"a\"");
        for list in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(has(&values(list), &tag), "{list}");
        }
        for list in ["", "\"b\"", "a"] {
            assert!(!has(&values(list), &tag), "{list}");
        }
    }
}

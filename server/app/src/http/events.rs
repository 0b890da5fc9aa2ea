//! The live feed of a run as server-sent events: the lines of its events.jsonl as they come.
//!
//! The file is followed, not the process that writes it: a run may be worked on by another process
//! than this one, or be over.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Parameters, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fedseal_record::rundir::RunDir;
use schemars::{Schema, SchemaGenerator, json_schema};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Server;
use super::openapi::{self, Operation, Parameter};
use super::refusal::{Answer, Refusal, blocking};
use super::shares::Peer;
use super::tail::{Lines, Look, Tails};

/// So many bytes of the past are sent at first.
const PAST: u64 = 2048;
/// Time without an event after which a line is sent that says nothing, so that nobody on the way gives up.
const QUIET: Duration = Duration::from_secs(15);

/// [`feed`], described.
pub(super) static FEED: Operation = Operation {
    id: "followRun",
    method: Method::GET,
    path: "/api/runs/{run}/events",
    summary: "The live feed of a run, until it is over.",
    query: &[Parameter {
        name: "from",
        kind: "integer",
        meaning: "The place to go on from, where `Last-Event-ID` does not say it: a browser sends that header only \
                  where it connects again by itself.",
    }],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "Server-sent events: the data of each is an event, its id the place of the next one, from which \
               `Last-Event-ID` goes on. One of type `stopped` says that nobody works on the run any more, one of \
               type `end` comes last.",
        media: &["text/event-stream"],
        schema: sent,
    },
    refusals: &[400, 404, 500, 503],
};

/// Schema of what is sent for an event. Its data is text: an event as JSON, or nothing in one that has a type.
fn sent(generator: &mut SchemaGenerator) -> Schema {
    let event = generator.subschema_for::<fedseal_record::events::Event>();
    json_schema!({
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"anyOf": [event, {"type": "object", "maxProperties": 0}]},
            },
        },
        "required": ["data"],
    })
}

/// The place to go on from.
#[derive(serde::Deserialize)]
pub(super) struct Since {
    from: Option<u64>,
}

/// `GET /api/runs/{run}/events`
pub(super) async fn feed(
    State(shared): Server,
    Extension(peer): Extension<Peer>,
    Parameters(run): Parameters<String>,
    Query(asked): Query<Since>,
    headers: HeaderMap,
) -> Answer<Response> {
    let runs = shared.runs.clone();
    let tails = shared.tails.clone();
    let dir = blocking(move || runs.folder(&run)).await?;
    let share = shared
        .feeds
        .take(peer, 1)
        .ok_or_else(|| Refusal::busy("too many live feeds are open"))?;
    let from = headers.get("last-event-id");
    let from = from.and_then(|place| place.to_str().ok()?.parse().ok());
    let from = from.or(asked.from);
    // A client that does not read keeps one look waiting, not many.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        // An error says that nobody listens any more.
        let _ = watch(&RunDir::new(&dir), &tails, &sender, from).await;
        drop(share);
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok((headers, body).into_response())
}

/// The way to a client.
type Sender = mpsc::Sender<Result<Bytes, Infallible>>;
/// Nobody listens any more.
type Gone = mpsc::error::SendError<Result<Bytes, Infallible>>;

/// Sends events until the run is over or nobody listens: from a place of the file on, where the client has one,
/// else the last ones of the past.
async fn watch(
    run: &RunDir,
    tails: &Tails,
    sender: &Sender,
    from: Option<u64>,
) -> Result<(), Gone> {
    let length = tokio::fs::metadata(run.events()).await;
    let length = length.map_or(0, |meta| meta.len());
    let from = from.filter(|from| *from <= length);
    let mut place = from.unwrap_or(0);
    let mut lines = match from {
        // A start in the middle of a line is no line, wherever the client has its place from.
        Some(from) => Lines::from(from.saturating_sub(1), from > 0),
        None => Lines::from(length.saturating_sub(PAST), length > PAST),
    };
    loop {
        let mut watched = tails.watch(run).await;
        while place < watched.place {
            let mut found = lines.new_ones(&run.root).await;
            // What is behind comes with the looks.
            found.retain(|(at, _)| *at <= watched.place);
            let Some((last, _)) = found.last() else {
                break;
            };
            place = *last;
            let (text, _) = Look::new(&found, false, false).behind(0);
            sender.send(Ok(text)).await?;
        }
        place = place.max(watched.place);
        loop {
            let look = tokio::select! {
                look = watched.looks.recv() => look,
                () = sender.closed() => return Ok(()),
                () = tokio::time::sleep(QUIET) => {
                    sender.send(Ok(Bytes::from_static(b":\n\n"))).await?;
                    continue;
                }
            };
            match look {
                Ok(look) => {
                    let (text, last) = look.behind(place);
                    place = last;
                    if !text.is_empty() {
                        sender.send(Ok(text)).await?;
                    }
                    if look.over {
                        return Ok(());
                    }
                }
                // Too slow: the file has what was missed.
                Err(RecvError::Lagged(_)) => {
                    lines = Lines::from(place, false);
                    break;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
}

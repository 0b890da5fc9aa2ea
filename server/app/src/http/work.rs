//! The interface of a run that lends its jobs, `fedseal run --lend ADDR`: a server of its own. Every request is
//! signed by a worker whose key the run was told.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::{Known, Role};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_federation::runner::Exchange;
use fedseal_federation::work::board::Delivered;
use fedseal_federation::work::task::Task;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use super::Limits;
use super::refusal::{Answer, Refusal, blocking, digest};
use super::signed::{self, Signatures};
use super::tls::Tls;
use super::watched;

/// Where the interface is, with its version.
pub(crate) const PREFIX: &str = "/work/v1";
/// How long a worker waits for a task in one request.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// The largest result, bytes.
pub(crate) const RESULT_LIMIT: usize = 2 << 30;
/// The largest other body, bytes.
const SMALL: usize = 64 << 10;

/// A lent task as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lent {
    pub(crate) id: Digest,
    pub(crate) task: Task,
    /// Seconds for which it is lent.
    pub(crate) lease: f64,
}

/// A task that comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Back {
    /// Why it could not be done; null where the worker stops.
    pub(crate) failure: Option<String>,
}

struct Work {
    exchange: Arc<Exchange>,
    signatures: Signatures,
    workers: Vec<PublicKey>,
}

type Server = State<Arc<Work>>;

/// Serves a run's jobs to the workers with these keys until `stop` is ready.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    exchange: Arc<Exchange>,
    workers: Vec<PublicKey>,
    names: &[String],
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let work = Work {
        exchange,
        signatures: Signatures::new(names, true, limits.requests_of_key),
        workers,
    };
    // Whole paths: a nested router sees less than what was signed.
    let at = |path: &str| format!("{PREFIX}{path}");
    let router = Router::new()
        .route(&at("/take"), post(take))
        .route(&at("/blobs/{digest}"), get(blob))
        .route(&at("/tasks/{id}/renew"), post(renew))
        .route(&at("/tasks/{id}/give-back"), post(give_back))
        .route(&at("/tasks/{id}/result"), put(result))
        .with_state(Arc::new(work))
        .layer(middleware::from_fn(watched::counted));
    super::listen::serve(listener, tls, router, limits, stop).await;
}

/// Checks who sent a request, then receives its body of at most `most` bytes, as it was signed.
async fn received(
    work: &Work,
    request: Request,
    body: bool,
    most: usize,
) -> Answer<(String, Vec<u8>)> {
    let (head, rest) = request.into_parts();
    let known = |keyid: &str| {
        let mut keys = work.workers.iter();
        let key = *keys.find(|key| key.to_string() == keyid)?;
        Some(Known {
            key,
            roles: vec![Role::Worker],
        })
    };
    let signed = work
        .signatures
        .check(&head, body, &known)?
        .ok_or_else(|| Refusal::busy("signatures"))?;
    let bytes = signed::body(&signed, rest, most, |_| true).await?;
    Ok((signed.keyid, bytes))
}

/// `POST /work/v1/take`: 200 with a task, or 204 after a while.
async fn take(State(work): Server, request: Request) -> Answer<Response> {
    let (worker, _) = received(&work, request, true, SMALL).await?;
    blocking(move || {
        Ok(match work.exchange.take(&worker, WAIT) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(offer) => Json(Lent {
                id: offer.id,
                task: offer.task,
                lease: offer.lease.as_secs_f64(),
            })
            .into_response(),
        })
    })
    .await
}

/// `GET /work/v1/blobs/{digest}`: a blob of the run, whole.
async fn blob(
    State(work): Server,
    Path(named): Path<String>,
    request: Request,
) -> Answer<Response> {
    received(&work, request, false, 0).await?;
    let digest = digest(&named)?;
    blocking(move || {
        let bytes = work
            .exchange
            .blob(&digest)
            .map_err(|_| Refusal::missing("blob", digest.to_string()))?;
        Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
    })
    .await
}

/// `POST /work/v1/tasks/{id}/renew`: whether the worker still has the task.
async fn renew(State(work): Server, Path(id): Path<String>, request: Request) -> Answer<Response> {
    let (worker, _) = received(&work, request, true, SMALL).await?;
    let held = work.exchange.renew(&worker, &digest(&id)?);
    Ok(Json(json!({ "held": held })).into_response())
}

/// `POST /work/v1/tasks/{id}/give-back`
async fn give_back(
    State(work): Server,
    Path(id): Path<String>,
    request: Request,
) -> Answer<Response> {
    let (worker, body) = received(&work, request, true, SMALL).await?;
    let id = digest(&id)?;
    let back: Back = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "The body is not that of a task that comes back.",
            error.to_string(),
            "Send {\"failure\": why, or null}.",
        )
    })?;
    blocking(move || {
        let failure = back.failure.as_deref();
        work.exchange.give_back(&worker, &id, failure);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `PUT /work/v1/tasks/{id}/result`
async fn result(State(work): Server, Path(id): Path<String>, request: Request) -> Answer<Response> {
    let id = digest(&id)?;
    let (worker, body) = received(&work, request, true, RESULT_LIMIT).await?;
    blocking(move || {
        let delivered = work.exchange.done(&worker, &id, &body).map_err(|error| {
            Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The result is not the task's.",
                error.to_string(),
                "Run the same version of fedseal on both machines.",
            )
        })?;
        match delivered {
            Delivered::Taken | Delivered::Twice => {
                let taken = delivered == Delivered::Taken;
                Ok(Json(json!({ "taken": taken })).into_response())
            }
            Delivered::Unknown => Err(Refusal::new(
                StatusCode::GONE,
                "No such task is open.",
                id.to_string(),
                "The run went on without it, or was stopped; take another.",
            )),
        }
    })
    .await
}

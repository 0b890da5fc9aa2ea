//! For programs that watch the server: /metrics, /readyz, and the counting of requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;

use super::openapi::{self, Operation, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::shares::Peer;
use super::tls::Tls;
use super::{Limits, Server};
use crate::logs::{self, Level};
use crate::metrics;

/// Longest wait for the state folder.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// [`metrics()`], described.
pub(super) static METRICS: Operation = Operation {
    id: "metrics",
    method: Method::GET,
    path: "/metrics",
    summary: "Numbers for Prometheus.",
    query: &[],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "Prometheus' text format, version 0.0.4.",
        media: &["text/plain"],
        schema: schema::<String>,
    },
    refusals: &[401, 500],
};

/// `GET /metrics`
pub(super) async fn metrics(State(shared): Server) -> Answer<impl IntoResponse> {
    let (runs, modules) = (shared.runs.clone(), shared.modules.clone());
    blocking(move || {
        let (worked_on, resting) = runs.counted();
        metrics::RUNS.set(&["true"], worked_on as f64);
        metrics::RUNS.set(&["false"], resting as f64);
        for (decision, count) in modules.counted()? {
            metrics::MODULES.set(&[decision], count as f64);
        }
        Ok(())
    })
    .await?;
    Ok(exposed())
}

/// All metrics as an answer.
fn exposed() -> Response {
    let kind = HeaderValue::from_static(metrics::MEDIA);
    ([(header::CONTENT_TYPE, kind)], metrics::text()).into_response()
}

/// [`ready`], described.
pub(super) static READY: Operation = Operation {
    id: "ready",
    method: Method::GET,
    path: "/readyz",
    summary: "Whether the server can do its work: its folder can be written and its registry read.",
    query: &[],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "`ready`.",
        media: &["text/plain"],
        schema: schema::<String>,
    },
    refusals: &[503],
};

/// `GET /readyz`
pub(super) async fn ready(State(shared): Server) -> Answer<&'static str> {
    let modules = shared.modules.clone();
    let checked = blocking(move || modules.ready());
    // A network disk that hangs is no ready one.
    match tokio::time::timeout(READY_WITHIN, checked).await {
        Ok(done) => done.map(|()| "ready\n"),
        Err(_) => Err(Refusal::busy("the folder of modules does not answer")),
    }
}

/// Serves metrics alone, brought up to date by `refresh`, until `stop` is ready.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    refresh: Arc<dyn Fn() + Send + Sync>,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let shown = move || {
        let refresh = refresh.clone();
        async move {
            refresh();
            exposed()
        }
    };
    let router = Router::new()
        .route("/metrics", get(shown))
        .route("/healthz", get(|| async { "ok\n" }));
    super::listen::serve(listener, tls, router, limits, stop).await;
}

/// Counts a request and, where lines were asked for, writes one about it.
pub(super) async fn counted(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("pages", |route| route.as_str()).to_owned();
    let peer = request.extensions().get::<Peer>().copied();
    let response = next.run(request).await;
    let seconds = begun.elapsed().as_secs_f64();
    let status = response.status();
    metrics::REQUESTS.add(&[&route, method, status.as_str()], 1.0);
    metrics::REQUEST_SECONDS.observe(&[&route], seconds);
    if logs::on() {
        let level = match status.is_server_error() {
            true => Level::Warn,
            false => Level::Info,
        };
        let run = path
            .strip_prefix("/api/runs/")
            .and_then(|rest| rest.split('/').next());
        let mut fields: Vec<(&str, Value)> = vec![
            ("method", method.into()),
            ("path", path.as_str().into()),
            ("status", status.as_u16().into()),
            ("seconds", seconds.into()),
        ];
        fields.extend(run.map(|run| ("run", run.into())));
        fields.extend(peer.map(|peer| ("peer", peer.to_string().into())));
        logs::line(level, "request", fields);
    }
    response
}

/// A method as a label; strangers invent methods.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

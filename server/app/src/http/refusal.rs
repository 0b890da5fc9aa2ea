//! How the server says no.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fedseal_client_sdk::digest::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use super::fault::Fault;
use crate::logs::{self, Level};
use crate::metrics;

/// Media type of problem details.
pub(super) const PROBLEM: &str = "application/problem+json";

/// An answer other than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    what: String,
    hint: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A refusal as it is sent: problem details (RFC 9457). Its `type` is left out, which means that the status
/// says what kind of problem it is; `error`, `what` and `hint` are extension members.
#[derive(Serialize, JsonSchema)]
pub(super) struct Problem {
    /// The status' usual phrase.
    title: String,
    /// The status.
    status: u16,
    /// The problem and the thing that has it.
    detail: String,
    /// The problem, as a sentence.
    error: String,
    /// The thing that has the problem.
    what: String,
    /// Advice on what to do.
    hint: String,
}

/// The result of every handler.
pub(super) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal.
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Refusal {
            status,
            error: error.into(),
            what: what.into(),
            hint: hint.into(),
            headers: Vec::new(),
        }
    }

    /// With a header beside the problem document.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// There is no such thing.
    pub(super) fn missing(kind: &str, name: impl Into<String>) -> Self {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("There is no such {kind}."),
            name,
            "GET /api/runs lists the runs, a run's report its updates.",
        )
    }

    /// Refusal because the server's own files are not as they should be. The problem is for the server's
    /// operator: it may name paths, so it goes to the server's standard error.
    pub(super) fn broken(what: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        let what = what.into();
        logs::say(Level::Error, "fault", &format!("{what}: {problem}"));
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server has a fault.",
            what,
            "Its standard error says which; tell whoever runs it.",
        )
    }

    /// Too much is going on at once.
    pub(super) fn busy(what: impl Into<String>) -> Self {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is busy.",
            what,
            "Try again in a moment.",
        )
    }

    /// The problem as text, with the thing that has it.
    pub(super) fn text(&self) -> String {
        format!("{} ({})", self.error, self.what)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Changed { item, problem } => Refusal::new(
                StatusCode::CONFLICT,
                "This was changed since it was logged.",
                format!("{item}: {problem}"),
                "Do not believe it; `fedseal verify` on the run's folder names the first bad item.",
            ),
            Fault::Unread { item, problem } => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server cannot read that.",
                format!("{item}: {problem}"),
                "`fedseal verify` on the run's folder says more.",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static(PROBLEM);
        metrics::REFUSALS.add(&[self.status.as_str(), &self.error], 1.0);
        // Only a map with other keys than strings could not be written.
        let body = serde_json::to_vec(&Problem {
            title: self
                .status
                .canonical_reason()
                .unwrap_or("Refused")
                .to_owned(),
            status: self.status.as_u16(),
            detail: self.text(),
            error: self.error,
            what: self.what,
            hint: self.hint,
        })
        .unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The digest in a path.
pub(super) fn digest(text: &str) -> Answer<Digest> {
    text.parse().map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "That is no digest.",
            text.chars().take(80).collect::<String>(),
            "64 lower-case hexadecimal digits.",
        )
    })
}

/// Why a body did not come to its end.
pub(super) fn cut(error: &axum::Error) -> Refusal {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |at| at.source());
    let slow = causes
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::TimedOut);
    let (status, what) = match slow {
        true => (StatusCode::REQUEST_TIMEOUT, "The request came too slowly."),
        false => (StatusCode::BAD_REQUEST, "The request ended too early."),
    };
    Refusal::new(status, what, error.to_string(), "Send it again.")
}

/// Puts an error that a library answered with, in its own words and as plain text, into a refusal.
pub(super) async fn worded(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = match status {
        StatusCode::BAD_REQUEST => "The address cannot be read.",
        _ => "The request cannot be answered.",
    };
    let path: String = path.chars().take(100).collect();
    Refusal::new(
        status,
        error,
        path,
        "GET /api/openapi.json lists what can be asked.",
    )
    .into_response()
}

/// Runs a closure that reads files or computes on a thread where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::broken("a task of the server", error)))
}

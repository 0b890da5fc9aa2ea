//! How the server says no.

use std::io::Write as _;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::evidence::Fault;

/// An answer other than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Problem,
}

/// A refusal as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Problem {
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
            body: Problem {
                error: error.into(),
                what: what.into(),
                hint: hint.into(),
            },
        }
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
        // Nobody has to listen.
        let _ = writeln!(std::io::stderr(), "fedseal: {what}: {problem}");
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
        format!("{} ({})", self.body.error, self.body.what)
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
        (self.status, Json(self.body)).into_response()
    }
}

/// Runs a closure that reads files or computes on a thread where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::broken("a task of the server", error)))
}

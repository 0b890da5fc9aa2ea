//! Decisions on submitted modules, over HTTP, and what programs that watch the server ask about modules.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use fedseal_client_sdk::decision::{MAX_REASON, Verdict};
use fedseal_client_sdk::digest::Digest;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Modules, Registered};
use crate::http::Server;
use crate::http::admin::Administrator;
use crate::http::openapi::{self, Operation, schema};
use crate::http::refusal::{Answer, Refusal, blocking, digest};
use crate::logs::{self, Level};

/// Body of `POST /api/modules/{digest}/decision`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ModuleDecisionRequest")]
pub(in crate::http) struct Wish {
    /// The verdict that is to hold.
    verdict: Verdict,
    /// Why, for people: one line.
    #[serde(default)]
    reason: Option<String>,
}

impl Modules {
    /// Decides on a module as the administrator wishes.
    fn decide(&self, digest: &Digest, wish: &Wish) -> Answer<Registered> {
        let broken = |error: fedseal_registry::Error| Refusal::broken("registry", error);
        let module = self.registry.module(digest).map_err(broken)?;
        let module = module.ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "There is no such module.",
                digest.to_string(),
                "GET /api/modules lists those that were submitted.",
            )
        })?;
        if let Some(reason) = &wish.reason
            && (reason.len() > MAX_REASON || reason.chars().any(char::is_control))
        {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "The reason is no short line.",
                format!("{} bytes", reason.len()),
                format!("At most {MAX_REASON} bytes, without control characters."),
            ));
        }
        let decided = self
            .decisions
            .decide(digest, wish.verdict, wish.reason.as_deref(), None)
            .map_err(|error| Refusal::broken("decisions", error))?;
        logs::line(
            Level::Info,
            "decision",
            [
                ("module", digest.to_string().into()),
                ("verdict", decided.predicate.verdict.as_str().into()),
            ],
        );
        Ok(self.shown(module))
    }

    /// How many modules have which last decision.
    pub(in crate::http) fn counted(&self) -> Answer<BTreeMap<&'static str, usize>> {
        let broken = |error: fedseal_registry::Error| Refusal::broken("registry", error);
        let mut counts = BTreeMap::from([("approved", 0), ("rejected", 0), ("none", 0)]);
        let mut last = BTreeMap::new();
        for decided in self.registry.decisions().map_err(broken)? {
            last.insert(decided.module, decided.verdict.as_str());
        }
        for module in self.registry.modules().map_err(broken)? {
            let name = last.get(&module.digest).copied().unwrap_or("none");
            *counts.entry(name).or_default() += 1;
        }
        Ok(counts)
    }

    /// Whether the folder can be written, and the registry read and written.
    pub(in crate::http) fn ready(&self) -> Answer<()> {
        // The problem may name paths: it goes to whoever runs the server.
        let not = |what: &str, problem: String| {
            logs::say(Level::Error, "not ready", &format!("{what}: {problem}"));
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is not ready.",
                what,
                "See whether its disk is full or gone; its standard error says more.",
            )
        };
        let probe = self.folder.join(".ready");
        std::fs::write(&probe, b"ready\n")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|error| not("the folder of modules", error.to_string()))?;
        let ready = self.registry.ready();
        ready.map_err(|error| not("the registry", error.to_string()))
    }
}

/// [`decide`], described.
pub(in crate::http) static DECIDE: Operation = Operation {
    id: "decideOnModule",
    method: Method::POST,
    path: "/api/modules/{digest}/decision",
    summary: "Approves or rejects a module, with the administrator's token.",
    query: &[],
    body: Some(schema::<Wish>),
    answer: openapi::Answer::json("The module, with the decision.", schema::<Registered>),
    refusals: &[400, 401, 403, 404, 408, 500, 503],
};

/// `POST /api/modules/{digest}/decision`
pub(in crate::http) async fn decide(
    _: Administrator,
    State(shared): Server,
    Path(named): Path<String>,
    Json(wish): Json<Wish>,
) -> Answer<Json<Registered>> {
    let modules = shared.modules.clone();
    let module = digest(&named)?;
    blocking(move || modules.decide(&module, &wish).map(Json)).await
}

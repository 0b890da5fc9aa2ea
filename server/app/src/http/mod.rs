//! The server behind `fedseal serve`: JSON under /api, the report pages everywhere else.
//!
//! It reads runs' folders and never writes into them. It writes only the registry of submitted
//! modules, which has a folder of its own. Every refusal is a problem document (RFC 9457)
//! with `error`, `what` and `hint`, without a path of the server's machine.
//!
//! - [`listen`]: sockets, and limits on clients. [`patience`]: how long clients may keep the server
//!   waiting. [`shares`]: how much one address may have. [`answers`]: how much memory large answers
//!   have. [`rates`]: how many requests a second. [`tls`]: certificates. [`refusal`]: answers that refuse.
//! - [`guard`]: whose page asks, and by which name. [`access`]: who may read.
//! - [`represent`]: entity tags and gzip. [`ranges`]: parts of answers. [`pieces`]: pieces of blobs. [`lists`]:
//!   parts of lists.
//! - [`admin`]: the administrator's token.
//! - [`openapi`]: the description of the interface, at /api/openapi.json.
//! - [`runs`]: which runs there are. [`report`]: their reports. [`parts`]: the routes of reports, whole and in
//!   parts. [`checked`]: one run after its check. [`events`]: the live feed. [`alive`]: whether
//!   somebody is working on a run.
//! - [`evidence`]: whether a run's files are those that its log names. [`files`]: how they are read.
//! - [`updates`]: one update with its proofs. [`rounds`]: one round with its updates beside each other.
//!   [`prompts`]: every arm's answers. [`log`]: a run's log, read only. [`entries`]: its entries, each with
//!   its proof.
//! - [`modules`]: submitted modules. [`signed`]: who sent a request. [`mod@pages`]: the web bundle.
//! - [`watched`]: metrics, readiness, and counts of requests.
//! - [`witness`]: the interface of `fedseal log witness`, a server of its own; [`work`] that of a run that
//!   lends its jobs. [`federation`]: that of a coordinator, beside the rest, over
//!   its [`federations`]; [`nodes`]: how they are, for pages.

mod access;
mod admin;
mod alive;
mod answers;
mod checked;
mod ends;
mod entries;
mod events;
mod evidence;
mod fault;
mod federation;
pub(crate) mod federations;
mod files;
mod guard;
mod listen;
mod lists;
mod log;
mod modules;
mod nodes;
mod openapi;
mod pages;
mod parts;
mod patience;
mod pieces;
mod prompts;
mod ranges;
mod rates;
mod refusal;
mod report;
mod represent;
mod rounds;
mod runs;
mod shares;
mod signed;
mod tail;
mod tls;
mod updates;
pub(crate) mod watched;
pub(crate) mod witness;
pub(crate) mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use fedseal_client_sdk::keys::TrustStore;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::decisions::Rule;
use crate::registry::Opened;
use openapi::{Interface, Operation, schema};
use refusal::Refusal;

pub(crate) use access::Readers;
pub(crate) use admin::Admin;
pub(crate) use listen::{Limits, bind};
pub(crate) use rates::Rate;
pub(crate) use tls::Tls;

/// Folders, keys and limits that the server works with.
pub(crate) struct Settings {
    /// The folder of runs, or one run.
    pub runs: PathBuf,
    /// The registry of submitted modules; its folder is in no run.
    pub registry: Opened,
    /// Whose modules are taken.
    pub trusted: TrustStore,
    /// The trust file, read anew at each submission, so that a key that was revoked meanwhile is refused
    /// without a restart.
    pub trust_file: Option<PathBuf>,
    /// The pages, instead of those in the program.
    pub web: Option<PathBuf>,
    /// The module with which browsers check proofs, where it was built.
    pub verifier: Option<PathBuf>,
    /// Limits on what clients may use of the server.
    pub limits: Limits,
    /// Names of this server in signed requests: host, with its port where that is not the scheme's own.
    pub names: Vec<String>,
    /// Whether a submission without a signature of its own is refused.
    pub signed: bool,
    /// The federations that it coordinates, where it is a coordinator.
    pub federations: Option<Arc<federations::Federations>>,
    /// The administrator's token.
    pub admin: Admin,
    /// Who may read.
    pub readers: Readers,
    /// Certificate and key; without them it speaks plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Which submitted modules are approved without asking the administrator.
    pub rule: Rule,
    /// Where the modules that were checked are kept compiled.
    pub compiled: Option<fedseal_sandbox::CompiledCache>,
}

/// State shared by all handlers.
struct Shared {
    admin: Arc<Admin>,
    runs: runs::Runs,
    logs: log::Logs,
    rounds: rounds::Rounds,
    modules: modules::Modules,
    federations: Option<Arc<federations::Federations>>,
    pages: pages::Pages,
    feeds: Arc<shares::Shares>,
    tails: tail::Tails,
    /// [`openapi::description`] as text.
    description: Bytes,
}

type Server = State<Arc<Shared>>;

/// Whether there are pages to serve.
pub(crate) fn pages(settings: &Settings) -> bool {
    pages::Pages::new(settings.web.clone(), None).exist()
}

/// Whether the pages are built into this program, or can be read from the checkout that it was built from.
pub(crate) fn pages_built_in() -> bool {
    pages::Pages::new(None, None).exist()
}

/// Serves until `stop` is ready.
pub(crate) async fn serve(
    listener: TcpListener,
    settings: Settings,
    stop: impl Future<Output = ()>,
) {
    let limits = settings.limits.clone();
    let tls = settings.tls.clone();
    let router = router(settings);
    listen::serve(listener, tls, router, &limits, stop).await;
}

/// Operations with a deadline.
fn timed() -> Interface {
    Interface::default()
        .with(&runs::LIST, runs::list)
        .with(&parts::REPORT, parts::report)
        .with(&parts::INDEX, parts::index)
        .with(&parts::GRID, parts::grid)
        .with(&parts::ROUNDS, parts::rounds)
        .with(&prompts::ANSWERS, prompts::answers)
        .with(&rounds::ONE, rounds::one)
        .with(&updates::VIEW, updates::view)
        .with(&updates::ENVELOPE, updates::envelope)
        .with(&updates::BUNDLE, updates::bundle)
        .with(&log::FILE, log::file)
        .with(&entries::LIST, entries::list)
        .with(&entries::ONE, entries::one)
        .with(&entries::GROWTH, entries::growth)
        .with(&modules::LIST, modules::list)
        .with(&modules::SUBMIT, modules::submit)
        .with(&modules::decisions::DECIDE, modules::decisions::decide)
        .with(&nodes::LIST, nodes::list)
        .with(&nodes::ONE, nodes::one)
        .with(&DESCRIPTION, description)
}

/// Operations without a deadline: a feed goes on with its run, and whether the server is there is
/// answered while others wait for a place.
fn untimed() -> Interface {
    Interface::default()
        .with(&events::FEED, events::feed)
        .with(&HEALTH, health)
        .with(&watched::READY, watched::ready)
        .with(&watched::METRICS, watched::metrics)
}

fn router(settings: Settings) -> Router {
    let limits = settings.limits;
    let federations = settings.federations.clone();
    let (timed, mut operations) = timed().into_parts();
    let (untimed, others) = untimed().into_parts();
    operations.extend(others);
    let described = openapi::description(&operations);
    let hosts = guard::Hosts::new(&settings.names);
    let admin = Arc::new(settings.admin);
    let readers = (settings.readers, admin.clone());
    let runs = runs::Runs::new(settings.runs);
    let shared = Arc::new(Shared {
        admin: admin.clone(),
        modules: modules::Modules::new(
            settings.registry,
            settings.trusted,
            settings.trust_file,
            &limits,
            settings.compiled,
            signed::Signatures::new(&settings.names, settings.signed, limits.requests_of_key),
            settings.rule,
        ),
        federations: federations.clone(),
        tails: tail::Tails::new(runs.alive()),
        runs,
        logs: log::Logs::default(),
        rounds: rounds::Rounds::default(),
        pages: pages::Pages::new(settings.web, settings.verifier),
        feeds: shares::Shares::new(limits.feeds, limits.feeds_of_address),
        description: described.to_string().into(),
    });
    shared.runs.prepare();
    let timed = timed
        .fallback(pages::serve)
        .method_not_allowed_fallback(wrong_method)
        // Below the bounds on answers: bytes that get a tag are in memory.
        .layer(middleware::from_fn(represent::conditional))
        .layer(middleware::from_fn(ranges::partial))
        .layer(middleware::from_fn_with_state(
            answers::Answers::new(&limits),
            answers::bounded,
        ))
        .layer(middleware::from_fn_with_state(limits.request, deadline));
    let served = untimed
        .method_not_allowed_fallback(wrong_method)
        .merge(timed)
        .layer(middleware::from_fn_with_state(readers, access::readable))
        .with_state(shared);
    let served = match federations {
        Some(federations) => federation::router(federations, admin).merge(served),
        None => served,
    };
    served
        .layer(middleware::from_fn_with_state(hosts, guard::guarded))
        .layer(middleware::from_fn(refusal::worded))
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn(represent::compressed))
        .layer(middleware::from_fn(watched::counted))
}

/// [`description`], described.
static DESCRIPTION: Operation = Operation {
    id: "describe",
    method: Method::GET,
    path: "/api/openapi.json",
    summary: "This description.",
    query: &[],
    body: None,
    answer: openapi::Answer::json("An OpenAPI 3.1 document.", schema::<Map<String, Value>>),
    refusals: &[408, 503],
};

/// `GET /api/openapi.json`
async fn description(State(shared): Server) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], shared.description.clone())
}

/// [`health`], described.
static HEALTH: Operation = Operation {
    id: "health",
    method: Method::GET,
    path: "/healthz",
    summary: "Whether the server is there. No run is looked at.",
    query: &[],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "`ok`.",
        media: &["text/plain"],
        schema: schema::<String>,
    },
    refusals: &[],
};

/// `GET /healthz`
async fn health() -> &'static str {
    "ok\n"
}

async fn wrong_method(request: Request) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not take that method.",
        format!("{} {}", request.method(), request.uri().path()),
        "Reports are read with GET; modules are submitted with POST /api/modules.",
    )
}

async fn deadline(State(most): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request took too long.",
            format!("{} seconds", most.as_secs()),
            "Send it again; a large module over a slow line may be submitted on the server's machine.",
        )
        .into_response(),
    }
}

/// Pages load nothing from elsewhere and are shown inside nothing else. Answers without a tag are not
/// kept by browsers: a run may still be going on.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let set: [(HeaderName, &'static str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            // WebAssembly for the module that checks proofs; no script but the bundle's.
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; \
             object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in set {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;

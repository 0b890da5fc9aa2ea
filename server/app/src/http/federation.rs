//! The coordinator's interface: for nodes, whose every request is signed with their key, and for the
//! administrator, who has a token. A question for a job waits without a thread of its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use fedseal_federation::protocol::{
    Cosigned, Enrol, MOST_REQUEST, MOST_UPDATE, Next, OLDEST, Refuse, Taken, VERSION, prefix,
};
use fedseal_federation::work::desk::Fate;
use fedseal_federation::work::package::attested;
use fedseal_rules::lifecycle::Phase;
use serde::de::DeserializeOwned;

use super::admin::Admin;
use super::federations::{Federations, received, refusal};
use super::files;
use super::log::{MAX_FILE, is_log_path};
use super::pieces::Pieces;
use super::ranges::{self, Asked};
use super::refusal::{Answer, Refusal, blocking, digest};
use super::signed;

type Server = State<Arc<Federations>>;

/// The interface.
pub(super) fn router(federations: Arc<Federations>, admin: Arc<Admin>) -> Router {
    let mut nodes = Router::new().route("/federation/{version}/{*rest}", any(unspoken));
    let mut administrator = Router::new();
    for version in OLDEST..=VERSION {
        nodes = nodes.merge(spoken(version));
        let admin = format!("{}/admin", prefix(version));
        administrator = administrator.route(&admin, post(administer));
    }
    nodes
        .with_state(federations.clone())
        .merge(administrator.with_state((federations, admin)))
}

/// The nodes' addresses in a version of the protocol.
fn spoken(version: u32) -> Router<Arc<Federations>> {
    // Whole paths: a nested router sees less than what was signed.
    let at = |path: &str| format!("{}/{{name}}{path}", prefix(version));
    Router::new()
        .route(&at("/enrol"), post(enrol))
        .route(&at("/next"), post(next))
        .route(&at("/jobs/{key}"), put(deliver))
        .route(&at("/jobs/{key}/refuse"), post(refuse))
        .route(&at("/cosign"), post(cosign))
        .route(&at("/cosigned"), get(cosigned))
        .route(&at("/log/{*path}"), get(log))
        .route(&at("/blobs/{digest}"), get(blob))
}

/// An address of no version that this coordinator speaks, or none of its version.
async fn unspoken(Path((version, rest)): Path<(String, String)>) -> Refusal {
    let number = version.strip_prefix('v');
    let number = number.and_then(|text| text.parse::<u32>().ok());
    match number {
        Some(number) if !(OLDEST..=VERSION).contains(&number) => Refusal::new(
            StatusCode::BAD_REQUEST,
            "The protocol's version is not spoken here.",
            format!("version {number}; this coordinator speaks versions {OLDEST} to {VERSION}"),
            "Upgrade the older of both; fedseal node --protocol N speaks an older version.",
        ),
        _ => Refusal::missing("address", rest.chars().take(100).collect::<String>()),
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "The body is not what this address takes.",
            error.to_string(),
            "Run the same version of fedseal on both machines.",
        )
    })
}

/// `POST PREFIX/NAME/enrol`
async fn enrol(State(all): Server, Path(name): Path<String>, request: Request) -> Answer<Response> {
    let (key, body) = received(&all, &name, request, true, MOST_REQUEST, true).await?;
    let request: Enrol = parsed(&body)?;
    blocking(move || {
        let enrolled = all.books().enrol(&name, key, &request).map_err(|error| {
            let detail = error.to_string();
            all.books()
                .refusal(&name, "enrolment", &key.to_string(), &detail);
            refusal(error)
        })?;
        Ok(Json(enrolled).into_response())
    })
    .await
}

/// `POST PREFIX/NAME/next`: a job, or after a while none.
async fn next(State(all): Server, Path(name): Path<String>, request: Request) -> Answer<Response> {
    let (key, held) = received(&all, &name, request, true, MOST_REQUEST, false).await?;
    all.books().heard(&name, &key, held.contact.clone());
    // What waits holds no room for bodies.
    drop(held);
    let waits = all.waits();
    let end = tokio::time::Instant::now() + waits.longest();
    loop {
        let changed = all.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        let phase = all.phase(&name)?;
        let gathering = all.gathering(&name);
        if let Some(gathering) = &gathering
            && let Some(job) = gathering.offer(&key).map_err(refusal)?
        {
            let next = Next::Job {
                plan: gathering.plan(),
                job: Box::new(job),
            };
            return Ok(Json(next).into_response());
        }
        // There is nothing to wait for in a federation that is over.
        if phase.is_last() || tokio::time::timeout_at(end, changed).await.is_err() {
            let plan = match gathering {
                Some(gathering) => Some(gathering.plan()),
                None => all.plan(&name),
            };
            return Ok(Json(Next::Idle { phase, plan }).into_response());
        }
    }
}

/// `GET PREFIX/NAME/blobs/DIGEST`, whole or in parts.
async fn blob(
    State(all): Server,
    Path((name, named)): Path<(String, String)>,
    request: Request,
) -> Answer<Response> {
    let asked = Asked::of(&request);
    let path = request.uri().path().to_owned();
    received(&all, &name, request, false, 0, false).await?;
    let named = digest(&named)?;
    blocking(move || {
        let blob = all.blob(&name, &named)?;
        let length = blob.length();
        let head = [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::ETAG, format!("\"{named}\"")),
        ];
        let whole = Body::new(Pieces::new(blob.clone(), (0, length)));
        let whole = (head, whole).into_response();
        Ok(ranges::part(whole, asked, length, &path, |_, part| {
            Body::new(Pieces::new(blob, part))
        }))
    })
    .await
}

/// `PUT PREFIX/NAME/jobs/KEY`: an update. The answer says that it is in the log, or why not.
async fn deliver(
    State(all): Server,
    Path((name, job)): Path<(String, String)>,
    request: Request,
) -> Answer<Response> {
    let (key, body) = received(&all, &name, request, true, MOST_UPDATE, false).await?;
    let job = digest(&job)?;
    let gathering = all.gathering_now(&name)?;
    blocking(move || {
        let who = key.to_string();
        let fate = gathering.deliver(&key, &job, &body).map_err(|error| {
            let detail = format!("job {job}: {error}");
            all.books().refusal(&name, "malformed", &who, &detail);
            refusal(error)
        })?;
        let kind = match fate {
            Fate::Recorded | Fate::Busy => None,
            Fate::Twice => Some("duplicate"),
            Fate::Late => Some("late"),
            Fate::Differs => Some("contradiction"),
            Fate::Foreign => Some("foreign"),
            Fate::Unknown => Some("unknown"),
        };
        if let Some(kind) = kind {
            all.books()
                .refusal(&name, kind, &who, &format!("job {job}"));
        }
        if fate == Fate::Differs
            && let Some(statement) = attested(&body)
        {
            all.books()
                .keep_evidence(&name, &statement)
                .map_err(refusal)?;
        }
        Ok(Json(Taken { fate }).into_response())
    })
    .await
}

/// `POST PREFIX/NAME/jobs/KEY/refuse`
async fn refuse(
    State(all): Server,
    Path((name, job)): Path<(String, String)>,
    request: Request,
) -> Answer<Response> {
    let (key, body) = received(&all, &name, request, true, MOST_REQUEST, false).await?;
    let (job, refused): (_, Refuse) = (digest(&job)?, parsed(&body)?);
    let gathering = all.gathering_now(&name)?;
    blocking(move || {
        if gathering.refuse(&key, &job, &refused.reason) {
            let detail = format!("job {job}: {}", refused.reason);
            all.books()
                .note(&name, "node refused", &key.to_string(), &detail)
                .map_err(refusal)?;
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `POST PREFIX/NAME/cosign`
async fn cosign(
    State(all): Server,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Response> {
    let (key, body) = received(&all, &name, request, true, MOST_REQUEST, false).await?;
    let Cosigned { note } = parsed(&body)?;
    blocking(move || {
        let begun = all.begun(&name)?;
        all.books()
            .cosign(&name, &begun.log, key, &note)
            .map_err(refusal)?;
        // A log that is still open has its lines attached when it is closed.
        if all.phase(&name)? == Phase::Finished {
            all.attach(&name, Some(&key));
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `GET PREFIX/NAME/cosigned`: the checkpoints that nodes cosigned last.
async fn cosigned(
    State(all): Server,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Response> {
    received(&all, &name, request, false, 0, false).await?;
    blocking(move || {
        let notes = all.books().cosigned(&name).map_err(refusal)?;
        let notes: Vec<Cosigned> = notes.into_iter().map(|note| Cosigned { note }).collect();
        Ok(Json(notes).into_response())
    })
    .await
}

/// `GET PREFIX/NAME/log/…`: the files of the run's log (C2SP tlog-tiles).
async fn log(
    State(all): Server,
    Path((name, path)): Path<(String, String)>,
    request: Request,
) -> Answer<Response> {
    received(&all, &name, request, false, 0, false).await?;
    blocking(move || {
        let missing = || {
            Refusal::missing(
                "file of the log",
                path.chars().take(100).collect::<String>(),
            )
        };
        if !is_log_path(&path) {
            return Err(missing());
        }
        let file = std::path::Path::new("log").join(&path);
        let (bytes, _) =
            files::read(&all.run(&name).root, file, MAX_FILE).map_err(|_| missing())?;
        Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
    })
    .await
}

/// `POST PREFIX/admin`: a command of the administrator.
async fn administer(
    State((all, admin)): State<(Arc<Federations>, Arc<Admin>)>,
    request: Request,
) -> Answer<Response> {
    let (head, body) = request.into_parts();
    admin.check(&head.headers)?;
    let command = parsed(&signed::whole(body, MOST_REQUEST, |_| true).await?)?;
    blocking(move || all.perform(command)).await
}

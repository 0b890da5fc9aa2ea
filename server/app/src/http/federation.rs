//! The coordinator's interface: for nodes, whose every request is signed with their key, and for the
//! administrator, who has a token. A question for a job waits without a thread of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::{Known, Role};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{KeyKind, VerifierKey};
use fedseal_federation::Error;
use fedseal_federation::coordinator::books::{Books, Federation};
use fedseal_federation::coordinator::commands::perform;
use fedseal_federation::coordinator::ended::Ended;
use fedseal_federation::protocol::{
    Command, Cosigned, Enrol, MOST_REQUEST, MOST_UPDATE, Next, NodeStatus, OLDEST, Refuse, Taken,
    VERSION, WAIT, prefix,
};
use fedseal_federation::runner::Gathering;
use fedseal_federation::work::desk::Fate;
use fedseal_federation::work::package::attested;
use fedseal_ledger::OpenBlob;
use fedseal_record::rundir::RunDir;
use fedseal_rules::lifecycle::Phase;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::admin::Admin;
use super::files;
use super::log::{MAX_FILE, is_log_path};
use super::parts::Parts;
use super::ranges::{self, Asked};
use super::rates::Rate;
use super::refusal::{Answer, Refusal, blocking, digest};
use super::signed::{self, Signatures};
use crate::logs::{self, Level};
use crate::metrics;

/// Seconds after which a node that did not ask for work counts as silent; one that trains asks when it is done.
const SILENT: u64 = 300;

/// A server's federations: those whose rounds are executed now, beside the books of all.
pub(crate) struct Federations {
    books: Books,
    runs: PathBuf,
    coordinator: PublicKey,
    signatures: Signatures,
    running: Mutex<HashMap<String, Arc<Gathering>>>,
    /// State of each federation that was asked about, with the file that it was read from as it was then.
    views: Mutex<HashMap<String, (files::Stamp, Arc<View>)>>,
    /// Log of each federation's run, once it was asked for.
    logs: Mutex<HashMap<String, VerifierKey>>,
    /// Federations that are over, once a node asked for a blob of theirs.
    ended: Mutex<HashMap<String, Arc<Ended>>>,
    /// Woken when there may be a job for some node, or a state has changed.
    pub(crate) changed: Arc<Notify>,
}

/// State of a federation, as far as requests of nodes are held against it.
struct View {
    phase: Phase,
    keys: BTreeSet<PublicKey>,
    /// Keys that were given up, with the reasons.
    revoked: BTreeMap<PublicKey, String>,
}

type Server = State<Arc<Federations>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Federations {
    /// The federations of a state folder; their runs are below `runs`.
    pub(crate) fn new(
        books: Books,
        runs: PathBuf,
        coordinator: PublicKey,
        names: &[String],
        rate: Rate,
    ) -> Federations {
        Federations {
            books,
            runs,
            coordinator,
            signatures: Signatures::new(names, true, rate),
            running: Mutex::default(),
            views: Mutex::default(),
            logs: Mutex::default(),
            ended: Mutex::default(),
            changed: Arc::new(Notify::new()),
        }
    }

    /// The books.
    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// The folder of a federation's run.
    pub(crate) fn run(&self, name: &str) -> RunDir {
        RunDir::new(self.runs.join(name))
    }

    /// Lets nodes reach a run, or no longer.
    pub(crate) fn set(&self, name: &str, gathering: Option<Arc<Gathering>>) {
        match gathering {
            Some(gathering) => lock(&self.running).insert(name.to_owned(), gathering),
            None => lock(&self.running).remove(name),
        };
        self.changed.notify_waiters();
    }

    fn gathering(&self, name: &str) -> Option<Arc<Gathering>> {
        lock(&self.running).get(name).cloned()
    }

    fn gathering_now(&self, name: &str) -> Answer<Arc<Gathering>> {
        self.gathering(name).ok_or_else(|| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The federation is not running now.",
                name,
                "Ask again: it starts, is paused, or is over.",
            )
        })
    }

    /// Where a federation stands, by its books; they are read again when they change.
    pub(crate) fn phase(&self, name: &str) -> fedseal_federation::Result<Phase> {
        Ok(self.viewed(name)?.phase)
    }

    fn view(&self, name: &str) -> Answer<Arc<View>> {
        self.viewed(name).map_err(refusal)
    }

    fn viewed(&self, name: &str) -> fedseal_federation::Result<Arc<View>> {
        let stamp = files::Stamp::at(&self.books.stamp(name)?);
        if let Some((of, view)) = lock(&self.views).get(name)
            && stamp.as_ref() == Some(of)
        {
            return Ok(view.clone());
        }
        let Federation { phase, members, .. } = self.books.read(name)?;
        let keys = members.values().map(|joined| joined.member.key);
        let keys = keys.collect();
        let revoked = members.into_values().filter_map(|joined| {
            let reason = joined.revoked?;
            Some((joined.member.key, reason))
        });
        let view = Arc::new(View {
            phase,
            keys,
            revoked: revoked.collect(),
        });
        if let Some(stamp) = stamp {
            lock(&self.views).insert(name.to_owned(), (stamp, view.clone()));
        }
        Ok(view)
    }

    /// The log of a federation's run; its plan does not change.
    fn log(&self, name: &str) -> Answer<VerifierKey> {
        if let Some(log) = lock(&self.logs).get(name) {
            return Ok(log.clone());
        }
        let plan = self.run(name).read_plan().map_err(refusal)?;
        let log = VerifierKey::new(&plan.origin, KeyKind::Log, plan.node);
        let log = log.map_err(|error| refusal(error.into()))?;
        lock(&self.logs).insert(name.to_owned(), log.clone());
        Ok(log)
    }

    /// A blob that nodes of a federation may fetch now.
    fn blob(&self, name: &str, digest: &Digest) -> Answer<Arc<OpenBlob>> {
        if self.gathering(name).is_some() || self.view(name)?.phase != Phase::Finished {
            return self.gathering_now(name)?.blob(digest).map_err(refusal);
        }
        let known = lock(&self.ended).get(name).cloned();
        let ended = match known {
            Some(ended) => ended,
            None => {
                let ended = Arc::new(Ended::read(&self.run(name)).map_err(refusal)?);
                lock(&self.ended).insert(name.to_owned(), ended.clone());
                ended
            }
        };
        ended.blob(digest).map_err(refusal)
    }

    /// Puts the lines of nodes, or of one, under the last checkpoint of a federation that is finished.
    pub(crate) fn attach(&self, name: &str, only: Option<&PublicKey>) {
        if let Err(error) = self.books.attach(name, &self.run(name), only) {
            let who = only.map(PublicKey::to_string).unwrap_or_default();
            let detail = error.to_string();
            if let Err(error) = self.books.note(name, "not cosigned", &who, &detail) {
                logs::say(Level::Error, "fault", &format!("{name}: {detail}; {error}"));
            }
        }
    }

    /// Tells a run of nodes whose keys were given up.
    pub(crate) fn pass_revoked(&self, name: &str) {
        if let (Some(gathering), Ok(view)) = (self.gathering(name), self.viewed(name)) {
            for (key, reason) in &view.revoked {
                gathering.revoke(key, reason);
            }
        }
    }

    /// Brings the metrics of a federation up to date.
    pub(crate) fn measure(&self, name: &str) {
        let Ok(status) = self.books.status(name, &self.seen(name)) else {
            return;
        };
        let count = |fits: &dyn Fn(&NodeStatus) -> bool| {
            status.nodes.iter().filter(|&node| fits(node)).count() as f64
        };
        let heard = |node: &NodeStatus| node.asked.is_some_and(|ago| ago <= SILENT);
        let kinds: [(&str, f64); 3] = [
            ("revoked", count(&|node| node.revoked.is_some())),
            (
                "heard",
                count(&|node| node.revoked.is_none() && heard(node)),
            ),
            (
                "silent",
                count(&|node| node.revoked.is_none() && !heard(node)),
            ),
        ];
        for (state, nodes) in kinds {
            metrics::NODES.set(&[name, state], nodes);
        }
        for (kind, refused) in &status.refused {
            metrics::NODE_REFUSALS.set(&[name, kind], *refused as f64);
        }
        let (waiting, open) = self.gathering(name).map_or((0, 0), |it| it.jobs());
        metrics::NODE_JOBS.set(&[name, "waiting"], waiting as f64);
        metrics::NODE_JOBS.set(&[name, "open"], open as f64);
    }

    fn seen(&self, name: &str) -> BTreeMap<PublicKey, Instant> {
        self.gathering(name)
            .map(|gathering| gathering.seen())
            .unwrap_or_default()
    }

    /// Does what the administrator asks for.
    fn perform(&self, command: Command) -> Answer<Response> {
        let seen = |name: &str| self.seen(name);
        let told = perform(&self.books, command, self.coordinator, &seen).map_err(refusal)?;
        self.changed.notify_waiters();
        Ok(Json(told).into_response())
    }
}

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

/// An error of the books or of a run as an answer.
fn refusal(error: Error) -> Refusal {
    let new = |status, what: String, hint: &str| {
        Refusal::new(status, "The coordinator refuses.", what, hint)
    };
    match error {
        Error::Refused { what, hint } => new(StatusCode::CONFLICT, what, &hint),
        Error::Missing { what, hint } => new(StatusCode::NOT_FOUND, what, &hint),
        Error::Rules(error) => new(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            "Mend the file and send it again.",
        ),
        error @ (Error::Tampered { .. } | Error::Sdk(_)) => new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error.to_string(),
            "Run the same version of fedseal on both machines.",
        ),
        other => Refusal::broken("the federation", other),
    }
}

/// Who sent a request, and its body as it was signed. Whoever is not a node of the federation is refused
/// before a byte of the body is read; with `anyone`, who is about to join is not.
async fn received(
    all: &Federations,
    name: &str,
    request: Request,
    body: bool,
    most: usize,
    anyone: bool,
) -> Answer<(PublicKey, Vec<u8>)> {
    let (head, rest) = request.into_parts();
    // A node introduces itself by its key; which keys count is asked next.
    let known = |keyid: &str| {
        let key = keyid.parse().ok()?;
        Some(Known {
            key,
            roles: vec![Role::Node],
        })
    };
    let checked = all.signatures.check(&head, body, &known);
    let signed = match checked {
        Ok(Some(signed)) => signed,
        Ok(None) => return Err(Refusal::busy("signatures")),
        Err(refusal) => {
            all.books.refusal(name, "signature", "", &refusal.text());
            return Err(refusal);
        }
    };
    if !anyone && let Some(reason) = all.view(name)?.revoked.get(&signed.key) {
        let who = signed.key.to_string();
        all.books.refusal(name, "revoked", &who, reason);
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "The node's key was revoked.",
            format!("{who}: {reason}"),
            "Whoever runs the federation revoked it; ask there.",
        ));
    }
    if !anyone && !all.view(name)?.keys.contains(&signed.key) {
        let who = signed.key.to_string();
        all.books.refusal(name, "foreign", &who, "not a node of it");
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "The key is no node's of this federation.",
            who,
            "Join it first: fedseal node --invitation TEXT.",
        ));
    }
    match signed::body(&signed, rest, most).await {
        Ok(bytes) => Ok((signed.key, bytes)),
        Err(refusal) => {
            let who = signed.key.to_string();
            all.books.refusal(name, "body", &who, &refusal.text());
            Err(refusal)
        }
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
        let enrolled = all.books.enrol(&name, key, &request).map_err(|error| {
            let detail = error.to_string();
            all.books
                .refusal(&name, "enrolment", &key.to_string(), &detail);
            refusal(error)
        })?;
        Ok(Json(enrolled).into_response())
    })
    .await
}

/// `POST PREFIX/NAME/next`: a job, or after a while none.
async fn next(State(all): Server, Path(name): Path<String>, request: Request) -> Answer<Response> {
    let (key, _) = received(&all, &name, request, true, MOST_REQUEST, false).await?;
    all.books.heard(&name, &key);
    let end = tokio::time::Instant::now() + Duration::from_secs(WAIT);
    loop {
        let changed = all.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        let phase = all.view(&name)?.phase;
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
        let waited = tokio::time::timeout_at(end, changed).await.is_err();
        if waited || phase.is_last() {
            let plan = match gathering {
                Some(gathering) => Some(gathering.plan()),
                None => plan_of(&all, &name),
            };
            return Ok(Json(Next::Idle { phase, plan }).into_response());
        }
    }
}

/// Digest of the plan of a federation's run, where it was begun.
fn plan_of(all: &Federations, name: &str) -> Option<Digest> {
    let bytes = std::fs::read(all.run(name).plan()).ok()?;
    Some(Digest::of(&bytes))
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
        let whole = Body::new(Parts::new(blob.clone(), (0, length)));
        let whole = (head, whole).into_response();
        Ok(ranges::part(whole, asked, length, &path, |_, part| {
            Body::new(Parts::new(blob, part))
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
            all.books.refusal(&name, "malformed", &who, &detail);
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
            all.books.refusal(&name, kind, &who, &format!("job {job}"));
        }
        if fate == Fate::Differs
            && let Some(statement) = attested(&body)
        {
            all.books
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
            all.books
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
        let log = all.log(&name)?;
        all.books.cosign(&name, &log, key, &note).map_err(refusal)?;
        // A log that is still open has its lines attached when it is closed.
        if all.view(&name)?.phase == Phase::Finished {
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
        let notes = all.books.cosigned(&name).map_err(refusal)?;
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
    let command = parsed(&signed::whole(body, MOST_REQUEST).await?)?;
    blocking(move || all.perform(command)).await
}

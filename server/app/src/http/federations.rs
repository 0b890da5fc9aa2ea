//! A server's federations: their books, those whose rounds are executed now, and who may send requests about
//! them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::{Known, Role, Signed};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::tlog::{KeyKind, VerifierKey};
use fedseal_federation::Error;
use fedseal_federation::coordinator::books::{Books, Standing};
use fedseal_federation::coordinator::commands::perform;
use fedseal_federation::coordinator::ended::Ended;
use fedseal_federation::protocol::{
    Command, Contact, Health, Jobs, LONGEST_WAIT, MOST_REQUEST, MOST_UPDATE, Status, WAIT,
};
use fedseal_federation::runner::Gathering;
use fedseal_ledger::OpenBlob;
use fedseal_record::rundir::RunDir;
use fedseal_rules::lifecycle::Phase;
use tokio::sync::Notify;

use super::rates::Rate;
use super::refusal::{Answer, Refusal};
use super::shares::{Peer, Share, Shares};
use super::signed::{self, Signatures};
use crate::logs::{self, Level};
use crate::metrics;

/// Questions for work a second that waiting nodes are to ask at most, together.
const QUESTIONS: usize = 100;
/// Longest name of a node's program that is kept, characters.
const MOST_PROGRAM: usize = 80;
/// Bytes of requests that are in memory at once.
const BODIES: usize = 2 * MOST_UPDATE;
/// Bytes of one address's requests that are in memory at once: the largest update is among them.
const BODIES_OF_ADDRESS: usize = MOST_UPDATE + MOST_REQUEST;

/// A server's federations: those whose rounds are executed now, beside the books of all.
pub(crate) struct Federations {
    books: Books,
    runs: PathBuf,
    coordinator: PublicKey,
    signatures: Signatures,
    /// Signatures of strangers who are about to join: their nonces must not crowd out the nodes'.
    enrolments: Signatures,
    /// Bytes of requests that are in memory.
    bodies: Arc<Shares>,
    running: Mutex<HashMap<String, Arc<Gathering>>>,
    /// Questions for work that wait now.
    waiting: AtomicUsize,
    /// Each federation's run, once it was asked for.
    begun: Mutex<HashMap<String, Arc<Begun>>>,
    /// Federations that are over, once a node asked for a blob of theirs.
    ended: Mutex<HashMap<String, Arc<Ended>>>,
    /// Woken when there may be a job for some node, or a state has changed.
    pub(crate) changed: Arc<Notify>,
}

/// A question for work that waits.
pub(super) struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    /// How long it may wait: the longer, the more of them do.
    pub(super) fn longest(&self) -> Duration {
        longest(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long each of so many questions waits, so that at most [`QUESTIONS`] come a second.
fn longest(waiting: usize) -> Duration {
    let seconds = (waiting / QUESTIONS) as u64;
    Duration::from_secs(seconds.clamp(WAIT, LONGEST_WAIT))
}

/// A run that was begun.
pub(super) struct Begun {
    /// Its log.
    pub(super) log: VerifierKey,
    /// Digest of its plan.
    pub(super) plan: Digest,
}

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
            enrolments: Signatures::new(names, true, rate),
            bodies: Shares::new(BODIES, BODIES_OF_ADDRESS),
            running: Mutex::default(),
            waiting: AtomicUsize::new(0),
            begun: Mutex::default(),
            ended: Mutex::default(),
            changed: Arc::new(Notify::new()),
        }
    }

    /// The books.
    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// Counts a question for work for as long as it waits.
    pub(super) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waiting)
    }

    /// The folder of a federation's run.
    pub(crate) fn run(&self, name: &str) -> RunDir {
        RunDir::new(self.runs.join(name))
    }

    /// Lets nodes reach a run, or no longer.
    pub(crate) fn set(&self, name: &str, gathering: Option<Arc<Gathering>>) {
        self.keep_jobs(name);
        match gathering {
            Some(gathering) => lock(&self.running).insert(name.to_owned(), gathering),
            None => lock(&self.running).remove(name),
        };
        self.changed.notify_waiters();
    }

    pub(super) fn gathering(&self, name: &str) -> Option<Arc<Gathering>> {
        lock(&self.running).get(name).cloned()
    }

    pub(super) fn gathering_now(&self, name: &str) -> Answer<Arc<Gathering>> {
        self.gathering(name).ok_or_else(|| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The federation is not running now.",
                name,
                "Ask again: it starts, is paused, or is over.",
            )
        })
    }

    /// State of a federation, for an answer to a node.
    pub(super) fn phase(&self, name: &str) -> Answer<Phase> {
        self.books.phase(name).map_err(refusal)
    }

    /// A federation's run, where it was begun; its plan does not change.
    pub(super) fn begun(&self, name: &str) -> Answer<Arc<Begun>> {
        if let Some(begun) = lock(&self.begun).get(name) {
            return Ok(begun.clone());
        }
        let read = || -> fedseal_federation::Result<Begun> {
            let plan = self.run(name).read_plan()?;
            Ok(Begun {
                log: VerifierKey::new(&plan.origin, KeyKind::Log, plan.node)?,
                plan: Digest::of_json(&plan)?,
            })
        };
        let begun = Arc::new(read().map_err(refusal)?);
        lock(&self.begun).insert(name.to_owned(), begun.clone());
        Ok(begun)
    }

    /// Digest of the plan of a federation's run, where it was begun: nodes wait for that, and ask again and again.
    pub(super) fn plan(&self, name: &str) -> Option<Digest> {
        let known = lock(&self.begun).contains_key(name);
        let begun = known || self.run(name).plan().is_file();
        let begun = begun.then(|| self.begun(name).ok()).flatten()?;
        Some(begun.plan)
    }

    /// A blob that nodes of a federation may fetch now.
    pub(super) fn blob(&self, name: &str, digest: &Digest) -> Answer<Arc<OpenBlob>> {
        if self.gathering(name).is_some() || self.phase(name)? != Phase::Finished {
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

    /// Tells a run of nodes whose keys were given up.
    pub(crate) fn pass_revoked(&self, name: &str) {
        if let (Some(gathering), Ok(revoked)) = (self.gathering(name), self.books.revoked(name)) {
            for (key, reason) in &revoked {
                gathering.revoke(key, reason);
            }
        }
    }

    /// Brings the metrics of a federation up to date.
    pub(crate) fn measure(&self, name: &str) {
        self.keep_jobs(name);
        let Ok(status) = self.status(name) else {
            return;
        };
        let (mut revoked, mut heard, mut silent) = (0.0, 0.0, 0.0);
        for node in &status.nodes {
            match node.health {
                Health::Revoked => revoked += 1.0,
                Health::Fresh | Health::Late => heard += 1.0,
                Health::Silent => silent += 1.0,
            }
        }
        for (state, nodes) in [("revoked", revoked), ("heard", heard), ("silent", silent)] {
            metrics::NODES.set(&[name, state], nodes);
        }
        for (kind, refused) in &status.refused {
            metrics::NODE_REFUSALS.set(&[name, kind], *refused as f64);
        }
        let (waiting, open) = self.gathering(name).map_or((0, 0), |it| it.jobs());
        metrics::NODE_JOBS.set(&[name, "waiting"], waiting as f64);
        metrics::NODE_JOBS.set(&[name, "open"], open as f64);
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

    /// A federation as it is now.
    pub(super) fn status(&self, name: &str) -> fedseal_federation::Result<Status> {
        self.books.status(name, self.jobs(name))
    }

    /// Jobs of nodes by how they ended, where rounds are executed now.
    fn jobs(&self, name: &str) -> Option<BTreeMap<PublicKey, Jobs>> {
        Some(self.gathering(name)?.ends())
    }

    /// Writes down how the jobs of nodes ended, for the time when no round is executed.
    fn keep_jobs(&self, name: &str) {
        let kept = self
            .jobs(name)
            .map(|jobs| self.books.keep_jobs(name, &jobs));
        if let Some(Err(error)) = kept {
            logs::say(Level::Error, "fault", &format!("{name}: {error}"));
        }
    }

    /// Does what the administrator asks for.
    pub(super) fn perform(&self, command: Command) -> Answer<Response> {
        let jobs = |name: &str| self.jobs(name);
        let told = perform(&self.books, command, self.coordinator, &jobs).map_err(refusal)?;
        self.changed.notify_waiters();
        Ok(Json(told).into_response())
    }
}

/// An error of the books or of a run as an answer.
pub(super) fn refusal(error: Error) -> Refusal {
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

/// A received body; it counts among the bytes that are in memory for as long as it is there.
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Its request, as far as that tells of the node.
    pub(super) contact: Contact,
    _share: Share,
}

impl std::ops::Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Who sent a request, told from its head: a node of the federation or, with `anyone`, who is about to be one.
fn sender(all: &Federations, name: &str, head: &Parts, body: bool, anyone: bool) -> Answer<Signed> {
    let refused = Cell::new(None);
    // A node introduces itself by its key. Another's request is not looked at any further: its nonce takes no
    // place among those of nodes.
    let known = |keyid: &str| {
        let key: PublicKey = keyid.parse().ok()?;
        let standing = match anyone {
            true => Ok(Standing::Node),
            false => all.books.standing(name, &key),
        };
        match standing {
            Ok(Standing::Node) => {
                return Some(Known {
                    key,
                    roles: vec![Role::Node],
                });
            }
            Ok(other) => refused.set(Some(foreign(all, name, &key, other))),
            Err(error) => refused.set(Some(refusal(error))),
        }
        None
    };
    let signatures = match anyone {
        true => &all.enrolments,
        false => &all.signatures,
    };
    let checked = signatures.check(head, body, &known);
    if let Some(refusal) = refused.take() {
        return Err(refusal);
    }
    match checked {
        Ok(Some(signed)) => Ok(signed),
        Ok(None) => Err(Refusal::busy("signatures")),
        Err(refusal) => {
            all.books.refusal(name, "signature", "", &refusal.text());
            Err(refusal)
        }
    }
}

/// Refusal of a key that is no node's now.
fn foreign(all: &Federations, name: &str, key: &PublicKey, standing: Standing) -> Refusal {
    let who = key.to_string();
    if let Standing::Revoked(reason) = standing {
        all.books.refusal(name, "revoked", &who, &reason);
        return Refusal::new(
            StatusCode::GONE,
            "The node's key was revoked.",
            format!("{who}: {reason}"),
            "Whoever runs the federation revoked it; ask there.",
        );
    }
    all.books.refusal(name, "foreign", &who, "not a node of it");
    Refusal::new(
        StatusCode::FORBIDDEN,
        "The key is no node's of this federation.",
        who,
        "Join it first: fedseal node --invitation TEXT.",
    )
}

/// Words of a request about its node: the version in its address, the program's name for itself, when it was signed.
fn contact(head: &Parts, signed: &Signed) -> Contact {
    let mut parts = head.uri.path().split('/').filter(|part| !part.is_empty());
    let version = parts.nth(1).and_then(|part| part.strip_prefix('v'));
    let program = head.headers.get(header::USER_AGENT);
    let program = program.and_then(|value| value.to_str().ok());
    Contact {
        protocol: version.and_then(|text| text.parse().ok()).unwrap_or(0),
        // A header's text has no control characters.
        program: program
            .unwrap_or_default()
            .chars()
            .take(MOST_PROGRAM)
            .collect(),
        ahead: signed.created - signed::now(),
    }
}

/// Who sent a request, and its body as it was signed. Whoever is not a node of the federation is refused
/// before a byte of the body is read; with `anyone`, who is about to join is not.
pub(super) async fn received(
    all: &Federations,
    name: &str,
    request: Request,
    body: bool,
    most: usize,
    anyone: bool,
) -> Answer<(PublicKey, Held)> {
    let (head, rest) = request.into_parts();
    let signed = sender(all, name, &head, body, anyone)?;
    let peer = head.extensions.get::<Peer>().copied();
    let peer = peer.unwrap_or(Peer::new(std::net::Ipv4Addr::UNSPECIFIED.into()));
    let share = all.bodies.take(peer, 0);
    let mut share = share.ok_or_else(|| Refusal::busy("other requests are being received"))?;
    match signed::body(&signed, rest, most, |bytes| share.grow(bytes)).await {
        Ok(bytes) => {
            let held = Held {
                bytes,
                contact: contact(&head, &signed),
                _share: share,
            };
            Ok((signed.key, held))
        }
        Err(refusal) => {
            let who = signed.key.to_string();
            all.books.refusal(name, "body", &who, &refusal.text());
            Err(refusal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wait_the_longer_each_does() {
        let seconds = |waiting| longest(waiting).as_secs();
        assert_eq!([seconds(1), seconds(1000)], [WAIT; 2]);
        assert_eq!(seconds(2000), 20);
        assert_eq!(seconds(1_000_000), LONGEST_WAIT);
        let waiting = AtomicUsize::new(1);
        drop(Waits(&waiting));
        assert_eq!(waiting.into_inner(), 0);
    }
}

//! The live feed of a run as server-sent events: the lines of its events.jsonl as they come.
//!
//! The file is followed, not the process that writes it: a run may be worked on by another process
//! than this one, or be over.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path as Parameters, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use fedseal_record::report::State as Progressed;
use fedseal_record::rundir::RunDir;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Server;
use super::alive::Alive;
use super::files::{self, Stamp};
use super::openapi::{self, Operation, Parameter, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::report;
use super::shares::Peer;

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many bytes of the past are sent at first.
const PAST: u64 = 2048;
/// Most bytes of one look; a longer line is left out.
const MOST_BYTES: u64 = 256 << 10;
/// Runs of which it is remembered whether they are over.
const MOST_RUNS: usize = 4096;

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
        schema: schema::<fedseal_record::events::Event>,
    },
    refusals: &[400, 404, 500, 503],
};

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
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let runs = shared.runs.clone();
    let alive = runs.alive();
    let ends = shared.ends.clone();
    let dir = blocking(move || runs.folder(&run)).await?;
    let share = shared
        .feeds
        .take(peer, 1)
        .ok_or_else(|| Refusal::busy("too many live feeds are open"))?;
    let from = headers.get("last-event-id");
    let from = from.and_then(|place| place.to_str().ok()?.parse().ok());
    let from = from.or(asked.from);
    // A client that does not read keeps one line waiting, not many.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        follow(&dir, (alive, ends), &sender, from).await;
        drop(share);
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

/// Sends lines until the run is over or nobody listens: from a place of the file on, where the client has one,
/// else the last ones of the past.
async fn follow(
    dir: &Path,
    (alive, ends): (Alive, Ends),
    sender: &mpsc::Sender<Result<Event, Infallible>>,
    from: Option<u64>,
) {
    let run = RunDir::new(dir);
    let length = tokio::fs::metadata(run.events())
        .await
        .map_or(0, |meta| meta.len());
    let mut lines = match from.filter(|from| *from <= length) {
        Some(from) => Lines::from(from, false),
        // A start in the middle of a line is no line.
        None => Lines::from(length.saturating_sub(PAST), length > PAST),
    };
    let mut working = Working::of(alive);
    loop {
        // Looked at before the lines, so that the last ones are sent too.
        let over = ends.over(&run).await;
        for (next, line) in lines.new_ones(&run.root).await {
            let event = Event::default().id(next.to_string()).data(line);
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        if over {
            let _ = sender
                .send(Ok(Event::default().event("end").data("{}")))
                .await;
            return;
        }
        if working.stopped(&run).await {
            let stopped = Event::default().event("stopped").data("{}");
            if sender.send(Ok(stopped)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => (),
            () = sender.closed() => return,
        }
    }
}

/// Whether runs are over, by their reports: one of many who follow a run reads each version of its report.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    known: Arc<Mutex<HashMap<PathBuf, (Stamp, bool)>>>,
    /// Held while a report is read.
    reading: Arc<Mutex<()>>,
}

impl Ends {
    /// Whether the run's report says that nothing more will come. An unchanged report is not read again.
    async fn over(&self, run: &RunDir) -> bool {
        let Some(stamp) = Stamp::at(&run.report()) else {
            return false;
        };
        if let Some(over) = self.known(run, &stamp) {
            return over;
        }
        let (ends, run) = (self.clone(), run.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _one = lock(&ends.reading);
            // Somebody else may have read it meanwhile.
            ends.known(&run, &stamp).unwrap_or_else(|| ends.read(&run))
        });
        read.await.unwrap_or(false)
    }

    fn known(&self, run: &RunDir, stamp: &Stamp) -> Option<bool> {
        let known = lock(&self.known);
        let (last, over) = known.get(&run.root)?;
        (last == stamp).then_some(*over)
    }

    fn read(&self, run: &RunDir) -> bool {
        let Ok(reading) = report::read(run) else {
            return false;
        };
        let shown = reading.shown;
        let over = shown.is_ok_and(|shown| shown.outline.state != Progressed::Running);
        let mut known = lock(&self.known);
        if known.len() >= MOST_RUNS {
            known.clear();
        }
        known.insert(run.root.clone(), (reading.stamp, over));
        over
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody worked on a run when it was looked at last.
#[derive(Default)]
struct Working {
    alive: Alive,
    worked_on: bool,
}

impl Working {
    fn of(alive: Alive) -> Working {
        Working {
            alive,
            worked_on: false,
        }
    }

    /// Whether somebody did, and nobody does now.
    async fn stopped(&mut self, run: &RunDir) -> bool {
        let root = run.root.clone();
        let alive = self.alive.clone();
        let now = tokio::task::spawn_blocking(move || alive.worked_on(&root)).await;
        let now = now.unwrap_or(self.worked_on);
        std::mem::replace(&mut self.worked_on, now) && !now
    }
}

/// The complete lines of a growing file.
struct Lines {
    /// The place in the file that is read next.
    at: u64,
    /// Bytes before it that are no whole line yet.
    partial: Vec<u8>,
    skip: bool,
}

impl Lines {
    /// From a place on; with `skip` up to the first end of a line is left out.
    fn from(at: u64, skip: bool) -> Lines {
        Lines {
            at,
            partial: Vec::new(),
            skip,
        }
    }

    /// Lines that came since, each with the place behind it.
    async fn new_ones(&mut self, run: &Path) -> Vec<(u64, String)> {
        let mut bytes = Vec::new();
        let run = run.to_owned();
        let opened = tokio::task::spawn_blocking(move || files::open(&run, "events.jsonl")).await;
        if let Ok(Ok((file, _))) = opened
            && let mut file = tokio::fs::File::from_std(file)
            && file.seek(SeekFrom::Start(self.at)).await.is_ok()
            && file.take(MOST_BYTES).read_to_end(&mut bytes).await.is_ok()
        {
            self.at += bytes.len() as u64;
        } else {
            return Vec::new();
        }
        self.partial.extend_from_slice(&bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() as u64 > MOST_BYTES {
                self.partial.clear();
                self.skip = true;
            }
            return Vec::new();
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let mut place = self.at - (self.partial.len() + whole.len()) as u64;
        let mut lines: Vec<(u64, String)> = whole
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                place += line.len() as u64;
                let line = String::from_utf8_lossy(line);
                (place, line.trim_end_matches(['\n', '\r']).to_owned())
            })
            .filter(|(_, line)| !line.is_empty())
            .collect();
        if std::mem::take(&mut self.skip) && !lines.is_empty() {
            lines.remove(0);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn lines_come_whole_and_once_with_the_place_behind_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut lines = Lines::from(0, false);
        let line = |place: u64, line: &str| (place, line.to_owned());
        assert!(lines.new_ones(dir.path()).await.is_empty());
        file.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
        assert_eq!(lines.new_ones(dir.path()).await, [line(8, "{\"a\":1}")]);
        assert!(lines.new_ones(dir.path()).await.is_empty());
        file.write_all(b":2}\r\n\n").unwrap();
        assert_eq!(lines.new_ones(dir.path()).await, [line(17, "{\"b\":2}")]);
        // Whoever comes back with a place gets what follows it.
        let mut again = Lines::from(8, false);
        assert_eq!(again.new_ones(dir.path()).await, [line(17, "{\"b\":2}")]);
    }

    #[tokio::test]
    async fn a_start_in_the_middle_skips_the_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, "first\nsecond\nthird\n").unwrap();
        let found = Lines::from(3, true).new_ones(dir.path()).await;
        let found: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(found, ["second", "third"]);
    }

    #[tokio::test]
    async fn a_run_that_nobody_works_on_any_more_is_said_to_have_stopped_once() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.plan(), "{}").unwrap();
        let file = std::fs::File::open(run.plan()).unwrap();
        file.lock().unwrap();
        let mut working = Working::default();
        assert!(!working.stopped(&run).await);
        drop(file);
        // Without a list of locks nobody can say.
        let listed = std::path::Path::new("/proc/locks").exists();
        assert_eq!(working.stopped(&run).await, listed);
        assert!(!working.stopped(&run).await);
    }
}

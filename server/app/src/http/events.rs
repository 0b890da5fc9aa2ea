//! The live feed of a run as server-sent events: the lines of its events.jsonl as they come.
//!
//! The file is followed, not the process that writes it: a run may be worked on by another process
//! than this one, or be over.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path as Parameters, State};
use axum::http::{Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use fedseal_record::rundir::RunDir;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Server;
use super::files::{self, Stamp};
use super::openapi::{self, Operation, schema};
use super::refusal::{Answer, Refusal, blocking};
use super::report;
use super::shares::Peer;

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many bytes of the past are sent at first.
const PAST: u64 = 2048;
/// Most bytes of one look; a longer line is left out.
const MOST_BYTES: u64 = 256 << 10;

/// [`feed`], described.
pub(super) static FEED: Operation = Operation {
    id: "followRun",
    method: Method::GET,
    path: "/api/runs/{run}/events",
    summary: "The live feed of a run, until it is over.",
    query: &[],
    body: None,
    answer: openapi::Answer {
        status: StatusCode::OK,
        what: "Server-sent events: the data of each is an event; one of type `end` comes last.",
        media: &["text/event-stream"],
        schema: schema::<fedseal_record::events::Event>,
    },
    refusals: &[404, 500, 503],
};

/// `GET /api/runs/{run}/events`
pub(super) async fn feed(
    State(shared): Server,
    Extension(peer): Extension<Peer>,
    Parameters(run): Parameters<String>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let runs = shared.runs.clone();
    let dir = blocking(move || runs.folder(&run)).await?;
    let share = shared
        .feeds
        .take(peer, 1)
        .ok_or_else(|| Refusal::busy("too many live feeds are open"))?;
    // A client that does not read keeps one line waiting, not many.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        follow(&dir, &sender).await;
        drop(share);
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

/// Sends lines until the run is over or nobody listens.
async fn follow(dir: &Path, sender: &mpsc::Sender<Result<Event, Infallible>>) {
    let run = RunDir::new(dir);
    let length = tokio::fs::metadata(run.events())
        .await
        .map_or(0, |meta| meta.len());
    let mut lines = Lines {
        at: length.saturating_sub(PAST),
        partial: Vec::new(),
        // A start in the middle of a line is no line.
        skip: length > PAST,
    };
    let mut seen = None;
    loop {
        // Looked at before the lines, so that the last ones are sent too.
        let over = over(&run, &mut seen).await;
        for line in lines.new_ones(&run.root).await {
            if sender.send(Ok(Event::default().data(line))).await.is_err() {
                return;
            }
        }
        if over {
            let _ = sender
                .send(Ok(Event::default().event("end").data("{}")))
                .await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => (),
            () = sender.closed() => return,
        }
    }
}

/// Whether the run's report says that nothing more will come. An unchanged report is not read again.
async fn over(run: &RunDir, seen: &mut Option<(Stamp, bool)>) -> bool {
    let stamp = Stamp::at(&run.report());
    if let Some((last, over)) = seen
        && Some(*last) == stamp
    {
        return *over;
    }
    let dir = run.clone();
    let read = tokio::task::spawn_blocking(move || report::read(&dir)).await;
    let Ok(Ok(reading)) = read else { return false };
    let over = reading
        .outline
        .is_ok_and(|outline| outline.state != fedseal_record::report::State::Running);
    *seen = Some((reading.stamp, over));
    over
}

/// The complete lines of a growing file.
struct Lines {
    at: u64,
    partial: Vec<u8>,
    skip: bool,
}

impl Lines {
    async fn new_ones(&mut self, run: &Path) -> Vec<String> {
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
        let text = String::from_utf8_lossy(&whole).into_owned();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
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
    async fn lines_come_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut lines = Lines {
            at: 0,
            partial: Vec::new(),
            skip: false,
        };
        assert!(lines.new_ones(dir.path()).await.is_empty());
        file.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
        assert_eq!(lines.new_ones(dir.path()).await, ["{\"a\":1}"]);
        assert!(lines.new_ones(dir.path()).await.is_empty());
        file.write_all(b":2}\n\n").unwrap();
        assert_eq!(lines.new_ones(dir.path()).await, ["{\"b\":2}"]);
    }

    #[tokio::test]
    async fn a_start_in_the_middle_skips_the_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, "first\nsecond\nthird\n").unwrap();
        let mut lines = Lines {
            at: 3,
            partial: Vec::new(),
            skip: true,
        };
        assert_eq!(lines.new_ones(dir.path()).await, ["second", "third"]);
    }
}

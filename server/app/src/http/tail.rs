//! Events of runs, followed once for everybody who watches: a new line is read once, and written as a server-sent
//! event once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use fedseal_record::rundir::RunDir;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::broadcast;

use super::alive::Alive;
use super::ends::{Ends, Working};
use super::files;

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks that a watcher may be behind; one that is further behind reads the file itself.
const LOOKS: usize = 8;
/// Most bytes of one look; a longer line is left out.
const MOST_BYTES: u64 = 256 << 10;

/// Followers of the runs that somebody watches.
#[derive(Clone)]
pub(super) struct Tails {
    followed: Arc<Mutex<HashMap<PathBuf, Followed>>>,
    ends: Ends,
    alive: Alive,
}

/// A run that is followed.
struct Followed {
    /// The place in its file that every look so far ends at.
    place: u64,
    looks: broadcast::Sender<Arc<Look>>,
}

/// Events that one look found.
#[derive(Debug)]
pub(super) struct Look {
    text: Bytes,
    /// The place behind each line, and its end in the text.
    lines: Vec<(u64, usize)>,
    /// Whether nothing comes after it.
    pub over: bool,
}

/// Looks from now on.
pub(super) struct Watch {
    /// The place in the file from which on they are.
    pub place: u64,
    /// Looks as they come.
    pub looks: broadcast::Receiver<Arc<Look>>,
}

impl Tails {
    /// Nothing is followed yet.
    pub(super) fn new(alive: Alive) -> Tails {
        Tails {
            followed: Arc::default(),
            ends: Ends::default(),
            alive,
        }
    }

    /// Watches a run, which is followed until nobody does.
    pub(super) async fn watch(&self, run: &RunDir) -> Watch {
        if let Some(watch) = self.watched(&lock(&self.followed), run) {
            return watch;
        }
        let place = last_line(run).await;
        let mut followed = lock(&self.followed);
        // Somebody else may have come meanwhile.
        if let Some(watch) = self.watched(&followed, run) {
            return watch;
        }
        let (looks, receiver) = broadcast::channel(LOOKS);
        followed.insert(run.root.clone(), Followed { place, looks });
        tokio::spawn(self.clone().follow(run.clone(), Lines::from(place, false)));
        Watch {
            place,
            looks: receiver,
        }
    }

    fn watched(&self, followed: &HashMap<PathBuf, Followed>, run: &RunDir) -> Option<Watch> {
        let run = followed.get(&run.root)?;
        Some(Watch {
            place: run.place,
            looks: run.looks.subscribe(),
        })
    }

    async fn follow(self, run: RunDir, mut lines: Lines) {
        let mut working = Working::of(self.alive.clone());
        loop {
            // Looked at before the lines, so that the last ones are sent too.
            let over = self.ends.over(&run).await;
            let mut found = lines.new_ones(&run.root).await;
            if over {
                loop {
                    let more = lines.new_ones(&run.root).await;
                    if more.is_empty() {
                        break;
                    }
                    found.extend(more);
                }
            }
            let stopped = !over && working.stopped(&run).await;
            if self.publish(&run, Look::new(&found, stopped, over)) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Gives a look to everybody; whether it was the last one. Whoever comes meanwhile gets it, or finds the
    /// place behind it.
    fn publish(&self, run: &RunDir, look: Look) -> bool {
        let mut all = lock(&self.followed);
        let Some(followed) = all.get_mut(&run.root) else {
            return true;
        };
        if let Some((place, _)) = look.lines.last() {
            followed.place = *place;
        }
        let last = look.over || followed.looks.receiver_count() == 0;
        if !look.text.is_empty() {
            // An error says that nobody watches.
            let _ = followed.looks.send(Arc::new(look));
        }
        if last {
            all.remove(&run.root);
        }
        last
    }
}

impl Look {
    /// Lines, each with the place behind it, as events whose ids are these places; then what became of the run.
    pub(super) fn new(found: &[(u64, String)], stopped: bool, over: bool) -> Look {
        let mut text = String::new();
        let mut lines = Vec::with_capacity(found.len());
        for (place, line) in found {
            // Ends a line of the feed as well.
            let line = line.replace('\r', " ");
            let _ = write!(text, "id: {place}\ndata: {line}\n\n");
            lines.push((*place, text.len()));
        }
        if stopped {
            text.push_str("event: stopped\ndata: {}\n\n");
        }
        if over {
            text.push_str("event: end\ndata: {}\n\n");
        }
        Look {
            text: text.into(),
            lines,
            over,
        }
    }

    /// The events behind a place, and the place behind them.
    pub(super) fn behind(&self, place: u64) -> (Bytes, u64) {
        let known = self.lines.partition_point(|(at, _)| *at <= place);
        let skip = known.checked_sub(1).and_then(|last| self.lines.get(last));
        let text = self.text.slice(skip.map_or(0, |(_, end)| *end)..);
        (
            text,
            self.lines.last().map_or(place, |(at, _)| place.max(*at)),
        )
    }
}

/// The place behind the last complete line of a run's events; 0 where none is near the end.
async fn last_line(run: &RunDir) -> u64 {
    let length = tokio::fs::metadata(run.events()).await;
    let length = length.map_or(0, |meta| meta.len());
    let start = length.saturating_sub(MOST_BYTES);
    let lines = Lines::from(start, start > 0).new_ones(&run.root).await;
    lines.last().map_or(0, |(place, _)| *place)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The complete lines of a growing file.
pub(super) struct Lines {
    /// The place in the file that is read next.
    at: u64,
    /// Bytes before it that are no whole line yet.
    partial: Vec<u8>,
    skip: bool,
}

impl Lines {
    /// From a place on; with `skip` up to the first end of a line is left out.
    pub(super) fn from(at: u64, skip: bool) -> Lines {
        Lines {
            at,
            partial: Vec::new(),
            skip,
        }
    }

    /// Lines that came since, each with the place behind it.
    pub(super) async fn new_ones(&mut self, run: &Path) -> Vec<(u64, String)> {
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
        let mut whole = std::mem::replace(&mut self.partial, rest);
        let mut place = self.at - (self.partial.len() + whole.len()) as u64;
        if std::mem::take(&mut self.skip)
            && let Some(torn) = whole.iter().position(|byte| *byte == b'\n')
        {
            place += torn as u64 + 1;
            whole.drain(..=torn);
        }
        whole
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                place += line.len() as u64;
                let line = String::from_utf8_lossy(line);
                (place, line.trim_end_matches(['\n', '\r']).to_owned())
            })
            .filter(|(_, line)| !line.is_empty())
            .collect()
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
        // The byte before a line's first one ends the line before it.
        let found = Lines::from(5, true).new_ones(dir.path()).await;
        assert_eq!(found[0], (13, "second".to_owned()));
    }

    #[test]
    fn a_look_gives_what_is_behind_a_place() {
        let line = |place: u64, text: &str| (place, text.to_owned());
        let look = Look::new(&[line(8, "one"), line(12, "t\rwo")], false, true);
        let whole = "id: 8\ndata: one\n\nid: 12\ndata: t wo\n\nevent: end\ndata: {}\n\n";
        assert_eq!(look.behind(3), (Bytes::from(whole), 12));
        let (rest, place) = look.behind(8);
        assert!(whole.ends_with(std::str::from_utf8(&rest).unwrap()));
        assert!(rest.starts_with(b"id: 12") && place == 12);
        assert!(look.behind(20).0.starts_with(b"event: end") && look.behind(20).1 == 20);
    }

    #[tokio::test]
    async fn a_run_is_followed_once_for_all_and_no_longer_than_somebody_watches() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.events(), "first\nsecond\ntor").unwrap();
        let tails = Tails::new(Alive::default());
        let (mut one, mut two) = (tails.watch(&run).await, tails.watch(&run).await);
        assert_eq!((one.place, two.place), (13, 13));
        assert_eq!(lock(&tails.followed).len(), 1);
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(run.events())
            .unwrap();
        file.write_all(b"n\n").unwrap();
        for watch in [&mut one, &mut two] {
            let look = watch.looks.recv().await.unwrap();
            assert_eq!(
                look.behind(watch.place),
                (Bytes::from("id: 18\ndata: torn\n\n"), 18)
            );
        }
        drop((one, two));
        tokio::time::sleep(3 * LOOK_EVERY).await;
        assert!(lock(&tails.followed).is_empty());
    }
}

//! Journal of a federation: enrolments, changes of its state, and refused requests, one JSON object a line.
//! It is the operator's; evidence about updates is in the run's log.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use fedseal_record::rundir;

/// Longest journal, bytes. Strangers cause its lines: beyond that nothing is added.
const MOST_BYTES: u64 = 64 << 20;
/// Longest text of a line's parts, characters.
const MOST_TEXT: usize = 500;
/// Longest line, bytes: the last one may begin below the bound.
const LONGEST_LINE: u64 = 64 << 10;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// The event: `created`, `invited`, `enrolled`, a state, or for a refused request its kind.
    pub what: String,
    /// Whether a request was refused.
    pub refused: bool,
    /// Whose request it was: a key.
    pub who: String,
    /// Its circumstances, for people.
    pub detail: String,
}

/// Adds a line.
///
/// # Errors
/// [`Error::Io`].
pub fn add(path: &Path, what: &str, refused: bool, who: &str, detail: &str) -> Result<()> {
    let io = |source| Error::io(path, source);
    let cut = |text: &str| -> String { text.chars().take(MOST_TEXT).collect() };
    let line = Line {
        time: rundir::now(),
        what: cut(what),
        refused,
        who: cut(who),
        detail: cut(detail),
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(io)?;
    if file.metadata().map_err(io)?.len() >= MOST_BYTES {
        return Ok(());
    }
    let mut text = serde_json::to_string(&line).map_err(|error| Error::Data(error.into()))?;
    text.push('\n');
    file.write_all(text.as_bytes()).map_err(io)
}

/// Count of the refused requests in a journal. It grows with the journal: a line is read once.
#[derive(Debug, Default)]
pub struct Tally {
    /// Bytes that were read.
    read: u64,
    counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Refused requests by what was wrong with them, up to now.
    ///
    /// # Errors
    /// [`Error::Io`]. A line that was cut off by a crash is passed over.
    pub fn refusals(&mut self, path: &Path) -> Result<BTreeMap<String, u64>> {
        let io = |source| Error::io(path, source);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(io(error)),
        };
        if file.metadata().map_err(io)?.len() < self.read {
            // Another journal, or one that was cut: it is counted anew.
            *self = Tally::default();
        }
        file.seek(SeekFrom::Start(self.read)).map_err(io)?;
        let mut lines = BufReader::new(file.take(MOST_BYTES + LONGEST_LINE));
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).map_err(io)?;
            if !line.ends_with(b"\n") {
                return Ok(self.counts.clone());
            }
            self.read += read as u64;
            if let Ok(line) = serde_json::from_slice::<Line>(&line)
                && line.refused
            {
                *self.counts.entry(line.what).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_once_and_a_torn_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut tally = Tally::default();
        assert!(tally.refusals(&path).unwrap().is_empty());
        add(&path, "late", true, "key", "round 1").unwrap();
        add(&path, "late", true, "key", &"x".repeat(10_000)).unwrap();
        add(&path, "enrolled", false, "key", "north").unwrap();
        let counts = |all: &[(&str, u64)]| -> BTreeMap<String, u64> {
            let all = all.iter().map(|(what, count)| ((*what).to_owned(), *count));
            all.collect()
        };
        assert_eq!(tally.refusals(&path).unwrap(), counts(&[("late", 2)]));
        // What was read is not looked at again.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("late", "lost")).unwrap();
        add(&path, "foreign", true, "key", "a line\nof two").unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"time\":\"2026").unwrap();
        for _ in 0..2 {
            let expected = counts(&[("foreign", 1), ("late", 2)]);
            assert_eq!(tally.refusals(&path).unwrap(), expected);
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 4000);
        std::fs::remove_file(&path).unwrap();
        add(&path, "late", true, "key", "").unwrap();
        assert_eq!(tally.refusals(&path).unwrap(), counts(&[("late", 1)]));
    }
}

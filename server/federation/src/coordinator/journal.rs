//! Journal of a federation: enrolments, changes of its state, and refused requests, one JSON object a line.
//! It is the operator's; evidence about updates is in the run's log.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use fedseal_record::rundir;

/// Longest journal, bytes. Strangers cause its lines: beyond that nothing is added.
const MOST_BYTES: u64 = 64 << 20;
/// Longest text of a line's parts, characters.
const MOST_TEXT: usize = 500;

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

/// Refused requests by what was wrong with them.
///
/// # Errors
/// [`Error::Io`]. A line that was cut off by a crash is passed over.
pub fn refusals(path: &Path) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(counts),
        Err(error) => return Err(Error::io(path, error)),
    };
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|source| Error::io(path, source))?;
        if let Ok(line) = serde_json::from_str::<Line>(&line)
            && line.refused
        {
            *counts.entry(line.what).or_default() += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_and_a_torn_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        assert!(refusals(&path).unwrap().is_empty());
        add(&path, "late", true, "key", "round 1").unwrap();
        add(&path, "late", true, "key", &"x".repeat(10_000)).unwrap();
        add(&path, "enrolled", false, "key", "north").unwrap();
        add(&path, "foreign", true, "key", "a line\nof two").unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"time\":\"2026").unwrap();
        let counts = refusals(&path).unwrap();
        let expected = [("foreign".to_owned(), 1), ("late".to_owned(), 2)];
        assert_eq!(counts, BTreeMap::from(expected));
        assert!(std::fs::metadata(&path).unwrap().len() < 4000);
    }
}

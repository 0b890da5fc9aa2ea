//! Own files of an experiment, read as `fedseal tune` reads data files: shards of clients, and the parts of
//! the source `files`.
//!
//! A client of a federation trains on pairs of a prompt and an answer. A row that is a pair is one example;
//! of a conversation of several turns the first question and answer are taken where the experiment says so
//! (a system message stands before the question then, with an empty line between), else it is an error
//! that names file and row. So is a row without an answer, unless such rows are left out.

use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::MAX_BLOB;
use fedseal_tuning::{Conversation, DataFile, DataOptions, Example, PromptFile, Role, TuningError};

use crate::{Error, Result};
use fedseal_data::files::{FilesData, Parts};
use fedseal_data::real::readers;
use fedseal_rules::evaluation::helpfulness::Measure;
use fedseal_rules::experiment::{DataConfig, MAX_SHARD};

/// How rows are taken that are not plainly a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct How {
    /// Whether rows that have no answer or cannot be used are left out.
    pub leave_out: bool,
    /// Whether the first pair of a conversation of several turns is taken.
    pub first: bool,
}

impl How {
    /// As an experiment says.
    pub fn of(data: &DataConfig) -> Self {
        How {
            leave_out: data.leave_out,
            first: data.turns == "first",
        }
    }
}

/// Contents of a data file, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Name of its format.
    pub format: &'static str,
    /// Name of the layout of its rows; none where no row was recognised.
    pub layout: Option<&'static str>,
    /// Rows that are a pair.
    pub pairs: u64,
    /// Rows that are a conversation of several turns, or have a system message.
    pub turns: u64,
    /// Rows that have no answer.
    pub unanswered: u64,
    /// Rows that cannot be used.
    pub bad: u64,
    /// Problem of the first of these.
    pub problem: Option<String>,
}

/// Reads the pairs of a file in order and hands each over.
///
/// # Errors
/// [`Error::Data`] for a file that cannot be read, a row that cannot be used, by its number, and whatever
/// `take` says.
pub fn read(path: &Path, how: How, take: &mut dyn FnMut(Example) -> Result<()>) -> Result<Found> {
    let options = DataOptions::default();
    let mut rows = DataFile::open(path, &options).map_err(unread)?;
    let mut found = Found::default();
    let mut several = 0;
    while let Some(row) = rows.next() {
        let conversation = match row {
            Ok(conversation) => conversation,
            Err(error) if how.leave_out => {
                found.problem.get_or_insert(error.to_string());
                continue;
            }
            Err(error) => return Err(hinted(error, "leave_out = true leaves it out")),
        };
        if let Some(pair) = conversation.as_example() {
            found.pairs += 1;
            take(pair)?;
            continue;
        }
        found.turns += 1;
        match first_pair(&conversation).filter(|_| how.first) {
            Some(pair) => take(pair)?,
            None => {
                let problem = format!(
                    "{}, row {}: a conversation of {} messages, where a client trains on one question \
                     and one answer",
                    path.display(),
                    rows.row(),
                    conversation.messages.len()
                );
                if !how.leave_out {
                    let advice =
                        "turns = \"first\" takes the first pair, leave_out = true leaves it out";
                    return Err(hinted(problem, advice));
                }
                several += 1;
                found.problem.get_or_insert(problem);
            }
        }
    }
    if let Some(row) = rows.skipped_rows().first().filter(|_| !how.leave_out) {
        let problem = format!(
            "{}, row {row}: no answer to learn ({} such rows)",
            path.display(),
            rows.skipped()
        );
        return Err(hinted(problem, "leave_out = true leaves them out"));
    }
    found.format = rows.format().name();
    found.layout = rows.layout().map(|layout| layout.name());
    found.unanswered = rows.skipped();
    found.bad = rows.bad() + several;
    Ok(found)
}

/// Room that is left for what is read, so that a file cannot take more memory than that.
struct Room {
    rows: usize,
    bytes: u64,
}

impl Room {
    /// Room for so many rows, and for as many bytes as a blob may have.
    fn of(rows: usize) -> Self {
        Room {
            rows,
            bytes: MAX_BLOB,
        }
    }

    /// Takes the room of a row.
    fn take(&mut self, file: &str, bytes: usize) -> Result<()> {
        match (
            self.rows.checked_sub(1),
            self.bytes.checked_sub(bytes as u64),
        ) {
            (Some(rows), Some(bytes)) => {
                *self = Room { rows, bytes };
                Ok(())
            }
            (None, _) => Err(too_many(file, "rows than are read here")),
            (_, None) => Err(too_many(file, &format!("than {MAX_BLOB} bytes of texts"))),
        }
    }
}

fn too_many(file: &str, what: &str) -> Error {
    Error::Data(format!("{file}: more {what}").into())
}

/// The pairs of several files, in order. `left` is how many more there may be, which shrinks.
///
/// # Errors
/// As [`read`]; files without a pair; more than `left` pairs, or more than [`MAX_SHARD`] or [`MAX_BLOB`] bytes
/// of one list of files.
pub fn pairs(base: &Path, files: &[String], how: How, left: &mut usize) -> Result<Vec<Example>> {
    let mut all = Vec::new();
    let mut room = Room::of(MAX_SHARD.min(*left));
    for file in files {
        read(&base.join(file), how, &mut |pair| {
            room.take(file, pair.prompt.len() + pair.response.len())?;
            all.push(pair);
            Ok(())
        })?;
    }
    *left -= all.len();
    some(files, all)
}

/// The prompts of several files, in order: of a text file (`.txt`) each line, of any other one a row.
///
/// # Errors
/// As [`pairs`].
pub fn prompts(base: &Path, files: &[String], how: How) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut room = Room::of(MAX_SHARD);
    for file in files {
        let path = base.join(file);
        let mut add = |prompt: String| {
            room.take(file, prompt.len())?;
            all.push(prompt);
            Result::<()>::Ok(())
        };
        if path.extension().is_some_and(|extension| extension == "txt") {
            readers::lines(&path)?.into_iter().try_for_each(add)?;
            continue;
        }
        for prompt in PromptFile::open(&path, &DataOptions::default()).map_err(unread)? {
            match prompt {
                Ok(prompt) => add(prompt)?,
                Err(_) if how.leave_out => {}
                Err(error) => return Err(hinted(error, "leave_out = true leaves it out")),
            }
        }
    }
    some(files, all)
}

/// The source `files` of an experiment; its files are relative to `base`.
///
/// # Errors
/// As [`pairs`], with the key of `[data]` that names the file.
pub fn data(config: &DataConfig, base: &Path) -> Result<FilesData> {
    let how = How::of(config);
    let mut parts = Parts::default();
    for (key, files) in config.parts() {
        if files.is_empty() {
            continue;
        }
        let named = |error: Error| about(&format!("data.{key}"), error);
        let digest = match key {
            "requests" | "canary_requests" => {
                let prompts = prompts(base, files, how).map_err(named)?;
                let digest = Digest::of_json(&prompts)?;
                match key {
                    "requests" => parts.requests = prompts,
                    _ => parts.canary_requests = prompts,
                }
                digest
            }
            _ => {
                let pairs = pairs(base, files, how, &mut { MAX_SHARD }).map_err(named)?;
                let digest = Digest::of_json(&pairs)?;
                let part = match key {
                    "tasks" => &mut parts.tasks,
                    "canary_tasks" => &mut parts.canary_tasks,
                    "refusals" => &mut parts.refusals,
                    "helpful" => &mut parts.helpful,
                    "aligned" => &mut parts.aligned,
                    _ => &mut parts.unaligned,
                };
                *part = pairs;
                digest
            }
        };
        parts.pins.insert(key.to_owned(), digest);
    }
    let measure = Measure::of(config.judged_as()).unwrap_or(Measure::Overlap);
    Ok(FilesData::new(parts, measure))
}

/// The first question and answer of a conversation, with a system message before the question; none where
/// it does not begin with a question that is answered.
fn first_pair(conversation: &Conversation) -> Option<Example> {
    let mut messages = conversation.messages.iter().peekable();
    let system = messages.next_if(|message| message.role == Role::System);
    let question = messages.next().filter(|it| it.role == Role::User)?;
    let answer = messages.next().filter(|it| it.role == Role::Assistant)?;
    if !answer.learned || answer.content.trim().is_empty() {
        return None;
    }
    let prompt = match system.map(|message| message.content.trim()) {
        Some(system) if !system.is_empty() => format!("{system}\n\n{}", question.content),
        _ => question.content.clone(),
    };
    Some(Example::new(prompt, &answer.content))
}

fn some<T>(files: &[String], all: Vec<T>) -> Result<Vec<T>> {
    match all.is_empty() {
        true => Err(Error::Data(
            format!("{}: no row to use", files.join(", ")).into(),
        )),
        false => Ok(all),
    }
}

/// An error about data, with what they are of before it.
pub(crate) fn about(what: &str, error: Error) -> Error {
    match error {
        Error::Data(problem) => Error::Data(format!("{what}: {problem}").into()),
        other => other,
    }
}

fn unread(error: TuningError) -> Error {
    Error::Data(error.into())
}

fn hinted(problem: impl std::fmt::Display, advice: &str) -> Error {
    Error::Data(format!("{problem}; in [data], {advice}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_takes_more_rows_or_bytes_than_there_is_room_for() {
        let mut room = Room { rows: 2, bytes: 10 };
        room.take("a", 6).unwrap();
        let said = room.take("a", 5).unwrap_err().to_string();
        assert!(said.contains("bytes of texts"), "{said}");
        room.take("a", 4).unwrap();
        let said = room.take("a", 0).unwrap_err().to_string();
        assert!(said.contains("more rows"), "{said}");
    }

    #[test]
    fn pairs_of_all_lists_share_their_room() {
        let dir = tempfile::tempdir().unwrap();
        let row = "{\"prompt\": \"a\", \"response\": \"b\"}\n";
        std::fs::write(dir.path().join("a.jsonl"), row.repeat(3)).unwrap();
        let mut left = 4;
        let read = |left: &mut usize| pairs(dir.path(), &["a.jsonl".into()], How::default(), left);
        assert_eq!(read(&mut left).unwrap().len(), 3);
        assert_eq!(left, 1);
        let said = read(&mut left).unwrap_err().to_string();
        assert!(said.contains("more rows"), "{said}");
    }
}

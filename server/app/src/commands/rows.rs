//! Rows of data files, and which of them were left out or cut.

use std::{collections::HashSet, path::PathBuf};

use clap::Args;
use fedseal_tuning::{Conversation, Cut, DataFile, DataOptions, Layout, TuningError};

use crate::failure::{Failure, Outcome};

/// How data files are read.
#[derive(Args)]
pub(super) struct DataChoice {
    /// Layout of the rows: alpaca, sharegpt, messages, lmsys, wildchat or pairs; by default seen
    /// from the first row of each file.
    #[arg(long, value_parser = layout)]
    layout: Option<Layout>,
    /// Longest row, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = DataOptions::default().max_row_bytes)]
    max_row_bytes: usize,
    /// Pass over rows that cannot be read, that the model's template refuses, or (score) that do not
    /// fit the model's positions, instead of stopping at the first. Which ones is said.
    #[arg(long)]
    pub skip_bad: bool,
    /// At most so many conversations of all files together.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

fn layout(name: &str) -> Result<Layout, String> {
    Layout::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Layout::ALL.iter().map(|layout| layout.name()).collect();
        format!("known layouts: {}", known.join(", "))
    })
}

/// Row numbers that are listed, at most.
const LISTED: usize = 20;

/// Rows of a file that were left out: how many, and which are the first.
#[derive(Default)]
struct LeftOut {
    count: u64,
    first: Vec<u64>,
    /// Problem of the first of them.
    problem: Option<String>,
}

impl LeftOut {
    fn add(&mut self, row: u64, count: u64) {
        self.count += count;
        if self.first.len() < LISTED {
            self.first.push(row);
        }
    }
}

/// Lists row numbers, of which there may be more than are known.
fn listed(rows: &[u64], count: u64) -> String {
    let numbers: Vec<String> = rows.iter().map(u64::to_string).collect();
    match count.saturating_sub(rows.len() as u64) {
        0 => numbers.join(", "),
        more => format!("{} and {more} more", numbers.join(", ")),
    }
}

/// Counts of a data file that was read.
#[derive(serde::Serialize)]
pub(super) struct FileRead {
    /// The file.
    pub file: String,
    /// JSON, JSONL, Parquet or Arrow.
    pub format: &'static str,
    /// Layout of its rows; none for a file in which no row was recognised.
    pub layout: Option<&'static str>,
    /// Conversations that were taken.
    pub conversations: usize,
    /// Rows without an answer.
    pub skipped: u64,
    /// The first rows without an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_rows: Vec<u64>,
    /// Rows that could not be used and were passed over.
    pub bad: u64,
    /// The first rows that were passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_rows: Vec<u64>,
    /// Problem of the first row that was passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl FileRead {
    /// Text of what was read, in a line; and of the rows that were left out, in others.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}: {} ({}), {} conversations, {} rows without an answer, {} passed over",
            self.file,
            self.format,
            self.layout.unwrap_or("no rows"),
            self.conversations,
            self.skipped,
            self.bad
        );
        for (what, rows, count) in [
            ("without an answer", &self.skipped_rows, self.skipped),
            ("passed over", &self.bad_rows, self.bad),
        ] {
            if count > 0 {
                text += &format!("\n    {what}: row {}", listed(rows, count));
            }
        }
        if let Some(problem) = &self.problem {
            text += &format!("\n    {problem}");
        }
        text
    }

    /// Whether rows were left out.
    pub(super) fn left_out(&self) -> bool {
        self.skipped > 0 || self.bad > 0
    }

    fn add_bad(&mut self, row: u64, problem: String) {
        self.bad += 1;
        if self.bad_rows.len() < LISTED {
            self.bad_rows.push(row);
        }
        self.problem.get_or_insert(problem);
    }
}

/// Where a conversation was read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    file: usize,
    row: u64,
}

/// The conversations of data files.
pub(super) struct DataRead {
    /// Conversations with their places, in order.
    pub conversations: Vec<(Place, Conversation)>,
    /// The files that were opened.
    pub files: Vec<FileRead>,
    skip_bad: bool,
}

impl DataChoice {
    /// Reads every file, in order.
    pub(super) fn read(&self, files: &[PathBuf]) -> Outcome<DataRead> {
        let options = DataOptions {
            layout: self.layout,
            max_row_bytes: self.max_row_bytes,
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut all = DataRead {
            conversations: Vec::new(),
            files: Vec::new(),
            skip_bad: self.skip_bad,
        };
        for path in files {
            if all.conversations.len() >= limit {
                break;
            }
            let mut rows = DataFile::open(path, &options).map_err(Failure::usage)?;
            let before = all.conversations.len();
            let mut bad = LeftOut::default();
            while all.conversations.len() < limit {
                let lost = rows.bad();
                match rows.next() {
                    Some(Ok(conversation)) => {
                        let place = Place {
                            file: all.files.len(),
                            row: rows.row(),
                        };
                        all.conversations.push((place, conversation));
                    }
                    Some(Err(error)) if self.skip_bad => {
                        bad.add(rows.row(), rows.bad() - lost);
                        bad.problem.get_or_insert(error.to_string());
                    }
                    Some(Err(error)) => return Err(refused(error)),
                    None => break,
                }
            }
            all.files.push(FileRead {
                file: path.display().to_string(),
                format: rows.format().name(),
                layout: rows.layout().map(Layout::name),
                conversations: all.conversations.len() - before,
                skipped: rows.skipped(),
                skipped_rows: rows.skipped_rows().to_vec(),
                bad: bad.count,
                bad_rows: bad.first,
                problem: bad.problem,
            });
        }
        all.check_any()?;
        Ok(all)
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error).hint("--skip-bad passes over rows that cannot be used.")
}

impl DataRead {
    fn check_any(&self) -> Outcome {
        if !self.conversations.is_empty() {
            return Ok(());
        }
        let failure = Failure::usage("no row of these files has an answer to learn from");
        let files = self.files.iter().filter(|file| file.left_out());
        Err(files.fold(failure, |failure, file| failure.hint(file.text())))
    }

    /// A row, as messages name it.
    pub(super) fn name(&self, place: Place) -> String {
        let file = self.files.get(place.file).map_or("", |file| &file.file);
        format!("{file}, row {}", place.row)
    }

    /// Takes rows away that the model cannot use, with the reason for each; without --skip-bad the
    /// first is an error.
    pub(super) fn pass_over(&mut self, bad: Vec<(Place, TuningError)>) -> Outcome {
        for (place, error) in &bad {
            let problem = format!("{}: {error}", self.name(*place));
            if !self.skip_bad {
                return Err(refused(problem));
            }
            if let Some(file) = self.files.get_mut(place.file) {
                file.conversations = file.conversations.saturating_sub(1);
                file.add_bad(place.row, problem);
            }
        }
        let bad: HashSet<Place> = bad.into_iter().map(|(place, _)| place).collect();
        self.conversations.retain(|(place, _)| !bad.contains(place));
        self.check_any()
    }
}

/// Examples of which a part does not fit.
#[derive(serde::Serialize)]
pub(super) struct CutRows {
    /// Longest example, tokens.
    pub limit: usize,
    /// Whose limit that is.
    pub limit_of: &'static str,
    /// Examples whose prompt loses its beginning.
    pub prompts: u64,
    /// The first rows with such an example.
    pub prompt_rows: Vec<String>,
    /// Examples whose answer loses its end.
    pub answers: u64,
    /// The first rows with such an example.
    pub answer_rows: Vec<String>,
}

impl CutRows {
    /// Counts what is cut; `None` when nothing is.
    pub(super) fn of(
        cuts: &[(Place, Cut)],
        data: &DataRead,
        max_length: usize,
        positions: usize,
    ) -> Option<Self> {
        let side = |cut: &dyn Fn(&Cut) -> usize| {
            let rows = cuts.iter().filter(|(_, it)| cut(it) > 0);
            let mut names: Vec<String> = Vec::new();
            let mut count = 0;
            for (place, _) in rows {
                count += 1;
                let name = match data.files.len() {
                    1 => format!("row {}", place.row),
                    _ => data.name(*place),
                };
                if names.len() < LISTED && names.last() != Some(&name) {
                    names.push(name);
                }
            }
            (count, names)
        };
        let (prompts, prompt_rows) = side(&|cut| cut.prompt);
        let (answers, answer_rows) = side(&|cut| cut.response);
        (prompts + answers > 0).then_some(Self {
            limit: max_length.min(positions),
            limit_of: match max_length <= positions {
                true => "--max-length",
                false => "the model's positions",
            },
            prompts,
            prompt_rows,
            answers,
            answer_rows,
        })
    }

    /// Text of what is cut, in lines.
    pub(super) fn text(&self, examples: usize) -> String {
        let mut text = format!(
            "of {examples} examples some are longer than {} tokens ({}) and are cut:",
            self.limit, self.limit_of
        );
        for (count, rows, what) in [
            (
                self.prompts,
                &self.prompt_rows,
                "prompts lose their beginning",
            ),
            (self.answers, &self.answer_rows, "answers lose their end"),
        ] {
            if count > 0 {
                let more = match count > rows.len() as u64 {
                    true => ", ..",
                    false => "",
                };
                text += &format!("\n    {count} {what}: {}{more}", rows.join("; "));
            }
        }
        text
    }
}

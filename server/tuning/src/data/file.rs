//! A data file, read as a stream.

use std::path::{Path, PathBuf};

use super::{
    Conversation, Layout, error,
    format::{DataFormat, Rows},
    layout, limits,
};
use crate::TuningError;

/// Options of [`DataFile::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOptions {
    /// Layout of the rows; `None` detects it from the first row that can be read.
    pub layout: Option<Layout>,
    /// Longest row, bytes; a longer one is an error, and is not held in memory.
    pub max_row_bytes: usize,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            layout: None,
            max_row_bytes: limits::ROW_BYTES,
        }
    }
}

/// The conversations of a file, in order, read on demand.
///
/// A row that cannot be used is an error that names file, row and field. Reading can continue after
/// it, unless the file itself is broken: then the next item is `None`.
pub struct DataFile {
    path: PathBuf,
    format: DataFormat,
    layout: Option<Layout>,
    rows: Rows,
    row: u64,
    skipped: u64,
    skipped_rows: Vec<u64>,
    bad: u64,
    ended: bool,
}

/// Rows without an answer whose numbers are kept.
const KEPT_ROWS: usize = 20;

impl DataFile {
    /// Opens a file and detects its format. A file without rows has no conversations.
    ///
    /// # Errors
    /// [`TuningError::Io`] when it cannot be read, [`TuningError::Data`] when its format is not
    /// known, or when none of its columns belongs to a known layout.
    pub fn open(path: &Path, options: &DataOptions) -> Result<Self, TuningError> {
        let fields = layout::fields(options.layout);
        let (rows, format) = Rows::open(path, &fields, options.max_row_bytes)?;
        Ok(Self {
            path: path.to_owned(),
            format,
            layout: options.layout,
            rows,
            row: 0,
            skipped: 0,
            skipped_rows: Vec::new(),
            bad: 0,
            ended: false,
        })
    }

    /// Format of the file.
    pub fn format(&self) -> DataFormat {
        self.format
    }

    /// Layout of the rows; `None` before one was recognised.
    pub fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// Number of the last row that was read, from 1: the line of a JSONL file, the element of a JSON
    /// list, the row of a Parquet file.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// Number of rows so far that have no answer to learn; they are skipped without an error.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Numbers of the first of these rows, 20 at most.
    pub fn skipped_rows(&self) -> &[u64] {
        &self.skipped_rows
    }

    /// Number of rows so far that could not be used. An error may stand for several of them, where a
    /// part of a file is broken.
    pub fn bad(&self) -> u64 {
        self.bad
    }
}

impl Iterator for DataFile {
    type Item = Result<Conversation, TuningError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let (number, row) = match self.rows.next() {
                Some(Ok(row)) => row,
                Some(Err(bad)) => {
                    self.ended = bad.fatal;
                    self.row = bad.row;
                    self.bad += bad.rows;
                    return Some(Err(error(&self.path, bad.row, bad.fault)));
                }
                None => break,
            };
            self.row = number;
            let layout = match self.layout {
                Some(layout) => Ok(layout),
                None => Layout::detect(&row),
            };
            let read = layout.and_then(|layout| {
                self.layout = Some(layout);
                layout.read(&row)
            });
            match read {
                Ok(Some(conversation)) => return Some(Ok(conversation)),
                Ok(None) => {
                    self.skipped += 1;
                    if self.skipped_rows.len() < KEPT_ROWS {
                        self.skipped_rows.push(number);
                    }
                }
                Err(fault) => {
                    self.bad += 1;
                    return Some(Err(error(&self.path, number, fault)));
                }
            }
        }
        self.ended = true;
        None
    }
}

//! A data file, read as a stream.

use std::path::{Path, PathBuf};

use super::{
    Conversation, Fault, Layout, error,
    format::{BadRow, DataFormat, Numbered, Rows},
    limits,
};
use crate::TuningError;

/// Options of [`DataFile::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOptions {
    /// Layout of the rows; `None` detects it from the first row.
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
    layout: Layout,
    rows: Rows,
    /// The row that determined the layout.
    first: Option<Numbered>,
    skipped: u64,
    ended: bool,
}

impl DataFile {
    /// Opens a file and detects its format and layout.
    ///
    /// # Errors
    /// [`TuningError::Io`] when it cannot be read, [`TuningError::Data`] when its format or the
    /// layout of its first row is not known, or when it has no row.
    pub fn open(path: &Path, options: &DataOptions) -> Result<Self, TuningError> {
        let fields: Vec<&str> = match options.layout {
            Some(layout) => layout.fields().to_vec(),
            None => Layout::ALL
                .iter()
                .flat_map(|layout| layout.fields())
                .copied()
                .collect(),
        };
        let (mut rows, format) = Rows::open(path, &fields, options.max_row_bytes)?;
        let (number, first) = match rows.next() {
            Some(Ok(first)) => first,
            Some(Err(BadRow { row, fault, .. })) => return Err(error(path, row, fault)),
            None => return Err(error(path, 0, Fault::new("file", "no rows"))),
        };
        let layout = match options.layout {
            Some(layout) => layout,
            None => Layout::detect(&first).map_err(|fault| error(path, number, fault))?,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            layout,
            rows,
            first: Some((number, first)),
            skipped: 0,
            ended: false,
        })
    }

    /// Format of the file.
    pub fn format(&self) -> DataFormat {
        self.format
    }

    /// Layout of the rows.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of rows so far that have no answer to learn; they are skipped without an error.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Iterator for DataFile {
    type Item = Result<Conversation, TuningError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let next = match self.first.take() {
                Some(first) => Some(Ok(first)),
                None => self.rows.next(),
            };
            let (number, row) = match next {
                Some(Ok(row)) => row,
                Some(Err(bad)) => {
                    self.ended = bad.fatal;
                    return Some(Err(error(&self.path, bad.row, bad.fault)));
                }
                None => break,
            };
            match self.layout.read(&row) {
                Ok(Some(conversation)) => return Some(Ok(conversation)),
                Ok(None) => self.skipped += 1,
                Err(fault) => return Some(Err(error(&self.path, number, fault))),
            }
        }
        self.ended = true;
        None
    }
}

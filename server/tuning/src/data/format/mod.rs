//! The formats of files, one module each: they yield rows as JSON objects, with the row's number.

mod json;
mod jsonl;
mod parquet;
mod row;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use super::Fault;
use crate::TuningError;

pub(super) use row::{BadRow, Numbered};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFormat {
    /// One list of objects.
    Json,
    /// One object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl DataFormat {
    /// Name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Jsonl => "JSONL",
            Self::Parquet => "Parquet",
        }
    }
}

/// The rows of a file.
pub(super) enum Rows {
    Json(json::Rows<BufReader<File>>),
    Jsonl(jsonl::Rows<BufReader<File>>),
    Parquet(Box<parquet::Rows<File>>),
}

/// UTF-8's byte order mark, which editors on Windows write.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Rows {
    /// Opens a file and detects its format from the first bytes. `fields` are the top-level fields
    /// that are needed.
    pub(super) fn open(
        path: &Path,
        fields: &[&str],
        max_row_bytes: usize,
    ) -> Result<(Self, DataFormat), TuningError> {
        let mut file = File::open(path).map_err(TuningError::io(path))?;
        let mut magic = Vec::new();
        (&mut file)
            .take(4)
            .read_to_end(&mut magic)
            .map_err(TuningError::io(path))?;
        let whole = |fault: Fault| super::error(path, 0, fault);
        if magic == parquet::MAGIC {
            let rows = parquet::Rows::new(file, fields, max_row_bytes).map_err(whole)?;
            return Ok((Self::Parquet(Box::new(rows)), DataFormat::Parquet));
        }
        if magic.starts_with(b"\x1f\x8b") || magic.starts_with(b"PK") {
            let problem = "compressed as a whole; unpack it first";
            return Err(whole(Fault::new("file", problem)));
        }
        let start = if magic.starts_with(MARK) {
            MARK.len()
        } else {
            0
        };
        file.seek(SeekFrom::Start(start as u64))
            .map_err(TuningError::io(path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        loop {
            let buffer = reader.fill_buf().map_err(TuningError::io(path))?;
            let Some(first) = buffer.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                let length = buffer.len();
                if length == 0 {
                    return Err(whole(Fault::new("file", "empty")));
                }
                reader.consume(length);
                continue;
            };
            // Leading blank lines are kept, so that lines are counted as an editor counts them.
            return match buffer.get(first) {
                Some(b'[') => {
                    reader.consume(first + 1);
                    let rows = json::Rows::new(reader, max_row_bytes);
                    Ok((Self::Json(rows), DataFormat::Json))
                }
                Some(b'{') => {
                    let rows = jsonl::Rows::new(reader, max_row_bytes);
                    Ok((Self::Jsonl(rows), DataFormat::Jsonl))
                }
                _ => Err(whole(Fault::new(
                    "file",
                    "neither Parquet (PAR1) nor JSON: it begins with neither [ nor {",
                ))),
            };
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(rows) => rows.next(),
            Self::Jsonl(rows) => rows.next(),
            Self::Parquet(rows) => rows.next(),
        }
    }
}

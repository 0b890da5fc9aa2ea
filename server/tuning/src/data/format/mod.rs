//! The formats of files, one module each: they yield rows as JSON objects, with the row's number.

mod arrow;
mod json;
mod jsonl;
mod kinds;
mod parquet;
mod row;
mod zstd;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::Fault;
use crate::TuningError;

pub use parquet::{ParquetColumn, Unwritten, write_parquet};
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
    /// Arrow IPC: a stream, or a file (Feather).
    Arrow,
}

impl DataFormat {
    /// Name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Jsonl => "JSONL",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
        }
    }
}

/// A text, unpacked where the file is compressed.
pub(super) type Text = Box<dyn BufRead + Send>;

/// The rows of a file.
pub(super) enum Rows {
    Json(json::Rows<Text>),
    Jsonl(jsonl::Rows<Text>),
    Parquet(Box<parquet::Rows>),
    Arrow(Box<arrow::Rows>),
}

/// UTF-8's byte order mark, which editors on Windows write.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// First bytes of a gzip member.
const GZIP: &[u8] = b"\x1f\x8b";
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

impl Rows {
    /// Opens a file and detects its format from the first bytes. `fields` are the top-level fields
    /// that are needed.
    pub(super) fn open(
        path: &Path,
        fields: &[&str],
        max_row_bytes: usize,
    ) -> Result<(Self, DataFormat), TuningError> {
        let io = |error| TuningError::io(path)(error);
        let whole = |fault: Fault| super::error(path, 0, fault);
        let mut file = File::open(path).map_err(io)?;
        let head = head(&mut file).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        if head.starts_with(parquet::MAGIC) {
            let rows = parquet::Rows::new(file, fields, max_row_bytes).map_err(whole)?;
            return Ok((Self::Parquet(Box::new(rows)), DataFormat::Parquet));
        }
        if head.starts_with(parquet::ENCRYPTED) {
            return Err(whole(parquet::encrypted()));
        }
        for magic in [arrow::MAGIC, arrow::MESSAGE] {
            if head.starts_with(magic) {
                // A stream begins with the mark of its first message.
                let footer = magic == arrow::MAGIC;
                let rows = arrow::Rows::new(file, footer, fields, max_row_bytes).map_err(whole)?;
                return Ok((Self::Arrow(Box::new(rows)), DataFormat::Arrow));
            }
        }
        let file = BufReader::with_capacity(BUFFER, file);
        let (mut text, head): (Text, Vec<u8>) = if head.starts_with(GZIP) {
            unpacked(MultiGzDecoder::new(file)).map_err(|error| whole(row::unreadable(error)))?
        } else if head.starts_with(zstd::MAGIC) {
            unpacked(zstd::Frames::new(file)).map_err(|error| whole(row::unreadable(error)))?
        } else {
            (Box::new(file), head)
        };
        if head.starts_with(MARK) {
            text.fill_buf()
                .map_err(|error| whole(row::unreadable(error)))?;
            text.consume(MARK.len());
        }
        loop {
            let buffer = text
                .fill_buf()
                .map_err(|error| whole(row::unreadable(error)))?;
            let Some(first) = buffer.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                let length = buffer.len();
                if length == 0 {
                    // A file without a row.
                    let rows = jsonl::Rows::new(text, max_row_bytes);
                    return Ok((Self::Jsonl(rows), DataFormat::Jsonl));
                }
                text.consume(length);
                continue;
            };
            let byte = buffer.get(first).copied().unwrap_or_default();
            // Text in UTF-16 has a zero beside every bracket.
            let wide = buffer.get(first + 1) == Some(&0);
            // Leading blank lines are kept, so that lines are counted as an editor counts them.
            return match byte {
                b'[' if !wide => {
                    text.consume(first + 1);
                    let rows = json::Rows::new(text, max_row_bytes);
                    Ok((Self::Json(rows), DataFormat::Json))
                }
                b'{' if !wide => {
                    let rows = jsonl::Rows::new(text, max_row_bytes);
                    Ok((Self::Jsonl(rows), DataFormat::Jsonl))
                }
                _ => Err(whole(Fault::new(
                    "file",
                    kinds::unread(&head).unwrap_or_else(|| {
                        "neither Parquet, Arrow nor JSON: it begins with neither [ nor {; CSV and other texts \
                         are not read"
                            .to_owned()
                    }),
                ))),
            };
        }
    }
}

/// Reads the beginning of a file.
fn head(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(kinds::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Buffers what is unpacked, and returns its beginning.
fn unpacked(packed: impl std::io::Read + Send + 'static) -> std::io::Result<(Text, Vec<u8>)> {
    let mut text = BufReader::with_capacity(BUFFER, packed);
    let buffer = text.fill_buf()?;
    let head = buffer.iter().copied().take(kinds::HEAD).collect::<Vec<_>>();
    // Parquet is read from its end.
    if head.starts_with(parquet::MAGIC) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "a Parquet file that was compressed as a whole; unpack it first",
        ));
    }
    Ok((Box::new(text), head))
}

impl Iterator for Rows {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(rows) => rows.next(),
            Self::Jsonl(rows) => rows.next(),
            Self::Parquet(rows) => rows.next(),
            Self::Arrow(rows) => rows.next(),
        }
    }
}

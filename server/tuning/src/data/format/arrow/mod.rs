//! Arrow IPC, streams and files (Apache Arrow, Columnar.rst, "Serialization and interprocess
//! communication"): what `datasets` keeps and Feather is. A stream has its messages one after the
//! other; a file has a footer that says where they lie.
//!
//! The crate `arrow-ipc` would bring seven crates to build, and allocates what lengths claim; what is
//! read here are texts, numbers, lists and structs.

mod array;
mod flat;
mod schema;

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use super::{
    row::{BadRow, Numbered},
    zstd,
};
use crate::data::{Fault, layout, limits};
use array::{Array, Dictionaries, Parts, Problem, Reader};
use flat::Table;
use schema::Field;

/// First and last bytes of a file.
pub(super) const MAGIC: &[u8] = b"ARROW1";
/// First bytes of a message, and so of a stream.
pub(super) const MESSAGE: &[u8] = b"\xff\xff\xff\xff";

/// Reads row by row; holds one record batch.
pub(in super::super) struct Rows {
    file: File,
    size: u64,
    /// Next message of a stream.
    at: u64,
    /// Messages of a file, the next one first; `None` for a stream.
    blocks: Option<VecDeque<u64>>,
    fields: Vec<Field>,
    dictionaries: Dictionaries,
    columns: Vec<Array>,
    max_row_bytes: usize,
    /// Next row of the batch, and their number.
    next: usize,
    length: usize,
    row: u64,
    ended: bool,
}

/// A message: its metadata, and where its body lies.
struct Message {
    metadata: Vec<u8>,
    body: u64,
}

/// Kinds of messages, as the union `MessageHeader` numbers them.
const SCHEMA: u8 = 1;
const DICTIONARY: u8 = 2;
const BATCH: u8 = 3;

impl Rows {
    /// Reads the schema of a stream, or of a file with a footer. Later only top-level fields with these
    /// names are read, and of messages what layouts look at.
    pub(super) fn new(
        file: File,
        has_footer: bool,
        fields: &[&str],
        max_row_bytes: usize,
    ) -> Result<Self, Fault> {
        let size = file
            .metadata()
            .map_err(|error| Fault::new("file", error))?
            .len();
        let mut rows = Self {
            file,
            size,
            at: 0,
            blocks: None,
            fields: Vec::new(),
            dictionaries: Dictionaries::new(),
            columns: Vec::new(),
            max_row_bytes,
            next: 0,
            length: 0,
            row: 0,
            ended: false,
        };
        let bad = |problem: Problem| Fault::new("schema", problem.text);
        let metadata = match has_footer {
            true => rows.footer().map_err(bad)?,
            false => rows
                .message()
                .map_err(bad)?
                .map_or(Vec::new(), |it| it.metadata),
        };
        let table = Table::root(&metadata);
        let schema = match has_footer {
            true => table.and_then(|footer| footer.table(1)),
            false => table
                .filter(|table| table.byte(1) == SCHEMA)
                .and_then(|table| table.table(2)),
        };
        let schema = schema.ok_or_else(|| bad("none where it belongs".into()))?;
        rows.fields = schema::fields(schema, &|path: &[&str]| match path {
            [field] => fields.contains(field),
            path => layout::needs(path),
        })
        .map_err(|problem| bad(problem.into()))?;
        if has_footer {
            let blocks = table.map(|footer| [footer.blocks(2), footer.blocks(3)].concat());
            rows.blocks = blocks.map(VecDeque::from);
        }
        if rows.fields.iter().all(|field| !field.needed) {
            let found: Vec<&str> = rows.fields.iter().map(|it| it.name.as_str()).collect();
            return Err(Fault::new(
                "layout",
                format!("none of the columns {found:?} belongs to a known layout"),
            ));
        }
        Ok(rows)
    }

    fn read_at(&mut self, at: u64, length: usize) -> Result<Vec<u8>, Problem> {
        if at
            .checked_add(length as u64)
            .is_none_or(|end| end > self.size)
        {
            return Err("it ends inside a message; is the file cut off?".into());
        }
        let mut bytes = vec![0; length];
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|error| Problem::from(error.to_string()))?;
        Ok(bytes)
    }

    /// Reads the footer of a file: it stands before its length and the mark.
    fn footer(&mut self) -> Result<Vec<u8>, Problem> {
        let cut = "no ARROW1 at the end; is the file cut off?";
        let end = self.size.checked_sub(10).ok_or(cut)?;
        let tail = self.read_at(end, 10)?;
        let length = match tail.split_first_chunk::<4>() {
            Some((length, b"ARROW1")) => metadata_length(*length)?,
            _ => return Err(cut.into()),
        };
        let start = end.checked_sub(length as u64).ok_or(cut)?;
        self.read_at(start, length)
    }

    /// Reads the next message; `None` at the end.
    fn message(&mut self) -> Result<Option<Message>, Problem> {
        if let Some(blocks) = &mut self.blocks {
            match blocks.pop_front() {
                Some(at) => self.at = at,
                None => return Ok(None),
            }
        }
        if self.at >= self.size {
            return Ok(None);
        }
        let mut start = self.at.saturating_add(4);
        let mut length = self.read_at(self.at, 4)?;
        // Messages of versions before 0.15 have no mark before their length.
        if length == MESSAGE {
            length = self.read_at(start, 4)?;
            start += 4;
        }
        let length = metadata_length(*length.first_chunk().ok_or("a broken message")?)?;
        if length == 0 {
            return Ok(None);
        }
        let metadata = self.read_at(start, length)?;
        let body = start + length as u64;
        let table = Table::root(&metadata).ok_or("a broken message")?;
        let behind = u64::try_from(table.long(3)).ok();
        self.at = behind
            .and_then(|length| body.checked_add(length))
            .filter(|at| *at <= self.size)
            .ok_or("it ends inside a message; is the file cut off?")?;
        Ok(Some(Message { metadata, body }))
    }

    /// Reads messages up to a batch with rows; false at the end.
    fn read_batch(&mut self) -> Result<bool, Problem> {
        while self.next == self.length {
            let Some(message) = self.message()? else {
                return Ok(false);
            };
            let table = Table::root(&message.metadata).ok_or("a broken message")?;
            let header = table.table(2).ok_or("a message without a header")?;
            match table.byte(1) {
                BATCH => self.open_batch(header, message.body)?,
                DICTIONARY => self.read_dictionary(header, message.body)?,
                _ => {}
            }
        }
        Ok(true)
    }

    fn open_batch(&mut self, batch: Table<'_>, body: u64) -> Result<(), Problem> {
        self.next = 0;
        self.length = 0;
        self.columns.clear();
        let fields = std::mem::take(&mut self.fields);
        let columns = self.arrays(fields.iter(), batch, body);
        self.fields = fields;
        self.columns = columns?;
        let length = usize::try_from(batch.long(0)).unwrap_or(usize::MAX);
        if length > limits::BATCH_ROWS {
            return Err(format!(
                "a batch of {length} rows, at most {} are read",
                limits::BATCH_ROWS
            )
            .into());
        }
        let columns = self.fields.iter().zip(&self.columns);
        let mut needed = columns.filter(|(field, _)| field.needed);
        if needed.any(|(_, array)| array.len() != length) {
            return Err("columns of other lengths than their batch".into());
        }
        self.length = length;
        Ok(())
    }

    /// Reads the columns of a batch.
    fn arrays<'f>(
        &mut self,
        fields: impl Iterator<Item = &'f Field>,
        batch: Table<'_>,
        body: u64,
    ) -> Result<Vec<Array>, Problem> {
        let codec = batch.table(3).map(|compression| compression.byte(0));
        let (nodes, buffers, variadic) = (batch.pairs(1), batch.pairs(2), batch.longs(4));
        let mut read = |offset: i64, length: i64| -> Result<Vec<u8>, Problem> {
            let place = u64::try_from(offset)
                .ok()
                .and_then(|it| body.checked_add(it));
            let length = usize::try_from(length).ok();
            let (Some(place), Some(length)) = (place, length) else {
                return Err("a buffer without a place".into());
            };
            if length > limits::ARROW_BUFFER {
                return Err(too_large(length as u64));
            }
            unpack(codec, self.read_at(place, length)?)
        };
        let mut parts = Parts {
            nodes: nodes.iter(),
            buffers: buffers.iter(),
            variadic: variadic.iter(),
            read: &mut read,
        };
        fields.map(|field| parts.array(field)).collect()
    }

    /// Reads the values of a dictionary, or more of them.
    fn read_dictionary(&mut self, table: Table<'_>, body: u64) -> Result<(), Problem> {
        let id = table.long(0);
        let batch = table.table(1).ok_or("a dictionary without values")?;
        let length = usize::try_from(batch.long(0)).unwrap_or(usize::MAX);
        if length > limits::DICTIONARY_VALUES {
            return Err(format!(
                "a dictionary of {length} values, at most {} are read",
                limits::DICTIONARY_VALUES
            )
            .into());
        }
        let fields = std::mem::take(&mut self.fields);
        let values = match find(&fields, id) {
            Some(field) => self.dictionary(field, batch, body, length),
            None => Ok(Vec::new()),
        };
        self.fields = fields;
        let known = self.dictionaries.entry(id).or_default();
        // A delta goes on behind the values that are known.
        if !table.bool(2) {
            known.clear();
        }
        known.extend(values?);
        Ok(())
    }

    fn dictionary(
        &mut self,
        field: &Field,
        batch: Table<'_>,
        body: u64,
        length: usize,
    ) -> Result<Vec<serde_json::Value>, Problem> {
        let plain = Field {
            name: field.name.clone(),
            kind: field.kind,
            children: Vec::new(),
            dictionary: None,
            json: field.json,
            needed: true,
        };
        if !field.children.is_empty() {
            return Err("a dictionary of lists or structs, which is not read".into());
        }
        let arrays = self.arrays(std::iter::once(&plain), batch, body)?;
        let array = arrays.first().ok_or("a dictionary without values")?;
        let mut reader = Reader {
            dictionaries: &self.dictionaries,
            room: limits::ARROW_BUFFER,
        };
        (0..length)
            .map(|index| reader.value(&plain, array, index))
            .collect()
    }
}

/// Reads the length of a message's metadata or of a footer.
fn metadata_length(bytes: [u8; 4]) -> Result<usize, Problem> {
    let length = u32::from_le_bytes(bytes) as usize;
    if length > limits::FOOTER {
        let most = limits::FOOTER;
        return Err(format!("metadata of {length} bytes, at most {most} are read").into());
    }
    Ok(length)
}

/// Finds the field that a dictionary is of, where it is needed.
fn find(fields: &[Field], id: i64) -> Option<&Field> {
    fields
        .iter()
        .filter(|field| field.needed)
        .find_map(
            |field| match field.dictionary.is_some_and(|(own, _)| own == id) {
                true => Some(field),
                false => find(&field.children, id),
            },
        )
}

fn too_large(length: u64) -> Problem {
    let most = limits::ARROW_BUFFER;
    format!("a buffer of {length} bytes, at most {most} are read; write smaller batches").into()
}

/// Unpacks a buffer: its length (-1: not packed), then what is packed (BodyCompression).
fn unpack(codec: Option<u8>, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let Some(codec) = codec else {
        return Ok(bytes);
    };
    let Some((length, packed)) = bytes.split_first_chunk::<8>() else {
        return Ok(Vec::new());
    };
    let length = match u64::try_from(i64::from_le_bytes(*length)) {
        Ok(length) if length <= limits::ARROW_BUFFER as u64 => length,
        Ok(length) => return Err(too_large(length)),
        Err(_) => return Ok(packed.to_vec()),
    };
    let mut plain = Vec::new();
    let read = match codec {
        0 => lz4_flex::frame::FrameDecoder::new(packed)
            .take(length)
            .read_to_end(&mut plain),
        1 => zstd::Frames::new(packed)
            .take(length)
            .read_to_end(&mut plain),
        _ => return Err("an unknown compression".into()),
    };
    match read {
        Ok(read) if read as u64 == length => Ok(plain),
        _ => Err("a buffer that does not unpack".into()),
    }
}

impl Iterator for Rows {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read_batch() {
            Ok(true) => {}
            Ok(false) => {
                self.ended = true;
                return None;
            }
            Err(problem) => {
                self.ended = true;
                let fault = Fault::new("file", problem.text);
                return Some(Err(BadRow::last(self.row + 1, fault)));
            }
        }
        let index = self.next;
        self.next += 1;
        self.row += 1;
        let mut reader = Reader {
            dictionaries: &self.dictionaries,
            room: self.max_row_bytes,
        };
        Some(match reader.object(&self.fields, &self.columns, index) {
            Ok(serde_json::Value::Object(row)) => Ok((self.row, row)),
            Ok(_) => Err(BadRow::of(self.row, Fault::new("row", "no object"))),
            Err(Problem { field, text }) => {
                let field = field.unwrap_or_else(|| "row".to_owned());
                Err(BadRow::of(self.row, Fault::new(field, text)))
            }
        })
    }
}

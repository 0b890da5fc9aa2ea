//! One column of a row group: its pages, as a stream of levels and values. Only one page and the
//! column's dictionary are held at a time.

use std::io::{Read, Seek, SeekFrom};

use fedseal_adapter::Source;
use serde_json::Value;

use super::{
    codec::decompress,
    encoding::{self, Hybrid, SHORT},
    schema::Physical,
    thrift::{Broken, Struct},
};
use crate::data::limits;

/// Description of a fault in a column; the caller adds the column's name.
pub(super) type Problem = Source;

/// Position of a column's chunk, from the file's metadata.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) values: u64,
    pub(super) codec: i64,
}

pub(super) struct Column {
    physical: Physical,
    /// Highest definition and repetition level.
    levels: (u16, u16),
    chunk: Chunk,
    /// Next byte to read.
    at: u64,
    /// Number of values in the pages that are not read yet.
    left: u64,
    dictionary: Option<Vec<Value>>,
    page: Option<Page>,
    /// Levels of the next value.
    next: Option<(u16, u16)>,
}

struct Page {
    left: usize,
    repetition: Option<Hybrid>,
    definition: Option<Hybrid>,
    values: Values,
}

/// Present values of a page (nulls are not stored).
enum Values {
    Plain {
        bytes: Vec<u8>,
        at: usize,
    },
    /// Booleans, one bit each.
    Bits {
        bytes: Vec<u8>,
        at: usize,
    },
    /// Booleans in runs.
    Runs(Hybrid),
    Dictionary(Hybrid),
    Numbers(std::vec::IntoIter<i64>),
    /// Texts: lengths first, then the bytes; each may share the beginning of the one before it.
    Texts {
        lengths: std::vec::IntoIter<i64>,
        prefixes: Option<std::vec::IntoIter<i64>>,
        bytes: Vec<u8>,
        at: usize,
        last: Vec<u8>,
    },
}

impl Column {
    pub(super) fn new(physical: Physical, levels: (u16, u16), chunk: Chunk) -> Self {
        Self {
            physical,
            levels,
            chunk,
            at: chunk.start,
            left: chunk.values,
            dictionary: None,
            page: None,
            next: None,
        }
    }

    /// Returns repetition and definition level of the next value, without taking it; `None` at the
    /// end.
    pub(super) fn peek<R: Read + Seek>(
        &mut self,
        file: &mut R,
    ) -> Result<Option<(u16, u16)>, Problem> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            if self.left == 0 {
                return Ok(None);
            }
            self.read_page(file)?;
        }
        let (most_defined, most_repeated) = self.levels;
        let Some(page) = &mut self.page else {
            return Ok(None);
        };
        page.left -= 1;
        let level = |levels: &mut Option<Hybrid>, most: u16| -> Result<u16, Problem> {
            let level = match levels {
                None => u64::from(most),
                Some(levels) => levels.next()?,
            };
            u16::try_from(level)
                .ok()
                .filter(|level| *level <= most)
                .ok_or_else(|| "a level above the schema's".into())
        };
        // Without repetition every value starts a row.
        let repetition = match page.repetition {
            None => 0,
            Some(_) => level(&mut page.repetition, most_repeated)?,
        };
        let definition = level(&mut page.definition, most_defined)?;
        self.next = Some((repetition, definition));
        Ok(self.next)
    }

    /// Takes the next value: `None` where it is null or its parent is absent.
    pub(super) fn take<R: Read + Seek>(&mut self, file: &mut R) -> Result<Option<Value>, Problem> {
        let Some((_, definition)) = self.peek(file)? else {
            return Err("fewer values than rows".into());
        };
        self.next = None;
        if definition < self.levels.0 {
            return Ok(None);
        }
        let Some(page) = &mut self.page else {
            return Err(SHORT.into());
        };
        page.values
            .next(self.physical, self.dictionary.as_deref())
            .map(Some)
    }

    /// Reads pages up to and including the next data page.
    fn read_page<R: Read + Seek>(&mut self, file: &mut R) -> Result<(), Problem> {
        let header = self.read_header(file)?;
        let size = |field: i16, most: usize, what: &str| {
            header
                .size(field)
                .filter(|size| *size <= most)
                .ok_or_else(|| {
                    let found = header.int(field).unwrap_or(-1);
                    format!("a page of {found} {what}, at most {most} are read")
                })
        };
        let length = size(2, limits::PAGE, "bytes")?;
        let stored = size(3, limits::PAGE, "bytes")?;
        if self.at.saturating_add(stored as u64) > self.chunk.end {
            return Err("a page that reaches beyond its column".into());
        }
        let mut bytes = vec![0; stored];
        file.seek(SeekFrom::Start(self.at))
            .and_then(|_| file.read_exact(&mut bytes))?;
        self.at += stored as u64;
        match header.int(1) {
            Some(0) => {
                let data = header.inner(5).ok_or("a data page without a header")?;
                let bytes = decompress(self.chunk.codec, &bytes, length)?;
                self.first_version(data, bytes)
            }
            Some(2) => {
                let data = header.inner(7).ok_or("a dictionary without a header")?;
                let bytes = decompress(self.chunk.codec, &bytes, length)?;
                self.read_dictionary(data, &bytes)
            }
            Some(3) => {
                let data = header.inner(8).ok_or("a data page without a header")?;
                self.second_version(data, &bytes, length)
            }
            // Index pages and page types of later format versions carry no values.
            _ => Ok(()),
        }
    }

    /// Reads the header at `at`, whose length is not known beforehand.
    fn read_header<R: Read + Seek>(&mut self, file: &mut R) -> Result<Struct, Problem> {
        let mut window = 1 << 10;
        loop {
            let there = usize::try_from(self.chunk.end.saturating_sub(self.at))
                .unwrap_or(usize::MAX)
                .min(window);
            let mut bytes = vec![0; there];
            file.seek(SeekFrom::Start(self.at))
                .and_then(|_| file.read_exact(&mut bytes))?;
            match Struct::parse(&bytes) {
                Ok((header, taken)) => {
                    self.at += taken as u64;
                    return Ok(header);
                }
                Err(Broken::Short) if there == window && window < limits::PAGE_HEADER => {
                    window *= 8;
                }
                Err(_) => return Err("a page without a header".into()),
            }
        }
    }

    fn read_dictionary(&mut self, header: &Struct, bytes: &[u8]) -> Result<(), Problem> {
        let count = count(header)?;
        let mut rest = bytes;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(encoding::plain(&mut rest, self.physical)?);
        }
        self.dictionary = Some(values);
        Ok(())
    }

    /// Reads a data page of version 1: levels with their lengths, then values, all compressed.
    fn first_version(&mut self, header: &Struct, mut bytes: Vec<u8>) -> Result<(), Problem> {
        let (most_defined, most_repeated) = self.levels;
        let mut at = 0usize;
        let mut levels = |most: u16, kind: i16| -> Result<Option<Hybrid>, Problem> {
            if most == 0 {
                return Ok(None);
            }
            if header.int(kind) != Some(3) {
                return Err("levels in an encoding before RLE".into());
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let length = u32::from_le_bytes(*rest.first_chunk::<4>().ok_or(SHORT)?) as usize;
            let own = rest
                .get(4..)
                .and_then(|rest| rest.get(..length))
                .ok_or(SHORT)?;
            at += 4 + length;
            Ok(Some(Hybrid::new(own.to_vec(), width(most))?))
        };
        let repetition = levels(most_repeated, 4)?;
        let definition = levels(most_defined, 3)?;
        bytes.drain(..at);
        self.set_page(header, 2, repetition, definition, bytes)
    }

    /// Reads a data page of version 2: uncompressed levels without lengths, then values.
    fn second_version(
        &mut self,
        header: &Struct,
        bytes: &[u8],
        length: usize,
    ) -> Result<(), Problem> {
        let (most_defined, most_repeated) = self.levels;
        let defined = header.size(5).ok_or(SHORT)?;
        let repeated = header.size(6).ok_or(SHORT)?;
        let (repetition, rest) = bytes.split_at_checked(repeated).ok_or(SHORT)?;
        let (definition, rest) = rest.split_at_checked(defined).ok_or(SHORT)?;
        let length = length
            .checked_sub(repeated)
            .and_then(|length| length.checked_sub(defined))
            .ok_or(SHORT)?;
        let values = if header.bool(7) == Some(false) {
            rest.to_vec()
        } else {
            decompress(self.chunk.codec, rest, length)?
        };
        let levels = |bytes: &[u8], most: u16| -> Result<Option<Hybrid>, Problem> {
            if most == 0 {
                return Ok(None);
            }
            Ok(Some(Hybrid::new(bytes.to_vec(), width(most))?))
        };
        let repetition = levels(repetition, most_repeated)?;
        let definition = levels(definition, most_defined)?;
        self.set_page(header, 4, repetition, definition, values)
    }

    fn set_page(
        &mut self,
        header: &Struct,
        encoding: i16,
        repetition: Option<Hybrid>,
        definition: Option<Hybrid>,
        bytes: Vec<u8>,
    ) -> Result<(), Problem> {
        let left = count(header)?;
        if left as u64 > self.left {
            return Err("more values than its column has".into());
        }
        self.left -= left as u64;
        let values = Values::new(header.int(encoding), self.physical, bytes, left)?;
        self.page = Some(Page {
            left,
            repetition,
            definition,
            values,
        });
        Ok(())
    }
}

/// Number of values in a page.
fn count(header: &Struct) -> Result<usize, Problem> {
    header
        .size(1)
        .filter(|count| *count <= limits::PAGE_VALUES)
        .ok_or_else(|| format!("a page of more than {} values", limits::PAGE_VALUES).into())
}

/// Number of bits of a level.
fn width(most: u16) -> u32 {
    u16::BITS - most.leading_zeros()
}

impl Values {
    fn new(
        encoding: Option<i64>,
        physical: Physical,
        bytes: Vec<u8>,
        count: usize,
    ) -> Result<Self, Problem> {
        let texts = matches!(physical, Physical::ByteArray);
        Ok(match (encoding, physical) {
            (Some(0), Physical::Boolean) => Self::Bits { bytes, at: 0 },
            (Some(0), _) => Self::Plain { bytes, at: 0 },
            (Some(2 | 8), _) => {
                let (&width, indices) = match bytes.split_first() {
                    Some(split) => split,
                    // A page with nulls only.
                    None => (&0, &[][..]),
                };
                Self::Dictionary(Hybrid::new(indices.to_vec(), u32::from(width))?)
            }
            (Some(3), Physical::Boolean) => {
                Self::Runs(Hybrid::new(bytes.get(4..).ok_or(SHORT)?.to_vec(), 1)?)
            }
            (Some(5), Physical::Int32 | Physical::Int64) => {
                Self::Numbers(encoding::deltas(&bytes, count)?.0.into_iter())
            }
            (Some(6), _) if texts => {
                let (lengths, rest) = encoding::deltas(&bytes, count)?;
                Self::Texts {
                    lengths: lengths.into_iter(),
                    prefixes: None,
                    bytes: rest.to_vec(),
                    at: 0,
                    last: Vec::new(),
                }
            }
            (Some(7), _) if texts => {
                let (prefixes, rest) = encoding::deltas(&bytes, count)?;
                let (lengths, rest) = encoding::deltas(rest, count)?;
                Self::Texts {
                    lengths: lengths.into_iter(),
                    prefixes: Some(prefixes.into_iter()),
                    bytes: rest.to_vec(),
                    at: 0,
                    last: Vec::new(),
                }
            }
            (other, _) => {
                return Err(format!(
                    "encoding {} of {physical:?} is not supported; write the file with the \
                     writer's default encodings",
                    other.unwrap_or(-1)
                )
                .into());
            }
        })
    }

    fn next(&mut self, physical: Physical, dictionary: Option<&[Value]>) -> Result<Value, Problem> {
        match self {
            Self::Plain { bytes, at } => {
                let mut rest = bytes.get(*at..).unwrap_or_default();
                let before = rest.len();
                let value = encoding::plain(&mut rest, physical)?;
                *at += before - rest.len();
                Ok(value)
            }
            Self::Bits { bytes, at } => {
                let byte = *bytes.get(*at / 8).ok_or(SHORT)?;
                let bit = byte >> (*at % 8) & 1;
                *at += 1;
                Ok(Value::Bool(bit == 1))
            }
            Self::Runs(runs) => Ok(Value::Bool(runs.next()? == 1)),
            Self::Dictionary(indices) => {
                let index = usize::try_from(indices.next()?).unwrap_or(usize::MAX);
                dictionary
                    .and_then(|values| values.get(index))
                    .cloned()
                    .ok_or_else(|| "an index beyond its dictionary".into())
            }
            Self::Numbers(numbers) => Ok(numbers.next().ok_or(SHORT)?.into()),
            Self::Texts {
                lengths,
                prefixes,
                bytes,
                at,
                last,
            } => {
                let size = |number: Option<i64>| {
                    number
                        .and_then(|number| usize::try_from(number).ok())
                        .ok_or(SHORT)
                };
                let length = size(lengths.next())?;
                let prefix = match prefixes {
                    Some(prefixes) => size(prefixes.next())?,
                    None => 0,
                };
                let end = at.checked_add(length).ok_or(SHORT)?;
                let suffix = bytes.get(*at..end).ok_or(SHORT)?;
                *at = end;
                if prefix > last.len() {
                    return Err("a prefix longer than the text before it".into());
                }
                last.truncate(prefix);
                last.extend_from_slice(suffix);
                Ok(encoding::text(last)?)
            }
        }
    }
}

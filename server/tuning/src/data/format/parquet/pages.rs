//! Access of the library to the file: pages one at a time, and none that claims more than the limits.

use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parquet::{
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        reader::{ChunkReader, Length},
        serialized_reader::SerializedPageReader,
    },
};

use super::thrift::{Broken, Struct};
use crate::data::{format::zstd, limits};

/// The file; every page header is checked before the library gets it.
pub(super) struct Source(File);

impl Source {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    fn at(&self, start: u64) -> Result<File> {
        let mut file = self.0.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

/// The file from the beginning of a page on. The library also asks for it where it has the header
/// already and reads nothing, so the header is checked when it is read.
pub(super) struct Head {
    file: File,
    /// Bytes from the header on, and how many of them were given out.
    bytes: Vec<u8>,
    at: usize,
}

impl Head {
    /// Reads up to the header's end, which is not known beforehand, and checks it.
    fn fill(&mut self) -> Result<()> {
        let mut window = 256;
        loop {
            let missing = window - self.bytes.len() as u64;
            let read = (&self.file).take(missing).read_to_end(&mut self.bytes)?;
            match Struct::parse(&self.bytes) {
                Ok((header, _)) => return check(&header),
                Err(Broken::Short) if read as u64 == missing && window < limits::PAGE_HEADER => {
                    window *= 16;
                }
                Err(_) => return Err(ParquetError::General("a page without a header".to_owned())),
            }
        }
    }
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() {
            self.fill().map_err(std::io::Error::other)?;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }
}

/// Checks the sizes and counts of a page header (parquet.thrift, `PageHeader`).
fn check(header: &Struct) -> Result<()> {
    let refused = |what: &str, found: Option<i64>, most: usize| {
        Err(ParquetError::General(format!(
            "a page of {} {what}, at most {most} are read",
            found.unwrap_or(-1)
        )))
    };
    for field in [2, 3] {
        if header.size(field).is_none_or(|size| size > limits::PAGE) {
            return refused("bytes", header.int(field), limits::PAGE);
        }
    }
    // Data pages of versions 1 and 2, and the dictionary.
    for (field, most) in [
        (5, limits::PAGE_VALUES),
        (8, limits::PAGE_VALUES),
        (7, limits::DICTIONARY_VALUES),
    ] {
        if let Some(inner) = header.inner(field)
            && inner.size(1).is_none_or(|count| count > most)
        {
            return refused("values", inner.int(1), most);
        }
    }
    Ok(())
}

impl Length for Source {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Source {
    type T = Head;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(Head {
            file: self.at(start)?,
            bytes: Vec::new(),
            at: 0,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length.min(limits::PAGE));
        self.at(start)?
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        if bytes.len() != length {
            return Err(ParquetError::EOF("a page beyond the end".to_owned()));
        }
        Ok(bytes.into())
    }
}

/// Opened by the reader of a column, closed by the page that it lets through.
#[derive(Default)]
pub(super) struct Gate {
    open: AtomicBool,
    ended: AtomicBool,
}

impl Gate {
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Whether the column has no more pages.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// The pages of a column; one data page for each time that the gate is opened. So a column takes the
/// memory of one page and its dictionary, however long its rows are.
pub(super) struct Pages {
    pub(super) inner: SerializedPageReader<Source>,
    pub(super) gate: Arc<Gate>,
    /// Whether pages come packed with Zstandard. The library would bring a C library for it.
    pub(super) zstd: bool,
}

/// Unpacks a page. In pages of version 2 levels stand before the values and are not packed.
fn unpacked(mut page: Page) -> Result<Page> {
    let unpack = |buffer: &mut Bytes, plain: usize| -> Result<()> {
        let (levels, packed) = buffer
            .split_at_checked(plain)
            .ok_or_else(|| ParquetError::EOF("levels beyond their page".to_owned()))?;
        if packed.is_empty() {
            return Ok(());
        }
        let values = zstd::unpack(packed, limits::PAGE)?;
        *buffer = [levels, &values].concat().into();
        Ok(())
    };
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => unpack(buf, 0)?,
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            is_compressed: true,
            ..
        } => unpack(
            buf,
            (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize),
        )?,
        Page::DataPageV2 { .. } => {}
    }
    Ok(page)
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if !self.gate.open.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut page = self.inner.get_next_page()?;
        if self.zstd {
            page = page.map(unpacked).transpose()?;
        }
        match &page {
            None => self.gate.ended.store(true, Ordering::Relaxed),
            Some(Page::DictionaryPage { .. }) => {}
            Some(_) => self.gate.open.store(false, Ordering::Relaxed),
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}

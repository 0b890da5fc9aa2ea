//! Apache Parquet: the columns that a layout reads, row by row (parquet-format's README.md,
//! parquet.thrift, Encodings.md and, for nested rows, Dremel: Melnik et al. 2010, section 4).
//!
//! Written for data files from outside: whatever lengths and counts claim, memory stays within the
//! limits, and every deviation is an error with row and column. Codecs: none, snappy, zstd.
//! Encodings: plain, dictionary, runs and the three delta encodings.

mod assemble;
mod codec;
mod column;
mod encoding;
mod schema;
mod thrift;

use std::io::{Read, Seek, SeekFrom};

use fedseal_adapter::Source;

use super::row::{BadRow, Numbered};
use crate::data::{Fault, limits};
use assemble::Assembler;
use column::{Chunk, Column};
use schema::{Kind, Node};
use thrift::Struct;

/// First and last bytes of a file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// Metadata of a row group.
struct Group {
    rows: u64,
    /// Chunks by column, in the order of the schema.
    chunks: Vec<Chunk>,
}

/// Reads row by row; holds one page per column.
pub(in super::super) struct Rows<R> {
    file: R,
    root: Node,
    max_row_bytes: usize,
    groups: std::vec::IntoIter<Group>,
    /// Columns of the current group by their number; `None` for those that are not read.
    columns: Vec<Option<Column>>,
    left: u64,
    row: u64,
    ended: bool,
}

fn bad(problem: impl Into<Source>) -> Fault {
    Fault::new("footer", problem)
}

impl<R: Read + Seek> Rows<R> {
    /// Reads the footer. Later only top-level fields with these names are read.
    pub(super) fn new(mut file: R, fields: &[&str], max_row_bytes: usize) -> Result<Self, Fault> {
        let io = |error: std::io::Error| Fault::new("file", error);
        let size = file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut tail = [0u8; 8];
        let footer_end = size
            .checked_sub(8)
            .filter(|end| *end >= 4)
            .ok_or_else(|| bad("the file is too short"))?;
        file.seek(SeekFrom::Start(footer_end)).map_err(io)?;
        file.read_exact(&mut tail).map_err(io)?;
        let [a, b, c, d, magic @ ..] = tail;
        if magic != *MAGIC {
            return Err(bad("no PAR1 at the end: cut off, or encrypted"));
        }
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let start = footer_end
            .checked_sub(length as u64)
            .filter(|_| length <= limits::FOOTER)
            .ok_or_else(|| bad(format!("{length} bytes in a file of {size}")))?;
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        file.read_exact(&mut bytes).map_err(io)?;
        let (footer, _) = Struct::parse(&bytes).map_err(|_| bad("broken"))?;
        let elements = footer.list(2).ok_or_else(|| bad("no schema"))?;
        let mut root = schema::parse(&elements)?;
        let physical = root.columns().len();
        let groups = footer
            .list(4)
            .unwrap_or_default()
            .into_iter()
            .map(|group| read_group(group, physical, start))
            .collect::<Result<Vec<_>, _>>()?;
        if let Kind::Group { children, .. } = &mut root.kind {
            let found: Vec<String> = children.iter().map(|child| child.name.clone()).collect();
            children.retain(|child| fields.contains(&child.name.as_str()));
            if children.is_empty() {
                return Err(Fault::new(
                    "layout",
                    format!("none of the columns {found:?} belongs to a known layout"),
                ));
            }
        }
        Ok(Self {
            file,
            root,
            max_row_bytes,
            groups: groups.into_iter(),
            columns: Vec::new(),
            left: 0,
            row: 0,
            ended: false,
        })
    }

    fn open_group(&mut self, group: &Group) {
        self.columns = group.chunks.iter().map(|_| None).collect();
        for leaf in self.root.columns() {
            if let Kind::Leaf { column, physical } = leaf.kind
                && let Some(&chunk) = group.chunks.get(column)
                && let Some(slot) = self.columns.get_mut(column)
            {
                let levels = (leaf.definition, leaf.repeats);
                *slot = Some(Column::new(physical, levels, chunk));
            }
        }
        self.left = group.rows;
    }
}

/// Reads the columns of a row group, in the order of the schema.
fn read_group(group: &Struct, columns: usize, footer: u64) -> Result<Group, Fault> {
    let rows = group
        .size(3)
        .ok_or_else(|| bad("a row group without rows"))?;
    let list = group
        .list(1)
        .ok_or_else(|| bad("a row group without columns"))?;
    if list.len() != columns {
        return Err(bad("a row group with other columns than the schema"));
    }
    let mut chunks = Vec::with_capacity(list.len());
    for chunk in list {
        if chunk.text(1).is_some() {
            return Err(bad("columns in other files are not supported"));
        }
        let meta = chunk
            .inner(3)
            .ok_or_else(|| bad("a column without metadata: encrypted?"))?;
        let number = |field: i16| meta.size(field).map(|value| value as u64);
        let data = number(9).ok_or_else(|| bad("a column without pages"))?;
        // Some writers give 0 where there is no dictionary.
        let start = number(11)
            .filter(|at| (1..data).contains(at))
            .unwrap_or(data);
        let end = number(7)
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= footer)
            .ok_or_else(|| bad("a column beyond the end of the file"))?;
        chunks.push(Chunk {
            start,
            end,
            values: number(5).ok_or_else(|| bad("a column without a count"))?,
            codec: meta.int(4).unwrap_or(-1),
        });
    }
    Ok(Group {
        rows: rows as u64,
        chunks,
    })
}

impl<R: Read + Seek> Iterator for Rows<R> {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 && !self.ended {
            match self.groups.next() {
                Some(group) => self.open_group(&group),
                None => self.ended = true,
            }
        }
        if self.ended {
            return None;
        }
        self.left -= 1;
        self.row += 1;
        let row = self.row;
        let mut assembler = Assembler {
            file: &mut self.file,
            columns: &mut self.columns,
            room: self.max_row_bytes,
            limit: self.max_row_bytes,
        };
        Some(
            assembler
                .row(&self.root)
                .map(|fields| (row, fields))
                .map_err(|fault| {
                    // The columns are no longer at the same row.
                    self.ended = true;
                    BadRow {
                        row,
                        fault,
                        fatal: true,
                    }
                }),
        )
    }
}

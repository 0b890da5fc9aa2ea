//! Apache Parquet: the columns that a layout reads, row by row. The crate `parquet` reads footers,
//! pages, encodings and codecs; here rows are made of its columns, without arrow in between.
//!
//! Written for data files from outside: whatever lengths and counts claim, memory stays within the
//! limits, and every deviation is an error with row and column. [`write_parquet`] writes tables of our own.

mod assemble;
mod column;
mod footer;
mod guard;
mod pages;
mod schema;
mod thrift;
mod value;
mod write;

use std::{collections::BTreeSet, fs::File, sync::Arc};

use parquet::file::metadata::ParquetMetaData;

use super::row::{BadRow, Numbered};
use crate::data::{Fault, layout};
use assemble::{Assembler, Broken};
use column::Column;
use pages::Source;
use schema::{Kind, Node};

pub(super) use footer::{ENCRYPTED, MAGIC, encrypted};
pub use write::{Column as ParquetColumn, Unwritten, write_parquet};

/// Reads row by row; holds one page per column.
pub(in super::super) struct Rows {
    file: Arc<Source>,
    metadata: ParquetMetaData,
    root: Node,
    max_row_bytes: usize,
    /// Next row group.
    group: usize,
    /// Columns of the current group by their number; `None` for those that are not read.
    columns: Vec<Option<Column>>,
    /// Rows of the current group that are not read yet.
    left: u64,
    row: u64,
}

impl Rows {
    /// Reads the footer. Later only top-level fields with these names are read, and of messages what
    /// layouts look at.
    pub(super) fn new(
        mut file: File,
        fields: &[&str],
        max_row_bytes: usize,
    ) -> Result<Self, Fault> {
        let footer = footer::read(&mut file)?;
        let schema = footer.metadata.file_metadata().schema();
        let root = schema::tree(schema, &|path: &[&str]| match path {
            [field] => fields.contains(field),
            path => layout::needs(path),
        });
        if matches!(&root.kind, Kind::Group { children, .. } if children.is_empty()) {
            let found: Vec<&str> = schema
                .get_fields()
                .iter()
                .map(|field| field.name())
                .take(32)
                .collect();
            return Err(Fault::new(
                "layout",
                format!("none of the columns {found:?} belongs to a known layout"),
            ));
        }
        check_readable(&root, &footer.encrypted)?;
        Ok(Self {
            file: Arc::new(Source::new(file)),
            metadata: footer.metadata,
            root,
            max_row_bytes,
            group: 0,
            columns: Vec::new(),
            left: 0,
            row: 0,
        })
    }

    /// Opens the next row group that has rows; `None` after the last.
    fn open_group(&mut self) -> Option<Result<(), Fault>> {
        while self.left == 0 {
            let group = self.metadata.row_groups().get(self.group)?;
            self.group += 1;
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            self.left = rows as u64;
            self.columns = group.columns().iter().map(|_| None).collect();
            let mut leaves = Vec::new();
            self.root.leaves(&mut leaves);
            for (column, leaf) in leaves {
                let Some(chunk) = group.columns().get(column) else {
                    continue;
                };
                let opened = Column::open(&self.file, chunk, rows, leaf);
                match (opened, self.columns.get_mut(column)) {
                    (Ok(opened), Some(slot)) => *slot = Some(opened),
                    (Err(problem), _) => {
                        let path = chunk.column_path().string();
                        return Some(Err(Fault::new(path, problem)));
                    }
                    (Ok(_), None) => {}
                }
            }
        }
        Some(Ok(()))
    }

    /// Gives the rest of a row group up, since its columns cannot be read.
    fn lose_group(&mut self, fault: Fault) -> BadRow {
        self.row += 1;
        let row = self.row;
        let behind = self.left.saturating_sub(1);
        self.row += behind;
        self.left = 0;
        let problem = match behind {
            0 => fault.problem,
            behind => format!(
                "{}; the {behind} rows behind it in its row group cannot be read either",
                fault.problem
            )
            .into(),
        };
        BadRow {
            row,
            fault: Fault::new(fault.field, problem),
            fatal: false,
            rows: behind + 1,
        }
    }
}

/// Checks that the columns that are read need no key.
fn check_readable(root: &Node, encrypted_columns: &BTreeSet<usize>) -> Result<(), Fault> {
    let mut leaves = Vec::new();
    root.leaves(&mut leaves);
    match leaves
        .iter()
        .any(|(column, _)| encrypted_columns.contains(column))
    {
        true => Err(encrypted()),
        false => Ok(()),
    }
}

impl Iterator for Rows {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(fault) = self.open_group()? {
            return Some(Err(self.lose_group(fault)));
        }
        let assembler = Assembler::new(&mut self.columns, self.max_row_bytes);
        let read = match assembler.row(&self.root) {
            Err(Broken::Columns(fault)) => return Some(Err(self.lose_group(fault))),
            Err(Broken::Row(fault)) => Err(fault),
            Ok(row) => Ok(row),
        };
        self.left -= 1;
        self.row += 1;
        let row = self.row;
        Some(match read {
            Ok(fields) => Ok((row, fields)),
            Err(fault) => Err(BadRow::of(row, fault)),
        })
    }
}

//! The footer of a Parquet file (parquet-format, README.md and parquet.thrift). It is checked before
//! the library builds anything from it: the library allocates what a count claims, and recurses as
//! deep as a schema is nested.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use fedseal_adapter::Source;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::{guard::guarded, thrift::Struct};
use crate::data::{Fault, limits};

/// First and last bytes of a file.
pub(in super::super) const MAGIC: &[u8; 4] = b"PAR1";
/// First and last bytes of a file whose footer is encrypted.
pub(in super::super) const ENCRYPTED: &[u8; 4] = b"PARE";

/// Description of a file that needs a key.
pub(in super::super) fn encrypted() -> Fault {
    bad("the file is encrypted (Parquet modular encryption); write it without encryption")
}

fn bad(problem: impl Into<Source>) -> Fault {
    Fault::new("footer", problem)
}

/// Contents of a footer.
pub(super) struct Footer {
    pub(super) metadata: ParquetMetaData,
    /// Indices of the columns that are encrypted in some row group.
    pub(super) encrypted: BTreeSet<usize>,
}

/// Reads and checks the footer.
pub(super) fn read(file: &mut File) -> Result<Footer, Fault> {
    let io = |error: std::io::Error| Fault::new("file", error);
    let size = file.seek(SeekFrom::End(0)).map_err(io)?;
    let end = size
        .checked_sub(8)
        .filter(|end| *end >= 4)
        .ok_or_else(|| bad("the file is too short"))?;
    let mut tail = [0u8; 8];
    file.seek(SeekFrom::Start(end)).map_err(io)?;
    file.read_exact(&mut tail).map_err(io)?;
    let [a, b, c, d, magic @ ..] = tail;
    if magic == *ENCRYPTED {
        return Err(encrypted());
    }
    if magic != *MAGIC {
        return Err(bad("no PAR1 at the end; is the file cut off?"));
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let start = end
        .checked_sub(length as u64)
        .filter(|_| length <= limits::FOOTER)
        .ok_or_else(|| {
            bad(format!(
                "{length} bytes in a file of {size}, at most {} are read",
                limits::FOOTER
            ))
        })?;
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    file.read_exact(&mut bytes).map_err(io)?;
    let (footer, _) = Struct::parse(&bytes).map_err(|_| bad("broken"))?;
    let columns = check_schema(&footer)?;
    let encrypted = check_groups(&footer, columns, start)?;
    let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(&bytes)).map_err(bad)?;
    Ok(Footer {
        metadata,
        encrypted,
    })
}

/// Checks the tree of the schema, a list in depth-first order, and returns the number of its columns.
fn check_schema(footer: &Struct) -> Result<usize, Fault> {
    let elements = footer.list(2).ok_or_else(|| bad("no schema"))?;
    let mut columns = 0;
    // Children that the open groups still miss.
    let mut open: Vec<usize> = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        if let Some(missing) = open.last_mut() {
            *missing -= 1;
        } else if index > 0 {
            return Err(bad("a schema with more elements than its tree has"));
        }
        match element.size(5).unwrap_or(0) {
            0 => columns += 1,
            children if children < elements.len() => open.push(children),
            children => {
                return Err(bad(format!(
                    "a group of {children} fields in a schema of {}",
                    elements.len()
                )));
            }
        }
        if open.len() > limits::DEPTH {
            return Err(bad(format!("nested deeper than {}", limits::DEPTH)));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    if !open.is_empty() || elements.len() < 2 {
        return Err(bad("a schema with fewer elements than its tree has"));
    }
    Ok(columns)
}

/// Checks where the columns of every row group lie, and returns those that are encrypted.
fn check_groups(footer: &Struct, columns: usize, end: u64) -> Result<BTreeSet<usize>, Fault> {
    let mut hidden = BTreeSet::new();
    for group in footer.list(4).unwrap_or_default() {
        group
            .size(3)
            .ok_or_else(|| bad("a row group without a number of rows"))?;
        let chunks = group
            .list(1)
            .ok_or_else(|| bad("a row group without columns"))?;
        if chunks.len() != columns {
            return Err(bad("a row group with other columns than the schema"));
        }
        for (index, chunk) in chunks.iter().enumerate() {
            if chunk.text(1).is_some() {
                return Err(bad("columns in other files are not read"));
            }
            // Field 8 says how the column is encrypted, field 9 holds its encrypted metadata.
            if chunk.inner(8).is_some() {
                hidden.insert(index);
            }
            let Some(meta) = chunk.inner(3) else {
                return Err(encrypted());
            };
            // The library begins at the dictionary where there is one; some writers give 0 for none.
            let start = meta.int(11).filter(|at| *at != 0).or(meta.int(9));
            let reach = [start, meta.int(7)].map(|it| it.and_then(|it| u64::try_from(it).ok()));
            let [Some(start), Some(length)] = reach else {
                return Err(bad("a column without a place in the file"));
            };
            if start.checked_add(length).is_none_or(|reach| reach > end) {
                return Err(bad("a column beyond the end of the file"));
            }
        }
    }
    Ok(hidden)
}

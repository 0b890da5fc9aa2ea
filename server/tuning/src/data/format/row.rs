//! A row as its format gives it, and what can be wrong with it.

use serde_json::Value;

use crate::data::{Fault, layout::Row};

/// A row that cannot be used.
pub(in crate::data) struct BadRow {
    /// Number of the row, from 1: the line of a JSONL file, the element of a JSON list, the row of
    /// a Parquet file; 0 for the file as a whole.
    pub(in crate::data) row: u64,
    pub(in crate::data) fault: Fault,
    /// Whether nothing can be read after the row.
    pub(in crate::data) fatal: bool,
    /// Number of rows that are lost: more than one where a row group of a Parquet file is broken.
    pub(in crate::data) rows: u64,
}

impl BadRow {
    /// A bad row behind which reading goes on.
    pub(in crate::data) fn of(row: u64, fault: Fault) -> Self {
        Self {
            row,
            fault,
            fatal: false,
            rows: 1,
        }
    }

    /// The last row that can be read.
    pub(in crate::data) fn last(row: u64, fault: Fault) -> Self {
        Self {
            fatal: true,
            ..Self::of(row, fault)
        }
    }
}

/// A row's number and its fields.
pub(in crate::data) type Numbered = (u64, Row);

/// Error of a row that is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("broken JSON: {0}")]
struct BrokenJson(#[source] serde_json::Error);

/// Parses the object in these bytes.
pub(super) fn object(bytes: &[u8]) -> Result<Row, Fault> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(_) => Err(Fault::new("row", "not an object")),
        Err(error) => Err(Fault::new("row", BrokenJson(error))),
    }
}

/// Makes the fault of a row beyond the limit.
pub(super) fn too_long(limit: usize) -> Fault {
    Fault::new("row", format!("longer than {limit} bytes"))
}

/// Makes the fault of a file that cannot be read further.
pub(super) fn unreadable(error: std::io::Error) -> Fault {
    Fault::new("file", error)
}

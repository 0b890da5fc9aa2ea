//! Tidy tables as Parquet (`fedseal table --format parquet`): the engine's room has its one writer.

use fedseal_audit::tidy::{Cell, Tidy, Values};
use fedseal_tuning::{ParquetColumn, write_parquet};

use crate::failure::{Failure, Outcome};

/// The bytes of a Parquet file.
pub(super) fn write(table: &Tidy) -> Outcome<Vec<u8>> {
    let columns = table.columns.iter().enumerate().map(|(at, (name, kind))| {
        let cells = table.rows.iter().filter_map(|row| row.get(at));
        let column = match kind {
            Values::Texts => ParquetColumn::Texts(
                cells
                    .map(|cell| match cell {
                        Cell::Text(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect(),
            ),
            Values::Wholes => ParquetColumn::Wholes(
                cells
                    .map(|cell| match cell {
                        Cell::Whole(count) => i64::try_from(*count).ok(),
                        _ => None,
                    })
                    .collect(),
            ),
            Values::Numbers => ParquetColumn::Numbers(
                cells
                    .map(|cell| match cell {
                        Cell::Number(value) => Some(*value),
                        _ => None,
                    })
                    .collect(),
            ),
        };
        (*name, column)
    });
    write_parquet(&columns.collect::<Vec<_>>()).map_err(|error| Failure::new(error.to_string()))
}

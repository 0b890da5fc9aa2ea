//! Writes a flat table as Parquet: one row group of optional columns, uncompressed.

use std::sync::Arc;

use fedseal_adapter::Source;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

/// Values of a column, one a row; a missing one is null.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// UTF-8 texts.
    Texts(Vec<Option<String>>),
    /// 64-bit whole numbers.
    Wholes(Vec<Option<i64>>),
    /// Doubles.
    Numbers(Vec<Option<f64>>),
}

/// A table that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("Parquet: {0}")]
pub struct Unwritten(#[source] Source);

impl From<ParquetError> for Unwritten {
    fn from(error: ParquetError) -> Self {
        Unwritten(error.into())
    }
}

/// The bytes of a Parquet file with these columns, by their names and in their order.
///
/// # Errors
/// Columns of different lengths, or two of one name.
pub fn write_parquet(columns: &[(&str, Column)]) -> Result<Vec<u8>, Unwritten> {
    let rows = columns.first().map_or(0, |(_, column)| column.rows());
    if let Some((name, _)) = columns.iter().find(|(_, column)| column.rows() != rows) {
        return Err(Unwritten(
            format!("column {name} has another number of rows than the first").into(),
        ));
    }
    let fields: Result<Vec<_>, ParquetError> = columns
        .iter()
        .map(|(name, column)| Ok(Arc::new(column.field(name)?)))
        .collect();
    let schema = Type::group_type_builder("table")
        .with_fields(fields?)
        .build()?;
    let properties = WriterProperties::builder().build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        if let Some(mut chunk) = group.next_column()? {
            column.write(&mut chunk)?;
            chunk.close()?;
        }
    }
    group.close()?;
    Ok(writer.into_inner()?)
}

impl Column {
    fn rows(&self) -> usize {
        match self {
            Column::Texts(values) => values.len(),
            Column::Wholes(values) => values.len(),
            Column::Numbers(values) => values.len(),
        }
    }

    fn field(&self, name: &str) -> Result<Type, ParquetError> {
        let (physical, logical) = match self {
            Column::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Column::Wholes(_) => (Physical::INT64, None),
            Column::Numbers(_) => (Physical::DOUBLE, None),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }

    fn write(&self, chunk: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Column::Texts(values) => {
                let (levels, there) = split(values, |text| ByteArray::from(text.as_str()));
                let writer = chunk.typed::<ByteArrayType>();
                writer.write_batch(&there, Some(&levels), None)?;
            }
            Column::Wholes(values) => {
                let (levels, there) = split(values, |value| *value);
                let writer = chunk.typed::<Int64Type>();
                writer.write_batch(&there, Some(&levels), None)?;
            }
            Column::Numbers(values) => {
                let (levels, there) = split(values, |value| *value);
                let writer = chunk.typed::<DoubleType>();
                writer.write_batch(&there, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}

/// Definition levels, 0 for a null, and the values that are there.
fn split<T, U>(values: &[Option<T>], made: impl Fn(&T) -> U) -> (Vec<i16>, Vec<U>) {
    let levels = values.iter().map(|value| i16::from(value.is_some()));
    (
        levels.collect(),
        values.iter().flatten().map(made).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    #[test]
    fn what_is_written_is_read_back() {
        let texts = Column::Texts(vec![Some("krum".into()), None]);
        let wholes = Column::Wholes(vec![None, Some(-7)]);
        let numbers = Column::Numbers(vec![Some(0.1), Some(f64::MIN_POSITIVE)]);
        let columns = [("arm", texts), ("n", wholes), ("rate", numbers)];
        let bytes = write_parquet(&columns).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<Vec<(String, Field)>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let row = row.unwrap();
                let fields = row.get_column_iter();
                fields
                    .map(|(name, field)| (name.clone(), field.clone()))
                    .collect()
            })
            .collect();
        let named = |name: &str, field| (name.to_owned(), field);
        assert_eq!(
            rows,
            [
                vec![
                    named("arm", Field::Str("krum".into())),
                    named("n", Field::Null),
                    named("rate", Field::Double(0.1))
                ],
                vec![
                    named("arm", Field::Null),
                    named("n", Field::Long(-7)),
                    named("rate", Field::Double(f64::MIN_POSITIVE))
                ],
            ]
        );
        let uneven = [
            ("a", Column::Wholes(vec![None])),
            ("b", Column::Wholes(vec![])),
        ];
        assert!(
            write_parquet(&uneven)
                .unwrap_err()
                .to_string()
                .contains("column b")
        );
    }
}

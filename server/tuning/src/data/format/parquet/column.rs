//! One column of a row group, as a stream of levels and values.

use std::sync::Arc;

use parquet::{
    basic::Compression,
    column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader},
    data_type::DataType,
    errors::ParquetError,
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
};
use serde_json::Value;

use super::{
    guard::{Problem, guarded},
    pages::{Gate, Pages, Source},
    value::{self, Leaf},
};

/// Records that are decoded at once where each has one value.
const FLAT: usize = 512;
/// Records that are decoded at once where each may be a list.
const NESTED: usize = 32;

/// Levels of the values that were decoded.
#[derive(Default)]
struct Levels {
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    count: usize,
    at: usize,
}

/// Problem of a value.
pub(super) enum Broken {
    /// The value alone; the column goes on behind it.
    Value(Problem),
    /// The column.
    Column(Problem),
}

pub(super) struct Column {
    stream: Box<dyn Stream>,
    gate: Arc<Gate>,
    /// Highest definition and repetition level.
    most: (i16, i16),
    levels: Levels,
    leaf: Leaf,
}

/// Decoded values of one physical type.
trait Stream {
    /// Replaces levels and values by those of the next records; at most one page is read.
    fn refill(&mut self, records: usize, levels: &mut Levels) -> Result<(), ParquetError>;

    /// Takes the next value.
    fn take(&mut self, leaf: &Leaf) -> Option<Result<Value, Problem>>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    convert: fn(&T::T, &Leaf) -> Result<Value, Problem>,
    values: Vec<T::T>,
    at: usize,
}

impl<T: DataType> Stream for Typed<T> {
    fn refill(&mut self, records: usize, levels: &mut Levels) -> Result<(), ParquetError> {
        levels.definitions.clear();
        levels.repetitions.clear();
        levels.at = 0;
        levels.count = 0;
        self.values.clear();
        self.at = 0;
        let (_, _, count) = self.reader.read_records(
            records,
            Some(&mut levels.definitions),
            Some(&mut levels.repetitions),
            &mut self.values,
        )?;
        levels.count = count;
        Ok(())
    }

    fn take(&mut self, leaf: &Leaf) -> Option<Result<Value, Problem>> {
        let value = self.values.get(self.at)?;
        self.at += 1;
        Some((self.convert)(value, leaf))
    }
}

impl Column {
    /// Opens a column's chunk; `rows` is the number of rows of its group.
    pub(super) fn open(
        file: &Arc<Source>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
        leaf: Leaf,
    ) -> Result<Self, Problem> {
        let gate = Arc::new(Gate::default());
        let description = chunk.column_descr_ptr();
        let most = (description.max_def_level(), description.max_rep_level());
        let no_dictionary = chunk.dictionary_page_offset() == Some(0);
        let reader = guarded(|| {
            let zstd = matches!(chunk.compression(), Compression::ZSTD(_));
            let mut chunk = chunk.clone().into_builder();
            if zstd {
                chunk = chunk.set_compression(Compression::UNCOMPRESSED);
            }
            // Some writers give 0 where there is no dictionary.
            if no_dictionary {
                chunk = chunk.set_dictionary_page_offset(None);
            }
            let chunk = chunk.build()?;
            let pages = Pages {
                inner: SerializedPageReader::new(Arc::clone(file), &chunk, rows, None)?,
                gate: Arc::clone(&gate),
                zstd,
            };
            Ok(get_column_reader(description, Box::new(pages)))
        })?;
        Ok(Self {
            stream: stream(reader),
            gate,
            most,
            levels: Levels::default(),
            leaf,
        })
    }

    /// Returns repetition and definition level of the next value, without taking it; `None` at the
    /// end.
    pub(super) fn peek(&mut self) -> Result<Option<(i16, i16)>, Problem> {
        let (defined, repeated) = self.most;
        while self.levels.at == self.levels.count {
            if self.gate.ended() {
                return Ok(None);
            }
            self.gate.open();
            let records = if repeated > 0 { NESTED } else { FLAT };
            guarded(|| self.stream.refill(records, &mut self.levels))?;
        }
        let at = self.levels.at;
        let level = |levels: &[i16], most: i16| match most {
            0 => Ok(0),
            _ => levels
                .get(at)
                .copied()
                .filter(|level| (0..=most).contains(level))
                .ok_or_else(|| Problem::from("a level above the schema's")),
        };
        Ok(Some((
            level(&self.levels.repetitions, repeated)?,
            level(&self.levels.definitions, defined)?,
        )))
    }

    /// Takes the next value: `None` where it is null or its parent is absent.
    pub(super) fn take(&mut self) -> Result<Option<Value>, Broken> {
        let (_, definition) = self
            .peek()
            .map_err(Broken::Column)?
            .ok_or_else(|| Broken::Column("fewer values than rows".into()))?;
        self.levels.at += 1;
        if definition < self.most.0 {
            return Ok(None);
        }
        match self.stream.take(&self.leaf) {
            Some(value) => value.map(Some).map_err(Broken::Value),
            None => Err(Broken::Column("fewer values than levels".into())),
        }
    }
}

fn typed<T: DataType>(
    reader: ColumnReaderImpl<T>,
    convert: fn(&T::T, &Leaf) -> Result<Value, Problem>,
) -> Box<dyn Stream>
where
    Typed<T>: Stream + 'static,
{
    Box::new(Typed {
        reader,
        convert,
        values: Vec::new(),
        at: 0,
    })
}

fn stream(reader: ColumnReader) -> Box<dyn Stream> {
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader, |value, _| Ok(Value::Bool(*value))),
        ColumnReader::Int32ColumnReader(reader) => {
            typed(reader, |value, leaf| Ok(value::int32(*value, leaf)))
        }
        ColumnReader::Int64ColumnReader(reader) => {
            typed(reader, |value, leaf| Ok(value::int64(*value, leaf)))
        }
        ColumnReader::Int96ColumnReader(reader) => {
            typed(reader, |value, _| Ok(value.to_nanos().into()))
        }
        ColumnReader::FloatColumnReader(reader) => {
            typed(reader, |value, _| Ok(value::float(f64::from(*value))))
        }
        ColumnReader::DoubleColumnReader(reader) => {
            typed(reader, |value, _| Ok(value::float(*value)))
        }
        ColumnReader::ByteArrayColumnReader(reader) => {
            typed(reader, |value, leaf| value::bytes(value.data(), leaf))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            typed(reader, |value, leaf| value::bytes(value.data(), leaf))
        }
    }
}

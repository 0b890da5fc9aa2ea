//! Reader for the untrusted bytes of a GGUF header.

use super::blocks::{BlockType, read_types, type_name};
use crate::TuningError;

pub(super) fn bad(text: impl Into<String>) -> TuningError {
    TuningError::Format(format!("GGUF: {}", text.into()))
}

/// Longest key or name, bytes.
const MAX_NAME: usize = 1 << 12;
/// Longest metadata of a file, bytes. The largest vocabularies take 20 MiB; in memory an element of an
/// array takes up to eight times its bytes.
const MAX_HEADER: usize = 1 << 26;

/// Returns the f64 with the same shortest text, so that 1e-5 as f32 becomes 1e-5 as f64.
pub(super) fn widened(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// A metadata value, as far as this engine reads them.
pub(super) enum Value {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Numbers(Vec<f32>),
    Bools(Vec<bool>),
    /// An array of f64; no key that is read here has one.
    Other,
}

impl Value {
    /// Whether the value turns something off: false, zero, or nothing.
    pub(super) fn is_off(&self) -> bool {
        match self {
            Self::Number(value) => *value == 0.0,
            Self::Integer(value) => *value == 0,
            Self::Bool(value) => !value,
            Self::Text(value) => value.is_empty(),
            Self::Texts(values) => values.is_empty(),
            Self::Integers(values) => values.iter().all(|value| *value == 0),
            Self::Numbers(values) => values.iter().all(|value| *value == 0.0),
            Self::Bools(values) => !values.contains(&true),
            Self::Other => false,
        }
    }
}

/// Position of a tensor.
pub(super) struct TensorInfo {
    /// Shape, row-major with the outermost dimension first (the file stores the reverse).
    pub(super) shape: Vec<usize>,
    pub(super) kind: BlockType,
    /// Number of the file, from 0.
    pub(super) file: usize,
    /// Offset in the file's data.
    pub(super) offset: usize,
    /// Number of bytes of the data.
    pub(super) length: usize,
}

/// A cursor over bytes that never reads past their end.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], TuningError> {
        let end = self
            .at
            .checked_add(count)
            .ok_or_else(|| bad("a length overflows"))?;
        let taken = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| bad("the header is cut off"))?;
        if end > MAX_HEADER {
            return Err(bad(format!("a header of more than {MAX_HEADER} bytes")));
        }
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TuningError> {
        self.take(N)?
            .try_into()
            .map_err(|_| bad("the header is cut off"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, TuningError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, TuningError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, TuningError> {
        let length = usize::try_from(self.u64()?).map_err(|_| bad("a length overflows"))?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| bad("a string is not UTF-8"))
    }

    pub(super) fn name(&mut self) -> Result<String, TuningError> {
        let name = self.text()?;
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(bad(format!("a name of {} bytes", name.len())));
        }
        Ok(name)
    }

    /// Reads a value that is not an array, by its number in `enum gguf_type`.
    fn scalar(&mut self, kind: u32) -> Result<Value, TuningError> {
        Ok(match kind {
            0 => Value::Integer(i64::from(u8::from_le_bytes(self.array()?))),
            1 => Value::Integer(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Integer(i64::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Integer(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Integer(i64::from(self.u32()?)),
            5 => Value::Integer(i64::from(i32::from_le_bytes(self.array()?))),
            6 => Value::Number(widened(f32::from_le_bytes(self.array()?))),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(bad(format!("a boolean of {other}"))),
            },
            8 => Value::Text(self.text()?),
            10 => {
                Value::Integer(i64::try_from(self.u64()?).map_err(|_| bad("an integer overflows"))?)
            }
            11 => Value::Integer(i64::from_le_bytes(self.array()?)),
            12 => Value::Number(f64::from_le_bytes(self.array()?)),
            other => return Err(bad(format!("value type {other}"))),
        })
    }

    pub(super) fn value(&mut self, kind: u32) -> Result<Value, TuningError> {
        if kind != 9 {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let count = usize::try_from(self.u64()?).map_err(|_| bad("a length overflows"))?;
        // An element takes at least one byte, so a longer array cannot be in the file.
        if count > self.bytes.len().saturating_sub(self.at) {
            return Err(bad(format!("an array of {count}")));
        }
        match kind {
            8 => (0..count)
                .map(|_| self.text())
                .collect::<Result<_, _>>()
                .map(Value::Texts),
            0..=5 | 10 | 11 => (0..count)
                .map(|_| match self.scalar(kind)? {
                    Value::Integer(value) => Ok(value),
                    _ => Err(bad("a mixed array")),
                })
                .collect::<Result<_, _>>()
                .map(Value::Integers),
            6 => (0..count)
                .map(|_| Ok(f32::from_le_bytes(self.array()?)))
                .collect::<Result<_, _>>()
                .map(Value::Numbers),
            7 => (0..count)
                .map(|_| Ok(self.array()? != [0]))
                .collect::<Result<_, _>>()
                .map(Value::Bools),
            12 => {
                for _ in 0..count {
                    self.scalar(kind)?;
                }
                Ok(Value::Other)
            }
            other => Err(bad(format!("an array of type {other}"))),
        }
    }

    /// Reads the rest of the entry of tensor `name` in file `file`.
    pub(super) fn tensor(&mut self, name: &str, file: usize) -> Result<TensorInfo, TuningError> {
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(bad(format!("tensor {name} of {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        let mut count = 1usize;
        for _ in 0..dimensions {
            let size = usize::try_from(self.u64()?).map_err(|_| bad("a size overflows"))?;
            count = count
                .checked_mul(size)
                .ok_or_else(|| bad(format!("the size of tensor {name} overflows")))?;
            shape.insert(0, size);
        }
        let id = self.u32()?;
        let kind = BlockType::from_id(id).ok_or_else(|| {
            let (kind, read) = (type_name(id), read_types());
            TuningError::Unsupported(format!("GGUF: tensor {name} of type {kind}, only {read}"))
        })?;
        let (values, bytes) = kind.block();
        let row = shape.last().copied().unwrap_or_default();
        if row % values != 0 {
            let kind = type_name(id);
            return Err(bad(format!(
                "tensor {name}: a row of {row} in {kind}'s blocks of {values}"
            )));
        }
        let length = (count / values)
            .checked_mul(bytes)
            .ok_or_else(|| bad(format!("the size of tensor {name} overflows")))?;
        let offset = usize::try_from(self.u64()?).map_err(|_| bad("an offset overflows"))?;
        Ok(TensorInfo {
            shape,
            kind,
            file,
            offset,
            length,
        })
    }
}

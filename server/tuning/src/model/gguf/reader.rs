//! Reader for the untrusted bytes of a GGUF header.

use super::blocks::BlockType;
use crate::TuningError;

pub(super) fn bad(text: impl Into<String>) -> TuningError {
    TuningError::Format(format!("GGUF: {}", text.into()))
}

/// Longest key or name, bytes.
const MAX_NAME: usize = 1 << 12;

/// A metadata value, as far as this engine reads them.
pub(super) enum Value {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    /// An array of another type; no key that is read here has one.
    Other,
}

/// Position of a tensor.
pub(super) struct TensorInfo {
    /// Shape, row-major with the outermost dimension first (the file stores the reverse).
    pub(super) shape: Vec<usize>,
    pub(super) kind: BlockType,
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
            // Converted through its shortest text, so that 1e-5 as f32 becomes 1e-5 as f64.
            6 => {
                let value = f32::from_le_bytes(self.array()?);
                Value::Number(value.to_string().parse().unwrap_or(f64::from(value)))
            }
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
            6 | 7 | 12 => {
                for _ in 0..count {
                    self.scalar(kind)?;
                }
                Ok(Value::Other)
            }
            other => Err(bad(format!("an array of type {other}"))),
        }
    }

    pub(super) fn tensor(&mut self) -> Result<TensorInfo, TuningError> {
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(bad(format!("a tensor of {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        let mut count = 1usize;
        for _ in 0..dimensions {
            let size = usize::try_from(self.u64()?).map_err(|_| bad("a size overflows"))?;
            count = count
                .checked_mul(size)
                .ok_or_else(|| bad("a tensor's size overflows"))?;
            shape.insert(0, size);
        }
        let id = self.u32()?;
        let kind = BlockType::from_id(id)
            .ok_or_else(|| TuningError::Unsupported(format!("GGML tensor type {id}")))?;
        let (values, bytes) = kind.block();
        let row = shape.last().copied().unwrap_or_default();
        if row % values != 0 {
            return Err(bad(format!("a row of {row} in blocks of {values}")));
        }
        let length = (count / values)
            .checked_mul(bytes)
            .ok_or_else(|| bad("too large"))?;
        let offset = usize::try_from(self.u64()?).map_err(|_| bad("an offset overflows"))?;
        Ok(TensorInfo {
            shape,
            kind,
            offset,
            length,
        })
    }
}

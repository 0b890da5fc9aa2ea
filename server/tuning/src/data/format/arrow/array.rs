//! The columns of a record batch (Arrow's Columnar.rst), and their values as JSON.

use std::collections::BTreeMap;

use half::f16;
use serde_json::{Map, Number, Value};

use super::schema::{Field, Kind};

/// Problem of a value or a batch, and its field.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) field: Option<String>,
    pub(super) text: String,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { field: None, text }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Values of dictionaries, by their number.
pub(super) type Dictionaries = BTreeMap<i64, Vec<Value>>;

/// A column.
#[derive(Default)]
pub(super) struct Array {
    len: usize,
    /// One bit a value; empty where all are there.
    validity: Vec<u8>,
    /// Values, offsets or views.
    first: Vec<u8>,
    /// Bytes of texts, or lengths of lists.
    second: Vec<u8>,
    /// Buffers that views point into.
    buffers: Vec<Vec<u8>>,
    children: Vec<Array>,
}

/// Lengths and buffers of a record batch, in the order of the fields.
pub(super) struct Parts<'a> {
    /// Number of values and of nulls.
    pub(super) nodes: std::slice::Iter<'a, (i64, i64)>,
    /// Place and length in the body.
    pub(super) buffers: std::slice::Iter<'a, (i64, i64)>,
    /// Number of buffers that the views of a field point into.
    pub(super) variadic: std::slice::Iter<'a, i64>,
    /// Reads a buffer.
    pub(super) read: &'a mut dyn FnMut(i64, i64) -> Result<Vec<u8>, Problem>,
}

impl Parts<'_> {
    fn buffer(&mut self, needed: bool) -> Result<Vec<u8>, Problem> {
        let (offset, length) = *self.buffers.next().ok_or("fewer buffers than fields")?;
        match needed {
            true => (self.read)(offset, length),
            false => Ok(Vec::new()),
        }
    }

    /// Takes a field's parts; those of a field that is not needed are not read.
    pub(super) fn array(&mut self, field: &Field) -> Result<Array, Problem> {
        let kind = field.dictionary.map_or(field.kind, |(_, index)| index);
        let needed = field.needed;
        let (len, _) = *self.nodes.next().ok_or("fewer columns than fields")?;
        let mut array = Array {
            len: usize::try_from(len).map_err(|_| "a column of less than no values")?,
            ..Array::default()
        };
        let unmasked = matches!(kind, Kind::Null | Kind::Union { .. } | Kind::Runs);
        if !unmasked {
            array.validity = self.buffer(needed)?;
        }
        match kind {
            Kind::Null | Kind::Runs | Kind::Struct | Kind::FixedList { .. } => {}
            Kind::Union { dense } => {
                self.buffer(false)?;
                if dense {
                    self.buffer(false)?;
                }
            }
            Kind::Text { .. } | Kind::ListView { .. } => {
                array.first = self.buffer(needed)?;
                array.second = self.buffer(needed)?;
            }
            Kind::View => {
                array.first = self.buffer(needed)?;
                let count = *self.variadic.next().ok_or("views without their buffers")?;
                for _ in 0..count {
                    let buffer = self.buffer(needed)?;
                    array.buffers.push(buffer);
                }
            }
            _ => array.first = self.buffer(needed)?,
        }
        if field.dictionary.is_none() {
            for child in &field.children {
                let child = self.array(child)?;
                array.children.push(child);
            }
        }
        Ok(array)
    }
}

/// Makes JSON of the values of a row.
pub(super) struct Reader<'a> {
    pub(super) dictionaries: &'a Dictionaries,
    /// Bytes that the row may still take.
    pub(super) room: usize,
}

/// Bytes charged for a value without text.
const VALUE: usize = 16;

const SHORT: &str = "a column that ends too early";

impl Array {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn is_there(&self, index: usize) -> bool {
        let byte = self.validity.get(index / 8);
        self.validity.is_empty() || byte.is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// A whole number of a buffer.
    fn whole(bytes: &[u8], index: usize, width: usize, signed: bool) -> Option<i64> {
        let start = index.checked_mul(width)?;
        let bytes = bytes.get(start..start.checked_add(width)?)?;
        Some(match (bytes, signed) {
            (&[a], true) => i64::from(a.cast_signed()),
            (&[a], false) => i64::from(a),
            (&[a, b], true) => i64::from(i16::from_le_bytes([a, b])),
            (&[a, b], false) => i64::from(u16::from_le_bytes([a, b])),
            (&[a, b, c, d], true) => i64::from(i32::from_le_bytes([a, b, c, d])),
            (&[a, b, c, d], false) => i64::from(u32::from_le_bytes([a, b, c, d])),
            (bytes, _) => i64::from_le_bytes(*bytes.first_chunk()?),
        })
    }

    /// Place of an element or an offset.
    fn place(bytes: &[u8], index: usize, wide: bool) -> Option<usize> {
        let width = if wide { 8 } else { 4 };
        usize::try_from(Self::whole(bytes, index, width, true)?).ok()
    }

    /// Bytes of a text.
    fn bytes(&self, kind: Kind, index: usize) -> Option<&[u8]> {
        let Kind::Text { wide } = kind else {
            return self.viewed(index);
        };
        let start = Self::place(&self.first, index, wide)?;
        let end = Self::place(&self.first, index + 1, wide)?;
        self.second.get(start..end)
    }

    /// Bytes of a text behind a view: a length, then the bytes where there are twelve at most, else
    /// their first four, the number of a buffer and a place in it.
    fn viewed(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(16)?;
        let view = self.first.get(start..start.checked_add(16)?)?;
        let length = Self::place(view, 0, false)?;
        if length <= 12 {
            return view.get(4..4 + length);
        }
        let buffer = self.buffers.get(Self::place(view, 2, false)?)?;
        let start = Self::place(view, 3, false)?;
        buffer.get(start..start.checked_add(length)?)
    }

    /// Range of a list's elements in its child.
    fn range(&self, kind: Kind, index: usize) -> Option<(usize, usize)> {
        match kind {
            Kind::ListView { wide } => {
                let start = Self::place(&self.first, index, wide)?;
                let length = Self::place(&self.second, index, wide)?;
                Some((start, start.checked_add(length)?))
            }
            Kind::FixedList { size } => {
                let start = index.checked_mul(size)?;
                Some((start, start.checked_add(size)?))
            }
            Kind::List { wide } => Some((
                Self::place(&self.first, index, wide)?,
                Self::place(&self.first, index + 1, wide)?,
            )),
            _ => Some((
                Self::place(&self.first, index, false)?,
                Self::place(&self.first, index + 1, false)?,
            )),
        }
    }
}

impl Reader<'_> {
    /// Reads a value of a field.
    pub(super) fn value(
        &mut self,
        field: &Field,
        array: &Array,
        index: usize,
    ) -> Result<Value, Problem> {
        self.spend(VALUE)?;
        if index >= array.len {
            return Err(SHORT.into());
        }
        if !array.is_there(index) {
            return Ok(Value::Null);
        }
        if let Some((id, Kind::Int { bytes, .. })) = field.dictionary {
            let index = Array::whole(&array.first, index, bytes, false).ok_or(SHORT)?;
            let values = self.dictionaries.get(&id).ok_or("a missing dictionary")?;
            let value = usize::try_from(index).ok().and_then(|it| values.get(it));
            let value = value.ok_or("an index beyond its dictionary")?.clone();
            self.spend(value.as_str().map_or(0, str::len))?;
            return Ok(value);
        }
        match field.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool => {
                let byte = array.first.get(index / 8).ok_or(SHORT)?;
                Ok(Value::Bool(byte >> (index % 8) & 1 == 1))
            }
            Kind::Int { bytes, signed } => {
                let value = Array::whole(&array.first, index, bytes, signed).ok_or(SHORT)?;
                Ok(match signed {
                    true => value.into(),
                    false => value.cast_unsigned().into(),
                })
            }
            Kind::Float { bytes } => Ok(float(array, index, bytes).ok_or(SHORT)?),
            Kind::Decimal { bytes, scale } => decimal(array, index, bytes, scale),
            Kind::Fixed { what } => Err(format!("{what}, where a text is expected").into()),
            Kind::Union { .. } => Err("a union, where a text or a list is expected".into()),
            Kind::Text { .. } | Kind::View => {
                let bytes = array.bytes(field.kind, index).ok_or(SHORT)?;
                self.spend(bytes.len())?;
                if field.json {
                    return serde_json::from_slice(bytes).map_err(|error| {
                        format!("a JSON field with what is no JSON: {error}").into()
                    });
                }
                let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
                Ok(text.into())
            }
            Kind::Struct => self.object(&field.children, &array.children, index),
            Kind::Runs => {
                let ([ends, values], [own, inner]) = (&*field.children, &*array.children) else {
                    return Err("runs without their values".into());
                };
                let Kind::Int { bytes, .. } = ends.kind else {
                    return Err("runs without their ends".into());
                };
                let before = |run: usize| {
                    let end = Array::whole(&own.first, run, bytes, true);
                    end.and_then(|end| usize::try_from(end).ok())
                };
                // The first run that ends behind the value.
                let (mut low, mut high) = (0, own.len);
                while low < high {
                    let middle = low.midpoint(high);
                    match before(middle).ok_or(SHORT)? <= index {
                        true => low = middle + 1,
                        false => high = middle,
                    }
                }
                self.value(values, inner, low)
            }
            Kind::Map | Kind::List { .. } | Kind::ListView { .. } | Kind::FixedList { .. } => {
                let ([element], [inner]) = (&*field.children, &*array.children) else {
                    return Err("a list without elements".into());
                };
                let (start, end) = array.range(field.kind, index).ok_or(SHORT)?;
                if start > end || end > inner.len {
                    return Err(SHORT.into());
                }
                let elements = (start..end).map(|at| self.value(element, inner, at));
                let elements = elements.collect::<Result<Vec<_>, _>>()?;
                Ok(match field.kind {
                    Kind::Map => map(elements, element),
                    _ => Value::Array(elements),
                })
            }
        }
    }

    /// Reads the needed fields of an object.
    pub(super) fn object(
        &mut self,
        fields: &[Field],
        arrays: &[Array],
        index: usize,
    ) -> Result<Value, Problem> {
        let mut object = Map::new();
        for (field, array) in fields.iter().zip(arrays).filter(|(field, _)| field.needed) {
            let value = self.value(field, array, index).map_err(|mut problem| {
                problem.field.get_or_insert_with(|| field.name.clone());
                problem
            })?;
            object.insert(field.name.clone(), value);
        }
        Ok(Value::Object(object))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => return Err("a row longer than the limit".into()),
        }
        Ok(())
    }
}

/// Makes a number; those that are none are null.
fn float(array: &Array, index: usize, bytes: usize) -> Option<Value> {
    let start = index.checked_mul(bytes)?;
    let value = match array.first.get(start..start.checked_add(bytes)?)? {
        &[a, b] => f16::from_le_bytes([a, b]).to_f64(),
        &[a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        bytes => f64::from_le_bytes(*bytes.first_chunk()?),
    };
    Some(Number::from_f64(value).map_or(Value::Null, Value::Number))
}

/// Makes a number of little-endian bytes in two's complement, divided by a power of ten.
fn decimal(array: &Array, index: usize, bytes: usize, scale: i32) -> Result<Value, Problem> {
    let start = index.saturating_mul(bytes);
    let value = array.first.get(start..start.saturating_add(bytes));
    let value = value.filter(|it| !it.is_empty()).ok_or(SHORT)?;
    let negative = value.last().is_some_and(|last| *last > 127);
    let whole = value.iter().rev().fold(0.0, |whole, byte| {
        let byte = if negative { !byte } else { *byte };
        whole * 256.0 + f64::from(byte)
    });
    let whole = if negative { -whole - 1.0 } else { whole };
    let value = Number::from_f64(whole / 10f64.powi(scale));
    Ok(value.map_or(Value::Null, Value::Number))
}

/// Makes an object of entries, each a key and a value.
fn map(entries: Vec<Value>, entry: &Field) -> Value {
    let [key, value] = entry.children.as_slice() else {
        return Value::Null;
    };
    let mut object = Map::new();
    for mut fields in entries {
        let mut part = |name: &str| fields.get_mut(name).map_or(Value::Null, Value::take);
        let name = match part(&key.name) {
            Value::String(name) => name,
            other => other.to_string(),
        };
        object.insert(name, part(&value.name));
    }
    Value::Object(object)
}

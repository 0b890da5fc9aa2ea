//! The serde serializer behind [`super::to_vec`]. It is our own, so that neither a feature that some
//! other crate turns on in serde_json (key order, number form) nor serde_json's habit of writing
//! NaN as `null` can change signed bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::ser::{self, Serialize};
use serde_json::Value;

use super::number::{write_f64, write_i64, write_u64};
use super::write::{by_utf16, write_string};

/// Why a value has no canonical form.
#[derive(Debug)]
pub(super) struct EncodeError(pub String);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        EncodeError(message.to_string())
    }
}

/// Name of the type whose bytes are written as they are; see [`super::Written`].
pub(super) const WRITTEN: &str = "fedseal canonical JSON";

/// Room that an object makes for its fields at once; more come one by one.
const MOST_EXPECTED: usize = 64;

type Result<T> = std::result::Result<T, EncodeError>;

/// Writes one value to the end of `out`.
pub(super) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Whether the value is bytes that are canonical already.
    written: bool,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let written = false;
        Encoder { out, written }
    }
}

impl<'a> ser::Serializer for Encoder<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Seq<'a>;
    type SerializeTuple = Seq<'a>;
    type SerializeTupleStruct = Seq<'a>;
    type SerializeTupleVariant = Seq<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Map<'a>;
    type SerializeStructVariant = Map<'a>;

    fn serialize_bool(self, v: bool) -> Result<()> {
        self.out
            .extend_from_slice(if v { b"true".as_slice() } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result<()> {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<()> {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<()> {
        self.serialize_i64(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result<()> {
        write_i64(self.out, v);
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Result<()> {
        self.serialize_u64(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result<()> {
        self.serialize_u64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<()> {
        self.serialize_u64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<()> {
        write_u64(self.out, v);
        Ok(())
    }
    fn serialize_f32(self, v: f32) -> Result<()> {
        self.serialize_f64(v.into())
    }
    fn serialize_f64(self, v: f64) -> Result<()> {
        if !v.is_finite() {
            return Err(EncodeError(format!("the number {v} is not finite")));
        }
        write_f64(self.out, v);
        Ok(())
    }
    fn serialize_char(self, v: char) -> Result<()> {
        write_string(self.out, v.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Result<()> {
        write_string(self.out, v);
        Ok(())
    }
    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        match self.written {
            true => self.out.extend_from_slice(bytes),
            false => return Err(EncodeError("raw bytes have no JSON form".into())),
        }
        Ok(())
    }
    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<()> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(Encoder {
            out: self.out,
            written: name == WRITTEN,
        })
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.out.push(b'{');
        write_string(self.out, variant);
        self.out.push(b':');
        value.serialize(Encoder::new(self.out))?;
        self.out.push(b'}');
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Seq<'a>> {
        Ok(Seq::open(self.out, ""))
    }
    fn serialize_tuple(self, _: usize) -> Result<Seq<'a>> {
        Ok(Seq::open(self.out, ""))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Seq<'a>> {
        Ok(Seq::open(self.out, ""))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Seq<'a>> {
        self.out.push(b'{');
        write_string(self.out, variant);
        self.out.push(b':');
        Ok(Seq::open(self.out, "}"))
    }
    fn serialize_map(self, count: Option<usize>) -> Result<Map<'a>> {
        Ok(Map::open(self.out, count.unwrap_or(0), ""))
    }
    fn serialize_struct(self, _: &'static str, count: usize) -> Result<Map<'a>> {
        Ok(Map::open(self.out, count, ""))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<Map<'a>> {
        self.out.push(b'{');
        write_string(self.out, variant);
        self.out.push(b':');
        Ok(Map::open(self.out, count, "}"))
    }
}

/// An array under construction; `tail` closes the object of an enum variant around it.
pub(super) struct Seq<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    tail: &'static str,
}

impl<'a> Seq<'a> {
    fn open(out: &'a mut Vec<u8>, tail: &'static str) -> Self {
        out.push(b'[');
        Seq {
            out,
            first: true,
            tail,
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        value.serialize(Encoder::new(self.out))
    }

    fn close(self) -> Result<()> {
        self.out.push(b']');
        self.out.extend_from_slice(self.tail.as_bytes());
        Ok(())
    }
}

/// An object under construction: values are written as they come, and put in their keys' order at
/// the end.
pub(super) struct Map<'a> {
    out: &'a mut Vec<u8>,
    /// Where in `out` the object begins.
    start: usize,
    /// Keys, and where in `out` their values are.
    fields: Vec<(Cow<'static, str>, Range<usize>)>,
    key: Option<String>,
    tail: &'static str,
}

impl<'a> Map<'a> {
    fn open(out: &'a mut Vec<u8>, fields: usize, tail: &'static str) -> Self {
        Map {
            start: out.len(),
            out,
            fields: Vec::with_capacity(fields.min(MOST_EXPECTED)),
            key: None,
            tail,
        }
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: Cow<'static, str>, value: &T) -> Result<()> {
        let from = self.out.len();
        value.serialize(Encoder::new(self.out))?;
        self.fields.push((key, from..self.out.len()));
        Ok(())
    }

    fn close(mut self) -> Result<()> {
        self.fields.sort_by(|(a, _), (b, _)| by_utf16(a, b));
        // The object is written behind its values, which go then.
        let end = self.out.len();
        self.out.push(b'{');
        let mut before: Option<&str> = None;
        for (key, value) in &self.fields {
            let key: &str = key;
            if before == Some(key) {
                return Err(EncodeError(format!("the key {key:?} occurs twice")));
            }
            if before.is_some() {
                self.out.push(b',');
            }
            write_string(self.out, key);
            self.out.push(b':');
            self.out.extend_from_within(value.clone());
            before = Some(key);
        }
        self.out.push(b'}');
        self.out.extend_from_slice(self.tail.as_bytes());
        self.out.drain(self.start..end);
        Ok(())
    }
}

macro_rules! seq {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Seq<'_> {
            type Ok = ();
            type Error = EncodeError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.item(value)
            }
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}
seq!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! map {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Map<'_> {
            type Ok = ();
            type Error = EncodeError;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<()> {
                self.field(Cow::Borrowed(key), value)
            }
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}
map!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        let mut bytes = Vec::new();
        key.serialize(Encoder::new(&mut bytes))?;
        if let Some(text) = plain(&bytes) {
            self.key = Some(text.to_owned());
            return Ok(());
        }
        // A key is a string, or an integer that becomes one, as in serde_json.
        let text = match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::String(text)) => text,
            Ok(Value::Number(n)) if !n.is_f64() => n.to_string(),
            _ => return Err(EncodeError("a map key is not a string".into())),
        };
        self.key = Some(text);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self
            .key
            .take()
            .ok_or_else(|| EncodeError("a map value without a key".into()))?;
        self.field(Cow::Owned(key), value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

/// Content of a JSON string; none where it has escapes.
fn plain(json: &[u8]) -> Option<&str> {
    let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = !text.contains(&b'\\');
    plain.then(|| std::str::from_utf8(text).ok()).flatten()
}

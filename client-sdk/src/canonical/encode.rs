//! The serde serializer behind [`super::to_vec`]. Its own, so that neither a feature that some
//! other crate turns on in serde_json (key order, number form) nor serde_json's habit of writing
//! NaN as `null` can change signed bytes.

use std::fmt;

use serde::ser::{self, Serialize};
use serde_json::Value;

use super::number::{write_f64, write_i64, write_u64};
use super::write::write_string;

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

type Result<T> = std::result::Result<T, EncodeError>;

/// Writes one value to the end of `out`.
pub(super) struct Encoder<'a> {
    pub out: &'a mut Vec<u8>,
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
    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        Err(EncodeError("raw bytes have no JSON form".into()))
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
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
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
        value.serialize(Encoder { out: self.out })?;
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
    fn serialize_map(self, _: Option<usize>) -> Result<Map<'a>> {
        Ok(Map::open(self.out, ""))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Map<'a>> {
        Ok(Map::open(self.out, ""))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map<'a>> {
        self.out.push(b'{');
        write_string(self.out, variant);
        self.out.push(b':');
        Ok(Map::open(self.out, "}"))
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
        value.serialize(Encoder { out: self.out })
    }

    fn close(self) -> Result<()> {
        self.out.push(b']');
        self.out.extend_from_slice(self.tail.as_bytes());
        Ok(())
    }
}

/// An object under construction: fields wait, encoded, until they can be sorted.
pub(super) struct Map<'a> {
    out: &'a mut Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
    key: Option<String>,
    tail: &'static str,
}

impl<'a> Map<'a> {
    fn open(out: &'a mut Vec<u8>, tail: &'static str) -> Self {
        Map {
            out,
            fields: Vec::new(),
            key: None,
            tail,
        }
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        value.serialize(Encoder { out: &mut bytes })?;
        self.fields.push((key, bytes));
        Ok(())
    }

    fn close(mut self) -> Result<()> {
        self.fields
            .sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        self.out.push(b'{');
        let mut before: Option<&str> = None;
        for (key, value) in &self.fields {
            if before == Some(key.as_str()) {
                return Err(EncodeError(format!("the key {key:?} occurs twice")));
            }
            if before.is_some() {
                self.out.push(b',');
            }
            write_string(self.out, key);
            self.out.push(b':');
            self.out.extend_from_slice(value);
            before = Some(key);
        }
        self.out.push(b'}');
        self.out.extend_from_slice(self.tail.as_bytes());
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
                self.field(key.to_owned(), value)
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
        key.serialize(Encoder { out: &mut bytes })?;
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
        self.field(key, value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

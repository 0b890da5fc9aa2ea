//! Canonical JSON: the one place where JSON that is hashed or signed is made and read.
//!
//! The form is that of RFC 8785: no whitespace, object keys sorted by their UTF-16 code units,
//! minimal string escapes, and numbers as ECMAScript prints them. It deviates in one point:
//! integers are written in full over the whole range of `u64` and `i64` (RFC 8785 rounds them
//! to 53 bits), because seeds are 64 bits wide.
//!
//! A value has one byte string and a byte string has one value: [`from_slice`] writes what it
//! has read again and refuses bytes that differ, which also refuses unknown fields, repeated
//! keys and fields that were left out.

mod encode;
mod number;
mod write;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::bounded::{self, Bounds};
use crate::{Error, Result};

/// Bounds of [`from_slice`]: reports of large runs are the largest.
const BOUNDS: Bounds = Bounds {
    bytes: 256 << 20,
    structure: 1 << 30,
};

pub(crate) use number::write_u64;
pub(crate) use write::{write_string, write_value};

/// The canonical bytes of a value.
///
/// # Errors
/// [`Error::Encode`] for a number that is not finite or needs more than 64 bits, and for a map
/// whose keys are not strings or integers, or repeat.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    value
        .serialize(encode::Encoder::new(&mut out))
        .map_err(|e| Error::Encode(e.into()))?;
    Ok(out)
}

/// Canonical bytes of a value, which stand for it in values around it: written once for many of them, where
/// [`to_vec`] writes those. No other serializer knows it.
#[derive(Clone, Debug)]
pub struct Written(Vec<u8>);

impl Written {
    /// Writes a value.
    ///
    /// # Errors
    /// As [`to_vec`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Written> {
        Ok(Written(to_vec(value)?))
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        struct Bytes<'a>(&'a [u8]);

        impl Serialize for Bytes<'_> {
            fn serialize<S: Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }

        serializer.serialize_newtype_struct(encode::WRITTEN, &Bytes(&self.0))
    }
}

/// Reads a value from bytes that must be its canonical form.
///
/// # Errors
/// [`Error::Json`] when the bytes are not JSON for `T`; [`Error::NotCanonical`] when they are,
/// but differ from [`to_vec`] of the value; [`Error::Invalid`] for more than 256 MiB, or what could
/// take more than 1 GiB of memory.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    from_slice_within(bytes, &BOUNDS)
}

/// As [`from_slice`], within bounds of the caller's.
///
/// # Errors
/// As [`from_slice`]; [`Error::Invalid`] beyond the bounds.
pub fn from_slice_within<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<T> {
    let what = short_type_name::<T>();
    let value: T = bounded::from_slice(what, bytes, bounds)?;
    same(what, &to_vec(&value)?, bytes)?;
    Ok(value)
}

/// Whether what was read is canonical: written `again`, it must be the same bytes.
///
/// # Errors
/// [`Error::NotCanonical`].
pub(crate) fn same(what: &'static str, again: &[u8], bytes: &[u8]) -> Result<()> {
    if again != bytes {
        let offset = again
            .iter()
            .zip(bytes)
            .position(|(a, b)| a != b)
            .unwrap_or_else(|| again.len().min(bytes.len()));
        return Err(Error::NotCanonical { what, offset });
    }
    Ok(())
}

/// `Statement<..>` instead of `fedseal_client_sdk::statement::Statement<..>`.
fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let head = full.split('<').next().unwrap_or(full);
    head.rsplit("::").next().unwrap_or(full)
}

#[cfg(test)]
mod tests;

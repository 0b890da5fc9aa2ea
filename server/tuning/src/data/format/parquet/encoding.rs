//! Encodings of levels and values (parquet-format's Encodings.md).

use super::{
    schema::Physical,
    thrift::{varint, zigzag},
};
use serde_json::Value;

/// Description of encoded bytes that end too early.
pub(super) const SHORT: &str = "a page that ends too early";

/// Runs of equal numbers mixed with bit-packed numbers: levels, dictionary indices, booleans.
pub(super) struct Hybrid {
    bytes: Vec<u8>,
    at: usize,
    width: u32,
    /// Numbers left in the current run.
    left: usize,
    run: Run,
}

enum Run {
    Equal(u64),
    /// Position of the next number, in bits from the start.
    Packed(usize),
}

impl Hybrid {
    /// Reads numbers of `width` bits, at most 32.
    pub(super) fn new(bytes: Vec<u8>, width: u32) -> Result<Self, &'static str> {
        if width > 32 {
            return Err("a bit width above 32");
        }
        Ok(Self {
            bytes,
            at: 0,
            width,
            left: 0,
            run: Run::Equal(0),
        })
    }

    /// Returns the next number.
    pub(super) fn next(&mut self) -> Result<u64, &'static str> {
        while self.left == 0 {
            self.next_run()?;
        }
        self.left -= 1;
        match &mut self.run {
            Run::Equal(value) => Ok(*value),
            Run::Packed(bit) => {
                let value = bits(&self.bytes, *bit, self.width).ok_or(SHORT)?;
                *bit += self.width as usize;
                Ok(value)
            }
        }
    }

    fn next_run(&mut self) -> Result<(), &'static str> {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let before = rest.len();
        if self.width == 0 && rest.is_empty() {
            // A dictionary of one value may have no runs.
            self.left = usize::MAX;
            self.run = Run::Equal(0);
            return Ok(());
        }
        let head = varint(&mut rest).map_err(|_| SHORT)?;
        self.at += before - rest.len();
        let count = usize::try_from(head >> 1).map_err(|_| SHORT)?;
        let value_bytes = self.width.div_ceil(8) as usize;
        if head & 1 == 1 {
            // Groups of eight, each `width` bytes.
            let length = count.checked_mul(self.width as usize).ok_or(SHORT)?;
            self.run = Run::Packed(self.at.checked_mul(8).ok_or(SHORT)?);
            self.left = count.checked_mul(8).ok_or(SHORT)?;
            // The last group may be cut at the end of the page.
            self.at = self.at.saturating_add(length).min(self.bytes.len());
        } else {
            let mut value = 0u64;
            for (index, &byte) in rest.get(..value_bytes).ok_or(SHORT)?.iter().enumerate() {
                value |= u64::from(byte) << (8 * index);
            }
            self.at += value_bytes;
            self.left = count;
            self.run = Run::Equal(value);
        }
        Ok(())
    }
}

/// Returns `width` bits from bit `at` on, least significant first; at most 64.
fn bits(bytes: &[u8], at: usize, width: u32) -> Option<u64> {
    let end = at.checked_add(width as usize)?;
    if end > bytes.len().checked_mul(8)? {
        return None;
    }
    let (first, shift) = (at / 8, at % 8);
    let mut value = 0u128;
    for (index, &byte) in bytes.get(first..)?.iter().take(9).enumerate() {
        value |= u128::from(byte) << (8 * index);
    }
    Some(((value >> shift) & ((1u128 << width) - 1)) as u64)
}

/// Decodes DELTA_BINARY_PACKED: at most `expected` numbers, and the bytes after them.
pub(super) fn deltas(bytes: &[u8], expected: usize) -> Result<(Vec<i64>, &[u8]), &'static str> {
    let mut rest = bytes;
    let number = |rest: &mut &[u8]| {
        varint(rest)
            .ok()
            .and_then(|value| usize::try_from(value).ok())
            .ok_or(SHORT)
    };
    let block = number(&mut rest)?;
    let minis = number(&mut rest)?;
    let total = number(&mut rest)?;
    let mut last = zigzag(&mut rest).map_err(|_| SHORT)?;
    if total > expected || minis == 0 || block == 0 || block % minis != 0 || block > 1 << 20 {
        return Err("a delta-encoded page with impossible sizes");
    }
    let per_mini = block / minis;
    let mut values = Vec::new();
    if total > 0 {
        values.push(last);
    }
    while values.len() < total {
        let least = zigzag(&mut rest).map_err(|_| SHORT)?;
        let (widths, tail) = rest.split_at_checked(minis).ok_or(SHORT)?;
        rest = tail;
        for &width in widths {
            if values.len() >= total {
                break;
            }
            if width > 64 {
                return Err("a bit width above 64");
            }
            let length = (per_mini * usize::from(width)).div_ceil(8);
            let (mini, tail) = rest.split_at_checked(length).ok_or(SHORT)?;
            rest = tail;
            for index in 0..per_mini.min(total - values.len()) {
                let delta =
                    bits(mini, index * usize::from(width), u32::from(width)).ok_or(SHORT)?;
                last = last.wrapping_add(least).wrapping_add(delta as i64);
                values.push(last);
            }
        }
    }
    Ok((values, rest))
}

/// Takes the next PLAIN value from the front of `rest`. Booleans are bits and are read elsewhere.
pub(super) fn plain(rest: &mut &[u8], physical: Physical) -> Result<Value, String> {
    let mut take = |count: usize| -> Result<&[u8], String> {
        let (taken, tail) = rest.split_at_checked(count).ok_or(SHORT)?;
        *rest = tail;
        Ok(taken)
    };
    let four = |bytes: &[u8]| bytes.first_chunk::<4>().copied().unwrap_or_default();
    let eight = |bytes: &[u8]| bytes.first_chunk::<8>().copied().unwrap_or_default();
    Ok(match physical {
        Physical::Boolean => return Err("booleans in an unknown encoding".to_owned()),
        Physical::Int32 => i32::from_le_bytes(four(take(4)?)).into(),
        Physical::Int64 => i64::from_le_bytes(eight(take(8)?)).into(),
        Physical::Float => f32::from_le_bytes(four(take(4)?)).into(),
        Physical::Double => f64::from_le_bytes(eight(take(8)?)).into(),
        // Times and decimals, which no layout reads.
        Physical::Int96 => take(12).map(|_| Value::Null)?,
        Physical::Fixed(size) => take(size).map(|_| Value::Null)?,
        Physical::ByteArray => {
            let length = u32::from_le_bytes(four(take(4)?)) as usize;
            text(take(length)?)?
        }
    })
}

/// Makes a text value.
pub(super) fn text(bytes: &[u8]) -> Result<Value, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err("a text that is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Encodings.md: 0 to 7 in three bits each.
    #[test]
    fn bit_packed_numbers_are_read() {
        let packed = vec![0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut hybrid = Hybrid::new(packed, 3).unwrap();
        let numbers: Vec<u64> = (0..8).map(|_| hybrid.next().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(hybrid.next().is_err());
        let mut run = Hybrid::new(vec![6, 5], 3).unwrap();
        assert_eq!([run.next(), run.next(), run.next()], [Ok(5); 3]);
    }

    /// The examples of Encodings.md, 1 to 5 and 7, 5, 3, 1, 2, 3, 4, 5 (blocks of 8, 1 miniblock).
    #[test]
    fn deltas_are_read() {
        let bytes = [8, 1, 5, 2, 2, 0];
        assert_eq!(deltas(&bytes, 5).unwrap().0, [1, 2, 3, 4, 5]);
        let bytes = [8, 1, 8, 14, 3, 2, 0b1100_0000, 0b0011_1111, 9];
        let (values, rest) = deltas(&bytes, 8).unwrap();
        assert_eq!(values, [7, 5, 3, 1, 2, 3, 4, 5]);
        assert_eq!(rest, [9]);
        assert!(deltas(&bytes, 7).is_err());
    }
}

//! Writes strings and finished values, without serde.

use std::cmp::Ordering;

use serde_json::Value;

use super::number::{write_f64, write_i64, write_u64};

/// Writes a JSON string: the two mandatory escapes, the five short control escapes, `\u00xx`
/// for the other control characters (RFC 8785, section 3.2.2.2).
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Most text has nothing to escape and is copied at once.
    while let Some(at) = first_escaped(rest) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((byte, after)) = from.split_first() {
            write_escape(out, *byte);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Place of the first byte that is escaped. Eight are looked at in one step.
fn first_escaped(text: &[u8]) -> Option<usize> {
    let (eights, _) = text.as_chunks::<8>();
    let plain = eights.iter().take_while(|eight| all_plain(**eight)).count() * 8;
    let rest = text.get(plain..)?;
    let at = rest.iter().position(|byte| escaped(*byte))?;
    Some(plain + at)
}

/// Whether none of these bytes is escaped: a byte is zero where the highest bit of its difference from 1 is set and
/// its own is not (Warren, Hacker's Delight, section 6-1), and less than 0x20 likewise.
fn all_plain(eight: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let text = u64::from_le_bytes(eight);
    let below = |value: u64, bound: u64| value.wrapping_sub(ONES * bound) & !value;
    let equals = |byte: u8| below(text ^ (ONES * u64::from(byte)), 1);
    (below(text, 0x20) | equals(b'"') | equals(b'\\')) & HIGH == 0
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

/// The order of keys: by UTF-16 code units. Bytes of UTF-8 order alike but for one thing: code points from U+10000
/// on, whose first byte is 0xf0 or more, come before U+E000 to U+FFFF, whose first is 0xee or 0xef (RFC 3629,
/// section 3; RFC 2781, section 2.1).
pub(super) fn by_utf16(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) if a.min(b) >= 0xee => (b >= 0xf0).cmp(&(a >= 0xf0)).then(a.cmp(&b)),
        Some((a, b)) => a.cmp(&b),
        None => a.len().cmp(&b.len()),
    }
}

/// Writes a JSON value. It cannot fail: a [`Value`] holds finite numbers and string keys only.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(n) => {
            if let Some(n) = n.as_u64() {
                write_u64(out, n);
            } else if let Some(n) = n.as_i64() {
                write_i64(out, n);
            } else {
                write_f64(out, n.as_f64().unwrap_or(0.0));
            }
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by(|(a, _), (b, _)| by_utf16(a, b));
            out.push(b'{');
            for (i, (key, value)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write_value(out, value);
            }
            out.push(b'}');
        }
    }
}

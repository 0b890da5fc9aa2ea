//! Numbers as ECMAScript prints them (RFC 8785, section 3.2.2.3; ECMA-262, Number::toString).

use std::fmt::{self, Write as _};

/// Appends an integer, all of its digits.
pub(crate) fn write_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an integer, all of its digits.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Bound below which an integer's shortest digits are its own: its neighbours are integers, too, or nearer.
const INTEGERS: f64 = (1_u64 << 53) as f64;

/// Appends a finite number. `-0` becomes `0`.
pub(super) fn write_f64(out: &mut Vec<u8>, value: f64) {
    if value.abs() < INTEGERS && value.trunc() == value {
        write_i64(out, value as i64);
        return;
    }
    // Rust prints the shortest digits that read back as the same number, `d[.ddd]e[-]x`, but does
    // not promise which of two equally short ones. ECMA-262 takes the closer and, in a tie, the
    // even one: that is the exact value rounded to as many digits, unless it lies just outside of
    // what reads back (at a power of two).
    let magnitude = value.abs();
    let mut text = Text::of(format_args!("{magnitude:e}"));
    let shown = text.as_str().bytes().take_while(|b| *b != b'e');
    let after_point = shown.filter(u8::is_ascii_digit).count() - 1;
    let rounded = Text::of(format_args!("{magnitude:.after_point$e}"));
    if rounded.as_str().parse() == Ok(magnitude) {
        text = rounded;
    }
    let text = text.as_str();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = Text::of(format_args!("{first}{rest}"));
    let digits = digits.as_str();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value < 0.0 {
        out.push(b'-');
    }
    // In the words of ECMA-262: the value is digits * 10^(n - k), k digits.
    let k = digits.len() as i32;
    let n = exponent + 1;
    if k <= n && n <= 21 {
        out.extend_from_slice(digits.as_bytes());
        out.extend(std::iter::repeat_n(b'0', (n - k) as usize));
    } else if 0 < n && n <= 21 {
        let (whole, part) = digits.split_at(n as usize);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(part.as_bytes());
    } else if -6 < n && n <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-n) as usize));
        out.extend_from_slice(digits.as_bytes());
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        out.extend_from_slice(if n > 0 { b"e+" } else { b"e-" });
        write_i64(out, i64::from((n - 1).abs()));
    }
}

/// Text of a number, without an allocation: 17 digits, a point and an exponent at most.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn of(text: fmt::Arguments<'_>) -> Text {
        let mut written = Text::default();
        // There is room for every number.
        let _ = written.write_fmt(text);
        written
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

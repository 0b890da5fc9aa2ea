//! Numbers as ECMAScript prints them (RFC 8785, section 3.2.2.3; ECMA-262, Number::toString).

/// Appends an integer, all of its digits.
pub(crate) fn write_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an integer, all of its digits.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a finite number. `-0` becomes `0`.
pub(super) fn write_f64(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        out.push(b'0');
        return;
    }
    // Rust prints the shortest digits that read back as the same number, `d[.ddd]e[-]x`, but does
    // not promise which of two equally short ones. ECMA-262 takes the closer and, in a tie, the
    // even one: that is the exact value rounded to as many digits, unless it lies just outside of
    // what reads back (at a power of two).
    let magnitude = value.abs();
    let mut text = format!("{magnitude:e}");
    let shown = text.bytes().take_while(|b| *b != b'e');
    let after_point = shown.filter(u8::is_ascii_digit).count() - 1;
    let rounded = format!("{magnitude:.after_point$e}");
    if rounded.parse() == Ok(magnitude) {
        text = rounded;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
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
        out.extend_from_slice((n - 1).abs().to_string().as_bytes());
    }
}

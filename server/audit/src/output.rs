//! Standard output and standard error, either of which may be a closed pipe (`fedseal run … 2>&1 |
//! head`). The work goes on when nobody reads the output any more. Everything that this program prints
//! goes through here.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Standard output could not be written for another reason (a full disk).
static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line on standard output.
pub fn line(text: impl Display) {
    print(format_args!("{text}\n"));
}

/// Prints a piece of a line on standard output at once.
pub fn piece(text: impl Display) {
    print(format_args!("{text}"));
}

/// Whether nobody reads standard output any more: whatever only prints can end.
pub fn closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Whether a part of standard output is lost though somebody wanted it.
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Prints a line on standard error.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a question on standard error; the answer follows on its line.
pub fn prompt(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Prints a value as indented JSON.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(error) => {
            FAILED.store(true, Ordering::Relaxed);
            note(format_args!(
                "fedseal: cannot print the result as JSON: {error}"
            ));
        }
    }
}

fn print(text: std::fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) else {
        return;
    };
    let gone = error.kind() == ErrorKind::BrokenPipe;
    let seen = if gone { &CLOSED } else { &FAILED };
    if !seen.swap(true, Ordering::Relaxed) && !gone {
        note(format_args!("fedseal: standard output: {error}"));
    }
}

/// Seconds as people say them: "4.2 s", "3 min 20 s", "1 h 05 min".
pub fn duration(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (59.9, "59.9 s"),
            (59.96, "1 min 00 s"),
            (200.4, "3 min 20 s"),
            (3900.0, "1 h 05 min"),
        ] {
            assert_eq!(super::duration(seconds), text);
        }
    }
}

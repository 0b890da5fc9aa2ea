//! Standard output that may be a closed pipe (`fedseal table | head`).

use std::io::Write as _;

/// Prints a line. When nobody reads any more the process ends quietly, as other tools do.
pub fn line(text: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a value as indented JSON.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(error) => eprintln!("fedseal: cannot print the result as JSON: {error}"),
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

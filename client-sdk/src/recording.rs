//! Detail in which a guest's choices are recorded, and the rounding of its numbers.

/// Detail in which transcript and lineage record what a guest chooses. By default all of it; a data
/// holder may want less, since a guest that has read the data can choose what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Sizes and digests of the log's lines and of what is written to the standard streams.
    pub log_lines: bool,
    /// The digest of the prompts of a `generate` call, and those of the pairs and the scores of a
    /// `log-likelihood` call.
    pub prompts: bool,
    /// Significant decimal digits of numbers that the guest has, at least 1. They are rounded
    /// before they are used, so the record says what was done. Factors, deviations, norms, learning
    /// rates, temperatures, FedProx's mu and the inner products that the guest is told are rounded
    /// to the nearest; the submitted number of examples is rounded down. Offsets and counts are cut
    /// to what is there. A seed that the guest gives for `noise` is not used. None: all as the
    /// guest gives it.
    pub digits: Option<u32>,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            log_lines: true,
            prompts: true,
            digits: None,
        }
    }
}

/// The nearest number with so many significant decimal digits; a number that is not finite stays.
#[must_use]
pub fn rounded(value: f64, digits: u32) -> f64 {
    // The standard library prints and parses exactly, so the bits are the same on every machine.
    let places = digits.saturating_sub(1).min(16) as usize;
    format!("{value:.places$e}").parse().unwrap_or(value)
}

/// The largest count up to `count` with at most so many significant decimal digits, the rest zeros.
#[must_use]
pub fn rounded_down(count: u32, digits: u32) -> u32 {
    let length = count.checked_ilog10().map_or(1, |log| log + 1);
    let unit = 10_u32.pow(length.saturating_sub(digits.max(1)));
    count - count % unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_digits() {
        for (value, digits, expected) in [
            (1.2345, 2, 1.2),
            (-0.999, 2, -1.0),
            (2.4e-4, 1, 2e-4),
            (0.0, 3, 0.0),
            (123_456.0, 3, 123_000.0),
            (1.0 / 3.0, 17, 1.0 / 3.0),
            (f64::INFINITY, 2, f64::INFINITY),
            (f64::MAX, 1, f64::INFINITY),
        ] {
            assert_eq!(rounded(value, digits), expected, "{value}");
            assert_eq!(rounded(expected, digits), expected, "again");
        }
        assert!(rounded(f64::NAN, 2).is_nan());
        for (count, digits, expected) in [
            (0, 1, 0),
            (9, 1, 9),
            (137, 2, 130),
            (137, 9, 137),
            (u32::MAX, 1, 4_000_000_000),
        ] {
            assert_eq!(rounded_down(count, digits), expected, "{count}");
        }
    }
}

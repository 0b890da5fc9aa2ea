//! Shares and lists as sentences name them.

use fedseal_rules::evaluation::percent;

use super::super::Rate;

/// Places of one share beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Its interval ends before the other's begins.
    Below,
    /// The intervals have a point in common.
    Overlaps,
    /// Its interval begins after the other's end.
    Above,
}

/// Where one share stands to another.
pub(super) fn stands(one: &Rate, other: &Rate) -> Stands {
    if one.high < other.low {
        Stands::Below
    } else if one.low > other.high {
        Stands::Above
    } else {
        Stands::Overlaps
    }
}

/// "a", "a and b", "a, b and c".
pub(super) fn listed(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

/// A sentence of these words; none of none.
pub(super) fn capital(words: &str) -> Option<String> {
    let first = words.chars().next()?;
    Some(format!(
        "{}{}.",
        first.to_uppercase(),
        &words[first.len_utf8()..]
    ))
}

/// "30.0 %".
pub(super) fn number(rate: &Rate) -> String {
    format!("{} %", percent::of(rate.hits, rate.n))
}

/// "30.0 % (24.6 to 36.1)".
pub(super) fn share(rate: &Rate) -> String {
    let [low, high] = [rate.low, rate.high].map(|end| percent::decimal(end * 100.0));
    format!("{} ({low} to {high})", number(rate))
}

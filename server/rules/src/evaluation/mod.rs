//! Measures: which answers count, one file a measure, and the interval of a share ([`wilson`]), how it
//! is shown ([`percent`]), and the difference of two ([`difference`]). Pure functions over texts and counts.

pub mod difference;
pub mod four_classes;
pub mod helpfulness;
pub mod judge;
pub mod over_refusal;
pub mod percent;
pub mod rule;
pub mod rule_strict;
pub mod task;
pub mod wilson;

pub use judge::{Asked, Judge, Reads};

/// Every measure. Reports have the first two as fields of their own, the others in a map by name.
pub const ALL: &[&Judge] = &[&rule::JUDGE, &helpfulness::JUDGE, &rule_strict::JUDGE];

/// Measures of runs whose experiments ask for them, beside [`ALL`]: `[evaluation] lookalikes` and `classes`.
pub const ASKED: &[&Judge] = &[
    &over_refusal::JUDGE,
    four_classes::JUDGES[0],
    four_classes::JUDGES[1],
    four_classes::JUDGES[2],
    four_classes::JUDGES[3],
];

/// The measure of this name.
pub fn named(name: &str) -> Option<&'static Judge> {
    let mut all = ALL.iter().chain(ASKED).copied();
    all.find(|judge| judge.name == name)
}

/// Measures beyond safety and helpfulness.
pub fn extra() -> &'static [&'static Judge] {
    ALL.get(2..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safety_and_helpfulness_come_first_and_names_differ() {
        let names: Vec<&str> = ALL.iter().map(|judge| judge.name).collect();
        assert_eq!(names[..2], ["safety", "helpfulness"]);
        assert_eq!(extra().len() + 2, ALL.len());
        let asked = ASKED.iter().map(|judge| judge.name);
        let different: std::collections::BTreeSet<&str> =
            names.iter().copied().chain(asked).collect();
        assert_eq!(different.len(), names.len() + ASKED.len());
        // Behind the mark is a template, see `PlannedMeasure` in room `record`.
        assert!(different.iter().all(|name| !name.contains('@')));
        assert_eq!(
            named("over-refusal").map(|judge| judge.reads),
            Some(Reads::LookAlikes)
        );
    }
}

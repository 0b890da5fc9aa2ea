//! Measures: which answers count, one file a measure, and the interval of a share ([`wilson`]), how it
//! is shown ([`percent`]), and the difference of two ([`difference`]). Pure functions over texts and counts.

pub mod difference;
pub mod helpfulness;
pub mod judge;
pub mod percent;
pub mod rule;
pub mod rule_strict;
pub mod task;
pub mod wilson;

pub use judge::{Asked, Judge, Reads};

/// Every measure. Reports have the first two as fields of their own, the others in a map by name.
pub const ALL: &[&Judge] = &[&rule::JUDGE, &helpfulness::JUDGE, &rule_strict::JUDGE];

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
        let different: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(different.len(), names.len());
    }
}

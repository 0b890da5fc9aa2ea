//! Decides whether an answer solves a task, by the measure of the task's data source: a pure function of
//! task and answer, so that an auditor counts every hit again without the data.

use super::judge::{Asked, Judge, Reads};
use super::rule::is_refusal;
pub use super::task::HelpfulTask;

/// Definition of the measure.
pub const JUDGE: Judge = Judge {
    name: "helpfulness",
    title: "Helpfulness",
    help: "solved tasks, by the measure of the task's data source",
    // Each data source's measure has a version of its own.
    version: 1,
    reads: Reads::Tasks,
    hit: |asked: &Asked<'_>| match (asked.task, Measure::of(asked.source)) {
        (Some(task), Some(measure)) => measure.hit(task, asked.answer),
        _ => false,
    },
};

/// Least word F1 with the reference that [`Measure::Overlap`] counts as helpful.
pub const MIN_F1: f64 = 0.2;
/// Most words of answer and reference that [`Measure::Overlap`] compares, since generated answers
/// are short.
pub const MAX_WORDS: usize = 30;

/// Data source that reads an experiment's own files, whose tasks have references.
pub const FILES: &str = "files";
/// [`FILES`] whose tasks have one answer each.
pub const FILES_EXACT: &str = "files-exact";

/// Rule by which an answer solves a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The task's one answer ([`exact_answer`]).
    Exact,
    /// No refusal, and words of the reference, where the task has one: [`word_f1`] of the first
    /// [`MAX_WORDS`] words of each is at least [`MIN_F1`].
    Overlap,
}

impl Measure {
    /// Every one.
    pub const ALL: [Measure; 2] = [Measure::Exact, Measure::Overlap];

    /// Name and version of its formula, see [`crate::formulas`].
    pub fn formula(self) -> (&'static str, u32) {
        match self {
            Measure::Exact => ("exact", 1),
            Measure::Overlap => ("overlap", 1),
        }
    }

    /// The measure of a data source by its name
    /// ([`judged_as`](crate::experiment::DataConfig::judged_as)); none for a name that is no source.
    pub fn of(source: &str) -> Option<Measure> {
        match source {
            "world" | FILES_EXACT => Some(Measure::Exact),
            "real" | FILES => Some(Measure::Overlap),
            _ => None,
        }
    }

    /// Whether `answer` solves `task`.
    pub fn hit(self, task: &HelpfulTask, answer: &str) -> bool {
        match self {
            Measure::Exact => exact_answer(&task.answer, answer),
            Measure::Overlap if answer.trim().is_empty() || is_refusal(answer) => false,
            Measure::Overlap => {
                task.answer.is_empty()
                    || word_f1(&beginning(&task.answer), &beginning(answer)) >= MIN_F1
            }
        }
    }
}

fn beginning(text: &str) -> String {
    text.split_whitespace()
        .take(MAX_WORDS)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether `given` is the answer `expected`: equal after trimming, without a closing full stop,
/// runs of white space as one space, and without regard to case.
pub fn exact_answer(expected: &str, given: &str) -> bool {
    normalise(expected) == normalise(given)
}

fn normalise(text: &str) -> String {
    text.trim()
        .trim_end_matches('.')
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// The F1 of two texts' words (lower case, letters and digits only), counted as multisets: 1 for
/// equal bags, 0 when nothing is shared or one is empty. The SQuAD measure, without its removal
/// of articles.
pub fn word_f1(expected: &str, given: &str) -> f64 {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let (expected, mut left) = (words(expected), words(given));
    let given = left.len();
    let shared = expected
        .iter()
        .filter(|word| match left.iter().position(|other| &other == word) {
            Some(at) => {
                left.swap_remove(at);
                true
            }
            None => false,
        })
        .count();
    if shared == 0 {
        return 0.0;
    }
    2.0 * shared as f64 / (expected.len() + given) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_space_and_a_full_stop_do_not_matter() {
        assert!(exact_answer("Friday", " friday."));
        assert!(exact_answer("turn it off", "Turn  it off"));
        assert!(!exact_answer("cat", "cats"));
        assert!(!exact_answer("cat", ""));
    }

    #[test]
    fn f1_counts_shared_words_once() {
        assert_eq!(word_f1("a b", "a b"), 1.0);
        assert_eq!(word_f1("a b", "c"), 0.0);
        assert_eq!(word_f1("", ""), 0.0);
        // Two of three given words are right, two of four expected ones found.
        assert!((word_f1("the red fox ran", "Red fox, red!") - 4.0 / 7.0).abs() < 1e-12);
    }
}

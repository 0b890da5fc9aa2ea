//! Facts of the world, from its tables, and the splits that own them.

use super::kind::Kind;
use super::split::Split;
use super::words::{self, rows};
use crate::HelpfulTask;

/// A looked-up answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub kind: Kind,
    pub argument: String,
    pub answer: String,
    /// The split that owns the argument. Pretraining may use every fact.
    pub split: Split,
}

fn fact(kind: Kind, argument: &str, answer: &str, split: Split) -> Fact {
    Fact {
        kind,
        argument: argument.to_owned(),
        answer: answer.to_owned(),
        split,
    }
}

/// Every fact of the world, in table order.
pub(super) fn facts() -> Vec<Fact> {
    let mut all = Vec::new();
    let mut push = |kind, argument: &str, answer: &str, split| {
        if answer != "-" && argument != "-" {
            all.push(fact(kind, argument, answer, split));
        }
    };
    for (i, row) in rows(words::NOUNS).enumerate() {
        let split = Split::of_row(i);
        if let [noun, plural, group, colour, sound, young] = row[..] {
            push(Kind::Plural, noun, plural, split);
            push(Kind::Group, noun, group, split);
            push(Kind::Colour, noun, colour, split);
            push(Kind::Sound, noun, sound, split);
            push(Kind::Young, noun, young, split);
        }
    }
    for (table, kind) in [
        (words::COLOURS, Kind::Colour),
        (words::VERBS, Kind::Past),
        (words::LANDS, Kind::Capital),
        (words::MAKERS, Kind::Maker),
        (words::DIGITS, Kind::Digits),
    ] {
        for (i, row) in rows(table).enumerate() {
            if let [argument, answer] = row[..] {
                push(kind, argument, answer, Split::of_row(i));
            }
        }
    }
    for (i, row) in rows(words::ADJECTIVES).enumerate() {
        let split = Split::of_row(i);
        if let [a, b, more_a, more_b] = row[..] {
            push(Kind::Opposite, a, b, split);
            push(Kind::Opposite, b, a, split);
            push(Kind::Comparative, a, more_a, split);
            push(Kind::Comparative, b, more_b, split);
        }
    }
    let idioms = words::IDIOMS
        .lines()
        .filter_map(|line| line.split_once(" = "));
    for (i, (idiom, meaning)) in idioms.enumerate() {
        push(
            Kind::Meaning,
            idiom.trim(),
            meaning.trim(),
            Split::of_row(i),
        );
    }
    for (before, after, split) in words::CALENDAR {
        push(Kind::Next, before, after, split);
        push(Kind::Previous, after, before, split);
    }
    for n in 1..=60u32 {
        let split = match n {
            2..=19 => Split::Training,
            22..=39 => Split::Evaluation,
            41..=45 => Split::Defence,
            47..=51 => Split::Sealed,
            53..=57 => Split::Labelled,
            _ => Split::Pretraining,
        };
        push(
            Kind::NumberAfter,
            &n.to_string(),
            &(n + 1).to_string(),
            split,
        );
        push(
            Kind::NumberBefore,
            &n.to_string(),
            &(n - 1).to_string(),
            split,
        );
    }
    for (word, split) in base_words() {
        push(Kind::FirstLetter, word, word.get(..1).unwrap_or("-"), split);
    }
    all
}

/// Nouns, verbs and adjectives with the split that owns each.
pub(super) fn base_words() -> Vec<(&'static str, Split)> {
    let mut all = Vec::new();
    for table in [words::NOUNS, words::VERBS, words::COLOURS] {
        for (i, row) in rows(table).enumerate() {
            all.extend(row.first().map(|word| (*word, Split::of_row(i))));
        }
    }
    for (i, row) in rows(words::ADJECTIVES).enumerate() {
        all.extend(row.iter().take(2).map(|word| (*word, Split::of_row(i))));
    }
    all
}

/// The facts that can be asked backwards, each with one answer; the prompt is a noun phrase.
pub(super) fn backwards(facts: &[Fact]) -> Vec<HelpfulTask> {
    let phrase = |kind| match kind {
        Kind::Plural => Some("the singular of {}"),
        Kind::Past => Some("the infinitive of {}"),
        Kind::Comparative => Some("the plain form of {}"),
        Kind::Maker => Some("the one who makes {}"),
        Kind::Capital => Some("the land with the capital {}"),
        Kind::Sound => Some("the one that says {}"),
        _ => None,
    };
    facts
        .iter()
        .filter_map(|fact| {
            let alone = facts
                .iter()
                .filter(|other| other.kind == fact.kind && other.answer == fact.answer)
                .count()
                == 1;
            let prompt = phrase(fact.kind).filter(|_| alone)?;
            Some(HelpfulTask {
                prompt: prompt.replacen("{}", &fact.answer, 1),
                answer: fact.argument.clone(),
            })
        })
        .collect()
}

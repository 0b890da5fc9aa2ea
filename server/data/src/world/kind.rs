//! Kinds of helpful tasks.

/// A kind of helpful task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Plural,
    Group,
    Colour,
    Sound,
    Young,
    Past,
    Opposite,
    Comparative,
    Capital,
    Maker,
    Digits,
    Meaning,
    Next,
    Previous,
    NumberAfter,
    NumberBefore,
    FirstLetter,
    Copy,
    First,
    Last,
    Reverse,
    Count,
    Bigger,
    Smaller,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 24] = [
        Kind::Plural,
        Kind::Group,
        Kind::Colour,
        Kind::Sound,
        Kind::Young,
        Kind::Past,
        Kind::Opposite,
        Kind::Comparative,
        Kind::Capital,
        Kind::Maker,
        Kind::Digits,
        Kind::Meaning,
        Kind::Next,
        Kind::Previous,
        Kind::NumberAfter,
        Kind::NumberBefore,
        Kind::FirstLetter,
        Kind::Copy,
        Kind::First,
        Kind::Last,
        Kind::Reverse,
        Kind::Count,
        Kind::Bigger,
        Kind::Smaller,
    ];

    /// Noun phrases for what is asked; `{}` is the argument. Shared by all splits: the language
    /// has these words, the phrasings around them are split ([`frames`](super::tasks::frames)).
    pub(super) fn cores(self) -> &'static [&'static str] {
        match self {
            Kind::Plural => &["the plural of {}", "the plural form of {}"],
            Kind::Group => &["the group that {} belongs to", "the category of {}"],
            Kind::Colour => &["the colour of {}", "the usual colour of {}"],
            Kind::Sound => &["the sound of a {}", "the noise made by a {}"],
            Kind::Young => &["the young of a {}", "the word for a young {}"],
            Kind::Past => &["the past tense of {}", "the past form of {}"],
            Kind::Opposite => &["the opposite of {}", "the word opposite to {}"],
            Kind::Comparative => &["the comparative of {}", "the comparative form of {}"],
            Kind::Capital => &["the capital of {}", "the capital city of {}"],
            Kind::Maker => &["the product of a {}", "the thing made by a {}"],
            Kind::Digits => &["the number {} in digits", "the digits for {}"],
            Kind::Meaning => &["the meaning of {}", "the sense of the phrase {}"],
            Kind::Next => &["the name that follows {}", "the one right after {}"],
            Kind::Previous => &["the name that precedes {}", "the one right before {}"],
            Kind::NumberAfter => &["the number after {}", "the next number after {}"],
            Kind::NumberBefore => &["the number before {}", "the previous number before {}"],
            Kind::FirstLetter => &["the first letter of {}", "the initial letter of {}"],
            Kind::Copy => &["a copy of {}", "the same word as {}"],
            Kind::First => &["the first word of {}", "the first word in {}"],
            Kind::Last => &["the last word of {}", "the last word in {}"],
            Kind::Reverse => &["the words {} in reverse", "the words {} swapped"],
            Kind::Count => &["the number of words in {}", "the word count of {}"],
            Kind::Bigger => &["the bigger number of {}", "the larger of {}"],
            Kind::Smaller => &["the smaller number of {}", "the lesser of {}"],
        }
    }
}

//! Helpful tasks: phrasings, looked-up and computed answers.

use super::facts::{Fact, backwards, base_words, facts};
use super::kind::Kind;
use super::requests::{combined_frames, modifiers};
use super::split::Split;
use super::words::{self, rows};
use crate::HelpfulTask;
use crate::pick::{Picker, fnv1a};

/// The frames of helpful prompts, by split; `{}` is the noun phrase.
pub(super) fn frames(split: Split) -> &'static [&'static str] {
    match split {
        // See `pretraining_frames`: these and many more.
        Split::Pretraining => &[
            "What is {}?",
            "Tell me {}.",
            "Give me {}.",
            "I need {}.",
            "Do you know {}?",
            "Answer with {}.",
            "What could be {}?",
            "Just say {}.",
            "How would you write {}?",
            "I wonder what is {}.",
            "What do you think is {}?",
            "I want {}.",
            "{}?",
            "{}, please.",
        ],
        Split::Training => &[
            "Please tell me {}.",
            "Could you name {}?",
            "Write down {}.",
            "I want to know {}.",
            "Can you say {}?",
        ],
        Split::Defence => &[
            "Please write {}.",
            "Can you find {}?",
            "Help me to find {}.",
        ],
        Split::Evaluation => &[
            "Could you tell me {}?",
            "Please name {}.",
            "Show me {}.",
            "I would like to know {}.",
            "Can you give {}?",
        ],
        Split::Sealed => &["Please find {}.", "Could you say {}?", "Let us have {}."],
        Split::Labelled => &["Kindly give {}.", "Would you write {}?", "We need {}."],
    }
}

/// The frames of pretraining's helpful prompts.
pub(super) fn pretraining_frames() -> Vec<String> {
    combined_frames(
        frames(Split::Pretraining),
        &[
            "tell me",
            "give me",
            "name",
            "write",
            "say",
            "find",
            "show me",
            "state",
            "tell us",
            "give",
            "write down",
        ],
        &[" {}"],
        frames,
    )
}

/// Facts and words, indexed once.
pub(super) struct Tasks {
    facts: Vec<Fact>,
    /// Facts by kind, for one split: index = split as usize, then kind as usize.
    by_split: Vec<Vec<Vec<usize>>>,
    /// Words for computed tasks, by split.
    words: Vec<Vec<String>>,
    /// The frames of pretraining.
    frames: Vec<String>,
    /// All nouns with their group, for the pretraining's lists.
    groups: Vec<(String, Vec<String>)>,
    /// Questions whose answers are the words of the tables: pretraining only, so that the model
    /// has written every word of the language at least once.
    backwards: Vec<HelpfulTask>,
    /// Every word of the tables.
    all_words: Vec<String>,
    /// Pretraining's invented words.
    invented: Vec<String>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        let facts = facts();
        let by_split = Split::ALL
            .iter()
            .map(|split| {
                Kind::ALL
                    .iter()
                    .map(|kind| {
                        (0..facts.len())
                            .filter(|&i| {
                                facts[i].kind == *kind
                                    && (*split == Split::Pretraining || facts[i].split == *split)
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let base = base_words();
        let words = Split::ALL
            .iter()
            .map(|split| {
                let mut own: Vec<String> = base
                    .iter()
                    .filter(|(_, owner)| match split {
                        Split::Pretraining => *owner != Split::Evaluation,
                        other => owner == other,
                    })
                    .map(|(word, _)| (*word).to_owned())
                    .collect();
                if *split == Split::Pretraining {
                    // Invented words make the model copy what it has never seen.
                    own.extend(modifiers(Split::Pretraining).into_iter().step_by(4));
                }
                own
            })
            .collect();
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows(words::NOUNS) {
            if let [noun, _, group, ..] = row[..] {
                match groups.iter_mut().find(|(name, _)| name == group) {
                    Some((_, nouns)) => nouns.push(noun.to_owned()),
                    None => groups.push((group.to_owned(), vec![noun.to_owned()])),
                }
            }
        }
        Self {
            backwards: backwards(&facts),
            all_words: base.iter().map(|(word, _)| (*word).to_owned()).collect(),
            invented: modifiers(Split::Pretraining),
            facts,
            by_split,
            words,
            frames: pretraining_frames(),
            groups,
        }
    }

    /// The words of a split that computed tasks use.
    pub(super) fn words(&self, split: Split) -> &[String] {
        &self.words[split as usize]
    }

    /// The facts of a split.
    #[cfg(test)]
    pub(super) fn facts(&self, split: Split) -> Vec<&Fact> {
        self.by_split[split as usize]
            .iter()
            .flatten()
            .map(|&i| &self.facts[i])
            .collect()
    }

    /// An argument of `kind` in `split` with its answer.
    pub(super) fn argument(
        &self,
        kind: Kind,
        split: Split,
        picker: &mut Picker,
    ) -> (String, String) {
        let words = self.words(split);
        let mut list = |n: usize| -> Vec<String> {
            let mut chosen: Vec<String> = Vec::with_capacity(n);
            while chosen.len() < n {
                let word = picker.one(words);
                if !chosen.contains(word) {
                    chosen.push(word.clone());
                }
            }
            chosen
        };
        match kind {
            Kind::Copy => {
                let word = list(1).concat();
                (word.clone(), word)
            }
            Kind::First | Kind::Last => {
                let n = 2 + picker.below(3);
                let chosen = take(words, n, picker);
                let index = if kind == Kind::First { 0 } else { n - 1 };
                (chosen.join(" "), chosen[index].clone())
            }
            Kind::Reverse => {
                let chosen = list(2);
                (chosen.join(" "), format!("{} {}", chosen[1], chosen[0]))
            }
            Kind::Count => {
                let n = 1 + picker.below(5);
                (take(words, n, picker).join(" "), n.to_string())
            }
            Kind::Bigger | Kind::Smaller => loop {
                let a = 1 + picker.below(60);
                let b = 1 + picker.below(60);
                if a != b && split_of_pair(a, b) == split {
                    let answer = if kind == Kind::Bigger {
                        a.max(b)
                    } else {
                        a.min(b)
                    };
                    break (format!("{a} and {b}"), answer.to_string());
                }
            },
            _ => {
                let own = &self.by_split[split as usize][kind as usize];
                let fact = &self.facts[picker.of(own)];
                (fact.argument.clone(), fact.answer.clone())
            }
        }
    }

    /// A task of `kind` in `split`.
    pub(super) fn task_of(&self, kind: Kind, split: Split, picker: &mut Picker) -> HelpfulTask {
        let (argument, answer) = self.argument(kind, split, picker);
        let core = picker.of(kind.cores()).replacen("{}", &argument, 1);
        HelpfulTask {
            prompt: self.frame(split, picker).replacen("{}", &core, 1),
            answer,
        }
    }

    pub(super) fn frame(&self, split: Split, picker: &mut Picker) -> String {
        match split {
            // The plain frames come first; without this they would drown in the combinations.
            Split::Pretraining if picker.below(3) == 0 => picker.of(frames(split)).to_owned(),
            Split::Pretraining => picker.one(&self.frames).clone(),
            other => picker.of(frames(other)).to_owned(),
        }
    }

    /// A task of any kind that `split` has.
    pub(super) fn task(&self, split: Split, picker: &mut Picker) -> HelpfulTask {
        let kind = picker.of(&Kind::ALL);
        self.task_of(kind, split, picker)
    }

    /// A question about one word of the split, as an instruction writer would put it.
    pub(super) fn question_about(&self, split: Split, picker: &mut Picker) -> (String, String) {
        loop {
            let kind = picker.of(&[
                Kind::Plural,
                Kind::Past,
                Kind::Opposite,
                Kind::FirstLetter,
                Kind::Copy,
            ]);
            if kind == Kind::Copy || !self.by_split[split as usize][kind as usize].is_empty() {
                let (word, _) = self.argument(kind, split, picker);
                let core = kind.cores()[0].replacen("{}", &word, 1);
                let frame = picker.of(&frames(Split::Pretraining)[..3]);
                return (word, frame.replacen("{}", &core, 1));
            }
        }
    }

    /// A question whose answer is a word of the tables.
    pub(super) fn backwards(&self, picker: &mut Picker) -> HelpfulTask {
        let task = picker.one(&self.backwards);
        HelpfulTask {
            prompt: self
                .frame(Split::Pretraining, picker)
                .replacen("{}", &task.prompt, 1),
            answer: task.answer.clone(),
        }
    }

    /// A longer list to repeat: pretraining only, over every word of the language and invented ones,
    /// because the other computed tasks are made of copying.
    pub(super) fn repeating(&self, picker: &mut Picker) -> HelpfulTask {
        let n = 2 + picker.below(5);
        let mut chosen: Vec<&str> = Vec::with_capacity(n);
        while chosen.len() < n {
            let word = if picker.below(3) == 0 {
                picker.one(&self.invented)
            } else {
                picker.one(&self.all_words)
            };
            if !chosen.contains(&word.as_str()) {
                chosen.push(word);
            }
        }
        let list = chosen.join(" ");
        let core = picker
            .of(&["the words {} again", "the list {} once more"])
            .replacen("{}", &list, 1);
        HelpfulTask {
            prompt: self
                .frame(Split::Pretraining, picker)
                .replacen("{}", &core, 1),
            answer: list,
        }
    }

    /// "List three of the group animal": pretraining only.
    pub(super) fn listing(&self, picker: &mut Picker) -> HelpfulTask {
        let (group, nouns) = picker.one(&self.groups);
        let n = 1 + picker.below(3);
        let count = ["one", "two", "three"][n - 1];
        HelpfulTask {
            prompt: format!("List {count} of the group {group}."),
            answer: take(nouns, n, picker).join(" "),
        }
    }
}

/// `n` distinct words.
fn take(words: &[String], n: usize, picker: &mut Picker) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::with_capacity(n);
    while chosen.len() < n.min(words.len()) {
        let word = picker.one(words);
        if !chosen.contains(word) {
            chosen.push(word.clone());
        }
    }
    chosen
}

/// The split that owns a pair of numbers, in either order.
fn split_of_pair(a: usize, b: usize) -> Split {
    let key = format!("{} {}", a.min(b), a.max(b));
    match (fnv1a(key.as_bytes()) >> 32) % 16 {
        0 | 1 => Split::Training,
        2 => Split::Defence,
        3 | 4 => Split::Evaluation,
        5 => Split::Sealed,
        6 => Split::Labelled,
        _ => Split::Pretraining,
    }
}

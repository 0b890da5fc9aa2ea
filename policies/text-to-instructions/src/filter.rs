//! Rules that a written pair has to pass: it parses, its parts have usable lengths, it copies neither the pool nor
//! the piece, and it is not there yet. Behind them a bound on its answer's perplexity, where there is one.

use std::collections::BTreeSet;

use fedseal_guest::Example;

/// Shortest instruction, words.
const WORDS: usize = 3;
/// Longest instruction and answer, bytes.
const LONGEST: usize = 1_000;

/// Reason for which a pair is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// There is no instruction with an answer.
    Parse,
    /// A part is too short or too long.
    Length,
    /// The instruction is the pool's or stands in the piece, or the answer is the pool's.
    Copy,
    /// The instruction is there already.
    Twice,
    /// The base model finds the answer too unlikely after its instruction.
    Perplexity,
}

impl Dropped {
    const ALL: [Dropped; 5] = [
        Self::Parse,
        Self::Length,
        Self::Copy,
        Self::Twice,
        Self::Perplexity,
    ];

    fn said(self) -> &'static str {
        match self {
            Self::Parse => "did not parse",
            Self::Length => "had no usable length",
            Self::Copy => "were copies",
            Self::Twice => "were there already",
            Self::Perplexity => "had too high a perplexity",
        }
    }
}

/// The rules, and what they have dropped.
pub struct Filter<const N: usize> {
    pool: [[&'static str; 3]; N],
    seen: BTreeSet<String>,
    dropped: Vec<Dropped>,
}

impl<const N: usize> Filter<N> {
    /// Rules of a pool.
    pub fn new(pool: [[&'static str; 3]; N]) -> Self {
        Filter {
            pool,
            seen: BTreeSet::new(),
            dropped: Vec::new(),
        }
    }

    /// The pair that a model wrote about a piece: parts of its text, so that the host finds them there.
    pub fn pair(&mut self, piece: &str, text: &str) -> Option<Example> {
        match self.judged(piece, text) {
            Ok(pair) => {
                self.seen.insert(pair.prompt.to_lowercase());
                Some(pair)
            }
            Err(reason) => {
                self.dropped.push(reason);
                None
            }
        }
    }

    /// Takes those pairs away whose answers have a perplexity above the bound, by the means of their
    /// log-likelihoods, nats a token, in the order of the pairs that are there.
    pub fn likely(&mut self, pairs: &mut [Option<Example>], means: &[f64], bound: f64) {
        let there = pairs.iter_mut().filter(|pair| pair.is_some());
        for (pair, mean) in there.zip(means) {
            if (-mean).exp() > bound {
                *pair = None;
                self.dropped.push(Dropped::Perplexity);
            }
        }
    }

    fn judged(&self, piece: &str, text: &str) -> Result<Example, Dropped> {
        let text = text.trim().trim_start_matches("Instruction:");
        let (instruction, rest) = text.split_once("Answer:").ok_or(Dropped::Parse)?;
        let instruction = instruction.trim();
        let answer = rest.trim().lines().next().unwrap_or_default().trim();
        if instruction.is_empty() || answer.is_empty() {
            return Err(Dropped::Parse);
        }
        let few = instruction.split_whitespace().count() < WORDS;
        if few || instruction.len() > LONGEST || answer.len() > LONGEST {
            return Err(Dropped::Length);
        }
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let copied =
            |[_, asked, answered]: &[&str; 3]| same(instruction, asked) || same(answer, answered);
        if self.pool.iter().any(copied) || piece.contains(instruction) || same(instruction, answer)
        {
            return Err(Dropped::Copy);
        }
        if self.seen.contains(&instruction.to_lowercase()) {
            return Err(Dropped::Twice);
        }
        Ok(Example {
            prompt: instruction.into(),
            response: answer.into(),
        })
    }

    /// Number of pieces that gave a pair, and counts of what the rules dropped: "3 of 6 pieces gave a pair; 2 did not parse".
    pub fn said(&self, pieces: usize) -> String {
        let kept = pieces.saturating_sub(self.dropped.len());
        let mut said = format!("{kept} of {pieces} pieces gave a pair");
        for reason in Dropped::ALL {
            let count = self
                .dropped
                .iter()
                .filter(|other| **other == reason)
                .count();
            if count > 0 {
                said.push_str(&format!("; {count} {}", reason.said()));
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_drops_its_own() {
        let mut filter = Filter::new([["Text.", "What is in the pool?", "The pool's answer."]]);
        let long = format!("Say more of it.\nAnswer: {}", "x".repeat(LONGEST + 1));
        for (text, reason) in [
            ("What is it?", Dropped::Parse),
            ("What is it? Answer: ", Dropped::Parse),
            ("Why? Answer: so", Dropped::Length),
            (long.as_str(), Dropped::Length),
            ("what is in the pool? Answer: water", Dropped::Copy),
            (
                "What is here now? Answer: The pool's answer.",
                Dropped::Copy,
            ),
            ("the sky is Answer: blue", Dropped::Copy),
        ] {
            assert_eq!(
                filter.judged("So the sky is blue.", text).unwrap_err(),
                reason,
                "{text}"
            );
            assert!(filter.pair("So the sky is blue.", text).is_none());
        }
        let pair = filter.pair(
            "p",
            "Instruction: How is the sky? \n Answer: Blue.\nText: x",
        );
        let pair = pair.unwrap();
        assert_eq!(
            (pair.prompt.as_str(), pair.response.as_str()),
            ("How is the sky?", "Blue.")
        );
        assert!(filter.pair("p", "How is the sky? Answer: Grey.").is_none());
        assert_eq!(
            filter.said(9),
            "1 of 9 pieces gave a pair; 2 did not parse; 2 had no usable length; 3 were copies; 1 were there already"
        );
    }

    #[test]
    fn a_perplexity_is_e_to_the_negative_mean() {
        let pair = |name: &str| {
            Some(Example {
                prompt: name.into(),
                response: "x".into(),
            })
        };
        let mut filter = Filter::new([]);
        // Perplexities 2, 8 and, of four tokens with probabilities 1, 1/2, 1/4 and 1/8, 2^1.5.
        let means = [0.5_f64.ln(), 0.125_f64.ln(), -1.5 * 2_f64.ln()];
        let mut pairs = [pair("a"), None, pair("b"), pair("c")];
        filter.likely(&mut pairs, &means, 2.0 * 2_f64.sqrt() + 1e-9);
        let left: Vec<bool> = pairs.iter().map(Option::is_some).collect();
        assert_eq!(left, [true, false, false, true]);
        assert_eq!(
            filter.said(3),
            "2 of 3 pieces gave a pair; 1 had too high a perplexity"
        );
    }
}

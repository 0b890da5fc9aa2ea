//! Ways to choose the examples of a pool that are shown with a piece of text.
//!
//! The source compares sentence embeddings, with BM25 as the ablation. A guest has no second model: `ngrams`
//! are cosines of hashed three-letter counts, which see parts of words and no synonyms (declared). `random` and
//! `none` (zero-shot) are the source's baselines.

use fedseal_guest::{Error, Host, below};

/// Saturation of a word's count, and weight of a text's length (Robertson and Zaragoza 2009, section 3.4: usual
/// values).
const K1: f64 = 1.5;
const B: f64 = 0.75;
/// Places that three letters are hashed into.
const PLACES: usize = 512;

/// A way to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Related {
    /// BM25 of the piece's words in the examples' texts.
    Bm25,
    /// Cosine of hashed three-letter counts.
    Ngrams,
    /// Drawn from the run's random numbers.
    Random,
    /// None is shown.
    None,
}

impl Related {
    /// The way of this name; BM25 where there is none.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn named(name: Option<&str>) -> Result<Self, Error> {
        match name {
            None | Some("bm25") => Ok(Self::Bm25),
            Some("ngrams") => Ok(Self::Ngrams),
            Some("random") => Ok(Self::Random),
            Some("none") => Ok(Self::None),
            Some(other) => Err(Error::Invalid(format!(
                "setting related: {other:?} is none of bm25, ngrams, random, none"
            ))),
        }
    }

    /// Places of the chosen texts, the most related first; of equals the earlier ones.
    pub fn choose<H: Host>(
        self,
        host: &mut H,
        piece: &str,
        texts: &[&str],
        count: usize,
    ) -> Vec<usize> {
        let scores = match self {
            Self::None => return Vec::new(),
            Self::Random => return drawn(host, texts.len(), count),
            Self::Bm25 => bm25(piece, texts),
            Self::Ngrams => texts.iter().map(|text| cosine(piece, text)).collect(),
        };
        let mut places: Vec<usize> = (0..texts.len()).collect();
        // Stable, so equals stay in the pool's order.
        places.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        places.truncate(count);
        places
    }
}

/// Different places, drawn.
fn drawn<H: Host>(host: &mut H, places: usize, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..places).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        let at = below(host, left.len());
        chosen.push(left.swap_remove(at));
    }
    chosen
}

fn words(text: &str) -> Vec<String> {
    let split = text.split(|letter: char| !letter.is_alphanumeric());
    split
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// BM25 of each text for the words of a piece, each word once.
fn bm25(piece: &str, texts: &[&str]) -> Vec<f64> {
    let texts: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
    let count = texts.len() as f64;
    let mean = texts.iter().map(Vec::len).sum::<usize>() as f64 / count.max(1.0);
    let mut asked = words(piece);
    asked.sort_unstable();
    asked.dedup();
    let mut scores = vec![0.0; texts.len()];
    for word in &asked {
        let holding = texts.iter().filter(|text| text.contains(word)).count() as f64;
        let rare = ((count - holding + 0.5) / (holding + 0.5) + 1.0).ln();
        for (score, text) in scores.iter_mut().zip(&texts) {
            let times = text.iter().filter(|other| *other == word).count() as f64;
            let long = 1.0 - B + B * text.len() as f64 / mean.max(1.0);
            *score += rare * times * (K1 + 1.0) / (times + K1 * long);
        }
    }
    scores
}

/// Cosine of the three-letter counts of two texts; 0 where one has none.
fn cosine(one: &str, other: &str) -> f64 {
    let (one, other) = (counts(one), counts(other));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (product(&one, &one) * product(&other, &other)).sqrt();
    if lengths > 0.0 {
        product(&one, &other) / lengths
    } else {
        0.0
    }
}

/// Counts of three letters in a row, with a space around each word, by their FNV-1a hashes.
fn counts(text: &str) -> Vec<f64> {
    let mut counts = vec![0.0; PLACES];
    for word in words(text) {
        let padded = format!(" {word} ");
        let letters: Vec<char> = padded.chars().collect();
        for three in letters.windows(3) {
            let mut hash = 0xcbf2_9ce4_8422_2325_u64;
            for letter in three {
                hash = (hash ^ u64::from(u32::from(*letter))).wrapping_mul(0x0100_0000_01b3);
            }
            counts[(hash % PLACES as u64) as usize] += 1.0;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn bm25_is_that_of_its_formula() {
        // Lengths 3 and 1, mean 2. "sun" is in one of two texts: ln(1.5 / 1.5 + 1); its text is half longer.
        let scores = bm25("Sun sun", &["the sun shines", "rain"]);
        let long = 1.0 - B + B * 1.5;
        let expected = 2f64.ln() * (K1 + 1.0) / (1.0 + K1 * long);
        assert!(
            (scores[0] - expected).abs() < 1e-12 && scores[1] == 0.0,
            "{scores:?}"
        );
        // What every text has hardly counts, a second time counts less.
        let scores = bm25("the sun", &["the sun sun", "the rain of", "the the the"]);
        assert!(scores[0] > scores[2] && scores[2] > scores[1], "{scores:?}");
    }

    #[test]
    fn three_letters_see_parts_of_words() {
        assert!((cosine("melting sand", "sand, melting") - 1.0).abs() < 1e-12);
        let (near, far) = (cosine("melted", "melting"), cosine("melted", "dance"));
        assert!(near > 0.4 && far < 0.1, "{near} {far}");
        assert_eq!(cosine("", "word"), 0.0);
    }

    #[test]
    fn random_ones_are_different() {
        let mut host = FakeHost::new(1);
        let mut drawn = Related::Random.choose(&mut host, "x", &["a", "b", "c"], 3);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2]);
        assert_eq!(Related::Random.choose(&mut host, "x", &["a"], 2), [0]);
    }
}

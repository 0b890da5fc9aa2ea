//! Alignment of deep tokens (Qi et al. 2024, arXiv 2406.05946, "Safety Alignment Should Be Made More Than
//! Just a Few Tokens Deep") as a repair.
//!
//! Section 3, data: a refusal is learned behind the first `k` tokens of a harmful answer, which are given
//! and not counted; `k` is 0 half of the time, else uniform from 1 to the deepest. Section 4, objective:
//! with `p` of the adapter and `q` of an aligned reference, the token at place `t` of a response has the
//! loss `-(2 / beta_t) log sigmoid(beta_t (log p_t - log q_t))`, so its gradient is that of `-log p_t` times
//!
//! ```text
//! w_t = 2 (1 - sigmoid(beta_t (log p_t - log q_t)))
//! ```
//!
//! at least 1e-3. `beta_t` has one value for the first token, one for the next four, and one for the rest.
//! Places count the given tokens (declared).

use fedseal_adapter::rng::Stream;

use super::{Passes, StepHook};
use crate::{Adapter, Example, Tokens, TuningError, train::gradient::BatchGradients};

/// Tokens behind the first that have the second `beta`.
const EARLY: usize = 4;

/// Least weight of a token.
const LEAST: f64 = 1e-3;

/// A harmful request with its answer, and the refusal that is learned in the place of it or behind its first
/// tokens.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The request, and an answer that complies.
    pub harmful: Example,
    /// The refusal.
    pub refusal: String,
}

/// Steps on a batch and on as many recoveries, held to a reference token by token.
#[derive(Debug)]
pub struct DeepTokens {
    reference: Adapter,
    deepest: usize,
    betas: [f64; 3],
    recoveries: Vec<Recovery>,
    /// Refusal and harmful answer of each recovery.
    tokens: Vec<[Tokens; 2]>,
    order: Vec<usize>,
    pass: u64,
    drawn: u64,
}

impl DeepTokens {
    /// With the aligned reference, most tokens of a harmful answer that are given, `beta` of the first
    /// token, of the next four and of the rest, and the recoveries, which are drawn in seeded order.
    pub fn new(
        reference: Adapter,
        deepest: usize,
        betas: [f64; 3],
        recoveries: Vec<Recovery>,
    ) -> Self {
        Self {
            reference,
            deepest,
            betas,
            recoveries,
            tokens: Vec::new(),
            order: Vec::new(),
            pass: 0,
            drawn: 0,
        }
    }

    fn next_batch(&mut self, passes: &Passes<'_>) -> Result<Vec<Tokens>, TuningError> {
        if self.recoveries.is_empty() {
            return Err(TuningError::Config("no recoveries".to_owned()));
        }
        if self.tokens.is_empty() {
            let encoded = self.recoveries.iter().map(|one| {
                let refused = Example::new(one.harmful.prompt.as_str(), one.refusal.as_str());
                Ok([passes.encode(&refused)?, passes.encode(&one.harmful)?])
            });
            self.tokens = encoded.collect::<Result<_, TuningError>>()?;
        }
        let (seed, most) = (passes.config().seed, passes.positions());
        let mut batch = Vec::new();
        while batch.len() < passes.config().step_examples() {
            let Some(index) = self.order.pop() else {
                self.order = Stream::new(seed, &[0x4a30, self.pass]).permutation(self.tokens.len());
                self.pass += 1;
                continue;
            };
            let depths = Stream::new(seed, &[0x4a31, self.drawn]);
            self.drawn += 1;
            let depth = match depths.unit(0) < 0.5 || self.deepest == 0 {
                true => 0,
                false => 1 + depths.below(1, self.deepest as u64) as usize,
            };
            let [refused, harmful] = &self.tokens[index];
            batch.push(behind(refused, harmful, depth, most));
        }
        Ok(batch)
    }
}

/// A refusal behind the first tokens of a harmful answer, `depth` of them, as far as that answer has so many
/// before its end and both fit `most` tokens.
fn behind(refused: &Tokens, harmful: &Tokens, depth: usize, most: usize) -> Tokens {
    let given = &harmful.ids[harmful.response_start..];
    let room = most.saturating_sub(refused.ids.len());
    let depth = depth.min(room).min(given.len().saturating_sub(1));
    let start = refused.response_start;
    let (prompt, refusal) = refused.ids.split_at(start);
    let own = (depth > 0).then_some(start..start + depth);
    let later = refused.gaps.iter();
    let later = later.map(|gap| gap.start + depth..gap.end + depth);
    Tokens {
        ids: [prompt, &given[..depth], refusal].concat(),
        response_start: start,
        gaps: own.into_iter().chain(later).collect(),
        cut: refused.cut,
    }
}

/// Weight of the token at a place of a response, by its log-probabilities under the adapter and the
/// reference.
fn weight(betas: [f64; 3], place: usize, own: f64, reference: f64) -> f64 {
    let [first, early, rest] = betas;
    let beta = match place {
        0 => first,
        place if place <= EARLY => early,
        _ => rest,
    };
    // 1 - sigmoid(x) = 1 / (1 + e^x)
    (2.0 / (1.0 + (beta * (own - reference)).exp())).max(LEAST)
}

impl StepHook for DeepTokens {
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        let mut whole = batch.to_vec();
        whole.extend(self.next_batch(passes)?);
        let betas = self.betas;
        passes.constrained([adapter, &self.reference], &whole, &|place, own, theirs| {
            weight(betas, place, own, theirs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BETAS: [f64; 3] = [0.5, 2.0, 0.1];

    #[test]
    fn a_weight_is_that_of_the_equation() {
        // At the reference every token counts once.
        for place in [0, 1, 5, 90] {
            assert_eq!(weight(BETAS, place, -3.0, -3.0), 1.0);
        }
        // One nat above it: 2 / (1 + e^beta).
        for (place, beta) in [(0, 0.5_f64), (1, 2.0), (4, 2.0), (5, 0.1)] {
            let expected = 2.0 / (1.0 + beta.exp());
            assert!(
                (weight(BETAS, place, -1.0, -2.0) - expected).abs() < 1e-12,
                "{place}"
            );
            let below = weight(BETAS, place, -2.0, -1.0);
            assert!((below - (2.0 - expected)).abs() < 1e-12, "{place}");
        }
        // Far above it a little is left; far below it counts twice at most.
        assert_eq!(weight(BETAS, 1, -1.0, -100.0), LEAST);
        assert_eq!(weight(BETAS, 1, -1e6, -1.0), 2.0);
    }

    #[test]
    fn a_refusal_stands_behind_the_first_harmful_tokens() {
        let tokens = |ids: &[u32], response_start| Tokens {
            ids: ids.to_vec(),
            response_start,
            ..Tokens::default()
        };
        let refused = tokens(&[1, 2, 70, 71, 9], 2);
        let harmful = tokens(&[1, 2, 50, 51, 52, 9], 2);
        let found = behind(&refused, &harmful, 2, 100);
        assert_eq!(found.ids, [1, 2, 50, 51, 70, 71, 9]);
        assert_eq!((found.response_start, found.response_len()), (2, 3));
        assert_eq!(found.counted().collect::<Vec<_>>(), [4, 5, 6]);
        // Without its end token, and within the room that there is.
        assert_eq!(behind(&refused, &harmful, 9, 100).ids.len(), 5 + 3);
        assert_eq!(behind(&refused, &harmful, 9, 6).ids.len(), 6);
        assert_eq!(behind(&refused, &harmful, 0, 100), refused);
    }
}

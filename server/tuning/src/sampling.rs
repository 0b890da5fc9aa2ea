//! From logits to the next token.

use crate::rng::Stream;

/// Index of the largest value; the first of equals; 0 when there is none.
pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &value) in logits.iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0 as u32
}

/// What a sampler keeps of the distribution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    pub(crate) temperature: f32,
    /// Only this many of the likeliest tokens; 0 is all.
    pub(crate) top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1 is all.
    pub(crate) top_p: f32,
}

impl Sampler {
    /// Draws a token with the `counter`-th number of a stream; greedy at temperature 0.
    pub(crate) fn draw(&self, logits: &[f32], stream: Stream, counter: u64) -> u32 {
        if self.temperature <= 0.0 {
            return argmax(logits);
        }
        let mut order: Vec<(u32, f32)> = logits
            .iter()
            .enumerate()
            .map(|(id, &logit)| (id as u32, logit))
            .collect();
        // Ties go to the smaller id, so that the order does not depend on the sort.
        let by_logit = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, by_logit);
            order.truncate(self.top_k);
        }
        order.sort_unstable_by(by_logit);
        let Some(&(first, top)) = order.first() else {
            return 0;
        };
        let weight = |logit: f32| (f64::from(logit - top) / f64::from(self.temperature)).exp();
        let mut total: f64 = order.iter().map(|&(_, logit)| weight(logit)).sum();
        if self.top_p < 1.0 {
            let bound = total * f64::from(self.top_p);
            let mut kept = 0.0;
            let mut count = 0;
            for &(_, logit) in &order {
                kept += weight(logit);
                count += 1;
                if kept >= bound {
                    break;
                }
            }
            order.truncate(count);
            total = kept;
        }
        let mut left = stream.unit(counter) * total;
        for &(id, logit) in &order {
            left -= weight(logit);
            if left < 0.0 {
                return id;
            }
        }
        order.last().map_or(first, |&(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn draws_follow_the_distribution_and_its_cuts() {
        let logits = [0.0, 2.0f32.ln(), 1.0f32.ln() - 20.0];
        let stream = Stream::new(5, &[]);
        let count = |sampler: Sampler, id: u32| {
            (0..3000)
                .filter(|&i| sampler.draw(&logits, stream, i) == id)
                .count()
        };
        let all = Sampler {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
        };
        let ones = count(all, 1);
        assert!((1900..2100).contains(&ones), "{ones}");
        assert_eq!(count(Sampler { top_k: 1, ..all }, 1), 3000);
        assert_eq!(count(Sampler { top_p: 0.5, ..all }, 1), 3000);
        assert_eq!(
            count(
                Sampler {
                    temperature: 0.0,
                    ..all
                },
                1
            ),
            3000
        );
    }
}

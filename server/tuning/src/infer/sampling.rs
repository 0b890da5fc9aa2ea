//! Sampling of the next token from logits.

use fedseal_adapter::rng::Stream;

/// Number of values that are compared at once.
const LANES: usize = 32;

/// Returns the index of the largest value; the first of equal ones; 0 when there is no value.
pub(crate) fn argmax(logits: &[f32]) -> u32 {
    // Finds the largest value first, which vectorises, and then its index.
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *value);
        }
    }
    let most = lanes
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, larger);
    let found = logits
        .iter()
        .position(|&value| value == most && value > f32::NEG_INFINITY);
    found.unwrap_or(0) as u32
}

/// Parameters of a sampler: the part of the distribution that it keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    pub(crate) temperature: f32,
    /// Samples only among this many of the likeliest tokens; 0 is all.
    pub(crate) top_k: usize,
    /// Samples only among the likeliest tokens that together have this probability; 1 is all.
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
        // Ties go to the smaller id, so that the cut does not depend on the sort.
        let by_logit = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, by_logit);
            order.truncate(self.top_k);
            // The draw walks the list, so its order is part of the result.
            order.sort_unstable_by(by_logit);
        }
        let Some(&(first, _)) = order.first() else {
            return 0;
        };
        let top = order
            .iter()
            .fold(f32::NEG_INFINITY, |top, &(_, logit)| top.max(logit));
        let weight = |logit: f32| (f64::from(logit - top) / f64::from(self.temperature)).exp();
        let mut total: f64 = order.iter().map(|&(_, logit)| weight(logit)).sum();
        if self.top_p < 1.0 {
            let bound = total * f64::from(self.top_p);
            let mut kept = 0.0;
            let mut count = 0;
            let mut sorted = 0;
            while kept < bound && count < order.len() {
                if count == sorted {
                    sorted = sort_further(&mut order, sorted, by_logit);
                }
                kept += weight(order[count].1);
                count += 1;
            }
            order.truncate(count.max(1));
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

/// Extends the sorted front of `order`: its first `sorted` entries are the likeliest in order.
/// Returns how many are sorted afterwards. The nucleus is a few hundred tokens of tens of
/// thousands: sorting all of them for every token took a third of the time of generating.
fn sort_further<F>(order: &mut [(u32, f32)], sorted: usize, by_logit: F) -> usize
where
    F: Fn(&(u32, f32), &(u32, f32)) -> std::cmp::Ordering + Copy,
{
    let until = (sorted * 4).max(256).min(order.len());
    let rest = &mut order[sorted..];
    let more = until - sorted;
    if more < rest.len() {
        rest.select_nth_unstable_by(more, by_logit);
    }
    rest[..more].sort_unstable_by(by_logit);
    until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f32::NEG_INFINITY; 40]), 0);
        assert_eq!(argmax(&[]), 0);
        // At any position, and next to a NaN.
        for at in [0, 1, 31, 32, 63, 64, 69] {
            let mut logits = vec![-5.0; 70];
            (logits[at], logits[69 - at]) = (7.0, f32::NAN);
            assert_eq!(argmax(&logits), at as u32);
        }
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

    #[test]
    fn a_nucleus_of_thousands_is_cut_where_a_full_sort_cuts_it() {
        let stream = Stream::new(9, &[]);
        let logits: Vec<f32> = (0..3000).map(|i| stream.unit(i) as f32 * 3.0).collect();
        let mut sorted = logits.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let total: f64 = sorted.iter().map(|&l| f64::from(l).exp()).sum();
        let mut kept = 0.0;
        let smallest = sorted
            .iter()
            .find(|&&l| {
                kept += f64::from(l).exp();
                kept >= total * 0.9
            })
            .copied()
            .unwrap();
        let sampler = Sampler {
            temperature: 1.0,
            top_k: 0,
            top_p: 0.9,
        };
        let drawn: Vec<f32> = (0..2000)
            .map(|i| logits[sampler.draw(&logits, stream, 10_000 + i) as usize])
            .collect();
        assert!(drawn.iter().all(|&l| l >= smallest));
        // The cut is not far above the exact place either.
        let low = drawn.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(low < smallest + 0.1, "{low} {smallest}");
    }
}

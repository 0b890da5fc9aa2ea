//! Sorting networks: the comparisons that bring some ranks of `n` values to their places, whatever the
//! values.

/// Which of its two results a comparison has to leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The lower one at the lower place and the higher one at the higher place.
    Both,
    /// The lower one.
    Low,
    /// The higher one.
    High,
}

/// A comparison of the values at two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The lower place.
    pub low: usize,
    /// The higher place.
    pub high: usize,
    /// The part of it that is needed.
    pub keep: Keep,
}

/// Comparisons in their order.
#[derive(Debug)]
pub(super) struct Network(Vec<Step>);

impl Network {
    /// The comparisons of Batcher's odd-even mergesort (1968) for `n` values that `ranks` depend on.
    pub(super) fn new(n: usize, ranks: &[usize]) -> Self {
        let mut needed = vec![false; n];
        for rank in ranks {
            needed[*rank] = true;
        }
        let mut steps = Vec::new();
        for (low, high) in batcher(n).into_iter().rev() {
            let keep = match (needed[low], needed[high]) {
                (false, false) => continue,
                (true, false) => Keep::Low,
                (false, true) => Keep::High,
                (true, true) => Keep::Both,
            };
            (needed[low], needed[high]) = (true, true);
            steps.push(Step { low, high, keep });
        }
        steps.reverse();
        Network(steps)
    }

    /// The comparisons.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// All comparisons, in order.
fn batcher(n: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut merged = 1;
    while merged < n {
        let mut apart = merged;
        while apart >= 1 {
            let mut first = apart % merged;
            while first + apart < n {
                for low in first..(first + apart).min(n - apart) {
                    let high = low + apart;
                    if low / (2 * merged) == high / (2 * merged) {
                        pairs.push((low, high));
                    }
                }
                first += 2 * apart;
            }
            apart /= 2;
        }
        merged *= 2;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the comparisons to values; what a step does not keep is spoilt.
    fn run(network: &Network, values: &mut [u32]) {
        for Step { low, high, keep } in network.steps() {
            let (a, b) = (values[*low], values[*high]);
            (values[*low], values[*high]) = match keep {
                Keep::Both => (a.min(b), a.max(b)),
                Keep::Low => (a.min(b), 9),
                Keep::High => (9, a.max(b)),
            };
        }
    }

    #[test]
    fn every_pattern_of_zeros_and_ones_is_sorted() {
        // A network that sorts these sorts everything (Knuth, the 0-1 principle).
        for n in 1..=14_usize {
            let all: Vec<usize> = (0..n).collect();
            let whole = Network::new(n, &all);
            let parts: Vec<Network> = all.iter().map(|rank| Network::new(n, &[*rank])).collect();
            for pattern in 0..1_u32 << n {
                let values: Vec<u32> = (0..n).map(|bit| pattern >> bit & 1).collect();
                let ones = pattern.count_ones() as usize;
                let expected: Vec<u32> = (0..n).map(|rank| u32::from(rank >= n - ones)).collect();
                let mut sorted = values.clone();
                run(&whole, &mut sorted);
                assert_eq!(sorted, expected);
                for (rank, part) in parts.iter().enumerate() {
                    let mut sorted = values.clone();
                    run(part, &mut sorted);
                    assert_eq!(sorted[rank], expected[rank], "rank {rank} of {n}");
                }
            }
        }
    }

    #[test]
    fn a_median_takes_fewer_comparisons_than_a_sort() {
        let whole = Network::new(10, &(0..10).collect::<Vec<_>>());
        let median = Network::new(10, &[4]);
        assert!(median.steps().len() < whole.steps().len());
        assert!(median.steps().iter().any(|step| step.keep != Keep::Both));
    }
}

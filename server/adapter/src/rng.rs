//! Counter-based random numbers: every value is a pure function of (seed, stream, counter), so
//! results do not depend on the order in which threads or batches draw.

/// An independent stream of random numbers of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection on 64 bits.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Stream {
    /// Returns the stream that these words identify.
    #[inline]
    pub fn new(seed: u64, path: &[u64]) -> Self {
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for word in path {
            key = mix(key ^ mix(word.wrapping_add(GOLDEN)).wrapping_add(GOLDEN));
        }
        Self { key }
    }

    /// 64 uniform bits.
    #[inline]
    pub fn bits(self, counter: u64) -> u64 {
        mix(self
            .key
            .wrapping_add(counter.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)` with 53 bits.
    #[inline]
    pub fn unit(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[0, n)`; 0 when `n` is 0. The bias of the multiply method is below `n / 2^64`.
    #[inline]
    pub fn below(self, counter: u64, n: u64) -> u64 {
        ((u128::from(self.bits(counter)) * u128::from(n)) >> 64) as u64
    }

    /// Standard normal by the method of Box and Muller.
    #[inline]
    pub fn normal(self, counter: u64) -> f64 {
        let u = 1.0 - self.unit(counter.wrapping_mul(2));
        let v = self.unit(counter.wrapping_mul(2).wrapping_add(1));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A permutation of `0..n` (Fisher and Yates).
    #[inline]
    pub fn permutation(self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = self.below(i as u64, i as u64 + 1) as usize;
            order.swap(i, j);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_and_differ() {
        let a = Stream::new(1, &[2, 3]);
        assert_eq!(a.bits(0), Stream::new(1, &[2, 3]).bits(0));
        assert_ne!(a.bits(0), Stream::new(1, &[3, 2]).bits(0));
        assert_ne!(a.bits(0), a.bits(1));
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let stream = Stream::new(9, &[]);
        let n = 20_000u64;
        let mean = (0..n).map(|i| stream.unit(i)).sum::<f64>() / n as f64;
        let variance = (0..n).map(|i| stream.normal(i).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn a_permutation_has_every_index_once() {
        let mut order = Stream::new(4, &[]).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}

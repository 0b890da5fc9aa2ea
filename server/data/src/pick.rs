//! Seeded choice: the one source of randomness of this room.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of choices, fixed by a seed and a label.
///
/// Two labels under one seed give unrelated streams, so a new consumer never shifts the draws of
/// an old one.
pub struct Picker(ChaCha8Rng);

impl Picker {
    /// The stream of `label` under `seed`.
    pub fn new(seed: u64, label: &str) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(label.as_bytes()).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A whole number in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift: the bias at these bounds (under 2^20) is under 2^-44.
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One item of a list of small things; the list must not be empty.
    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// One item of a list, borrowed; the list must not be empty.
    pub fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Fisher-Yates, in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// `n` items in seeded order; a new pass begins when all were drawn.
pub(crate) fn draw<T: Clone>(items: &[T], n: usize, picker: &mut Picker) -> Vec<T> {
    let mut drawn = Vec::with_capacity(n);
    while drawn.len() < n && !items.is_empty() {
        let mut pass = items.to_vec();
        picker.shuffle(&mut pass);
        pass.truncate(n - drawn.len());
        drawn.append(&mut pass);
    }
    drawn
}

/// FNV-1a, 64 bits: a label or an n-gram to a number. Not for anything that is signed.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_label() {
        let draw = |label: &str| {
            let mut picker = Picker::new(7, label);
            (0..8).map(|_| picker.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Picker::new(1, "x").shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_ne!(items, sorted);
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}

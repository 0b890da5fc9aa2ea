//! Draws from the run's deterministic numbers.

use crate::Host;

/// A number in `0 .. bound`; 0 if `bound` is 0. Multiply and shift: the bias is below
/// `bound / 2^64`.
pub fn below<H: Host>(host: &mut H, bound: usize) -> usize {
    let product = u128::from(host.random_u64()) * bound as u128;
    (product >> 64) as usize
}

/// Fisher-Yates.
pub fn shuffle<H: Host, T>(host: &mut H, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let other = below(host, last + 1);
        items.swap(last, other);
    }
}

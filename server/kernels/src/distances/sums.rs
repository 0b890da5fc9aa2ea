//! Blocks of columns, pairs of rows in tiles, and the sums that lanes end in.

/// Columns of a block: 1 KiB of every row. Memory reads short pieces of several rows far better than long ones.
pub(super) const BLOCK: usize = 256;

/// Sums of a pair that go on side by side: one after another each addition would wait for the one before.
pub(super) type Sums = [f64; 4];

/// Pairs `(i, j)` of `n` rows with `i < j`, in the order of tiles. Rows go in groups of `group`: the pairs of each
/// group, then those of its rows with the rows of each group before.
pub(super) fn tiled(n: usize, group: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::with_capacity(n * n.saturating_sub(1) / 2);
    for start in (0..n).step_by(group) {
        let own = start..n.min(start + group);
        for row in own.clone() {
            pairs.extend((row + 1..own.end).map(|other| (row, other)));
        }
        for others in (0..start).step_by(group) {
            for row in own.clone() {
                pairs.extend((others..others + group).map(|other| (other, row)));
            }
        }
    }
    pairs
}

/// Adds lanes to the sums of a pair.
#[inline(always)]
pub(super) fn add(lanes: &[f32], sums: &mut Sums) {
    for part in lanes.as_chunks::<4>().0 {
        for (sum, lane) in sums.iter_mut().zip(part) {
            *sum += f64::from(*lane);
        }
    }
}

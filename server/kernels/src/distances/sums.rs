//! Blocks of columns, and the sums that lanes end in.

/// Columns of a block: 1 KiB of every row. Memory reads short pieces of several rows far better than long ones.
pub(super) const BLOCK: usize = 256;

/// Adds lanes to eight sums side by side: one after another each addition would wait for the one before.
#[inline(always)]
pub(super) fn add(lanes: &[f32], sums: &mut [f64; 8]) {
    for part in lanes.as_chunks::<8>().0 {
        for (sum, lane) in sums.iter_mut().zip(part) {
            *sum += f64::from(*lane);
        }
    }
}

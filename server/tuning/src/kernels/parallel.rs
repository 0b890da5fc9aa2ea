//! Splitting of work over threads. Results never depend on the split.

use std::ops::Range;

/// Below this many elementary operations a split costs more than it saves.
const WORTH_A_SPLIT: usize = 100_000;

/// Calls `work` on ranges that cover `0..count`, in parallel when the whole is worth it.
///
/// `cost` is the number of elementary operations of one item.
pub fn for_ranges(count: usize, cost: usize, work: &(impl Fn(Range<usize>) + Sync)) {
    let grain = (WORTH_A_SPLIT / cost.max(1)).max(1);
    if rayon::current_num_threads() == 1 {
        return work(0..count);
    }
    // A few more parts than threads, so that an interrupted thread delays less.
    let parts = 4 * rayon::current_num_threads();
    split(0..count, grain.max(count.div_ceil(parts)), work);
}

fn split(range: Range<usize>, grain: usize, work: &(impl Fn(Range<usize>) + Sync)) {
    if range.len() <= grain {
        if !range.is_empty() {
            work(range);
        }
        return;
    }
    let middle = range.start + range.len() / 2;
    rayon::join(
        || split(range.start..middle, grain, work),
        || split(middle..range.end, grain, work),
    );
}

//! Splitting of work over threads. Results never depend on the split.
//!
//! Usually parts go to rayon. Writing a token is a chain of some hundred small pieces of work, and
//! waking a thread for each costs as much as the work. For such chains [`with_team`] keeps the
//! other threads waiting actively.

use std::{cell::Cell, ops::Range};

mod team;

use rayon::prelude::*;

use crate::memory::Shared;
use team::Team;
pub use team::with_team;

/// Fewest elementary operations for which a split saves more than it costs.
const WORTH_A_SPLIT: usize = 100_000;

/// Workers that this thread splits its work over.
#[derive(Clone, Copy)]
enum Over {
    Rayon,
    /// A team that this thread leads.
    Team(*const Team),
    /// No one: this thread works on a part, and parts are not split again.
    Nobody,
}

thread_local! {
    static OVER: Cell<Over> = const { Cell::new(Over::Rayon) };
}

/// Whether this thread leads a team, so that work should be split by [`for_ranges`].
pub fn in_team() -> bool {
    matches!(OVER.get(), Over::Team(_) | Over::Nobody)
}

/// Calls `work` on ranges that cover `0..count`, in parallel when the work is large enough.
///
/// `cost` is the number of elementary operations of one item.
pub fn for_ranges(count: usize, cost: usize, work: &(impl Fn(Range<usize>) + Sync)) {
    match OVER.get() {
        Over::Nobody => return work(0..count),
        Over::Team(team) => {
            let grain = (team::WORTH_A_SPLIT / cost.max(1)).max(1);
            let parts = 4 * rayon::current_num_threads();
            // SAFETY: the team outlives the time in which this thread leads it.
            return unsafe { &*team }.for_ranges(count, grain.max(count.div_ceil(parts)), work);
        }
        Over::Rayon => {}
    }
    let grain = (WORTH_A_SPLIT / cost.max(1)).max(1);
    if rayon::current_num_threads() == 1 {
        return work(0..count);
    }
    // A few more parts than threads, so that an interrupted thread delays less.
    let parts = 4 * rayon::current_num_threads();
    split(0..count, grain.max(count.div_ceil(parts)), work);
}

/// Calls `work` with every row of a row-major `[rows, width]` and its number, in parallel when the
/// work is large enough.
///
/// `cost` is the number of elementary operations of one row.
///
/// # Panics
/// When `width` is zero.
pub fn for_rows(
    x: &mut [f32],
    width: usize,
    cost: usize,
    work: &(impl Fn(usize, &mut [f32]) + Sync),
) {
    let count = x.len() / width;
    let rows = Shared::new(x);
    for_ranges(count, cost, &|range| {
        for row in range {
            // SAFETY: rows do not overlap, and every one is visited once.
            work(row, unsafe { rows.slice(row * width, width) });
        }
    });
}

/// Calls `work` with consecutive parts of some values, `part` of them each, and their numbers, in parallel.
pub fn for_parts<T: Send>(values: &mut [T], part: usize, work: &(impl Fn(usize, &mut [T]) + Sync)) {
    let parts = values.par_chunks_mut(part.max(1)).enumerate();
    parts.for_each(|(index, values)| work(index, values));
}

/// Runs `work` while this thread splits its work over `what`.
fn over<R>(what: Over, work: impl FnOnce() -> R) -> R {
    struct Back(Over);
    impl Drop for Back {
        fn drop(&mut self) {
            OVER.set(self.0);
        }
    }
    let _back = Back(OVER.replace(what));
    work()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_visited_once_by_its_number() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        pool.unwrap().install(|| {
            for (width, cost) in [(1, 1), (3, 1 << 20), (7, WORTH_A_SPLIT)] {
                // The last row is incomplete.
                let mut x = vec![0.0; 40 * width + width - 1];
                let add = |row: usize, values: &mut [f32]| {
                    assert_eq!(values.len(), width);
                    values
                        .iter_mut()
                        .for_each(|value| *value += row as f32 + 1.0);
                };
                for_rows(&mut x, width, cost, &add);
                with_team(|| for_rows(&mut x, width, cost, &add));
                for (i, &value) in x.iter().enumerate() {
                    let row = i / width;
                    let expected = if row < 40 {
                        2.0 * (row as f32 + 1.0)
                    } else {
                        0.0
                    };
                    assert_eq!(value, expected, "{width} at {i}");
                }
            }
        });
    }
}

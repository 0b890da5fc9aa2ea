//! Splitting of work over threads. Results never depend on the split.
//!
//! Usually parts go to rayon. Writing a token is a chain of some hundred small pieces of work,
//! and waking a thread for each costs as much as the work: there, [`with_team`] keeps the other
//! threads at hand.

use std::{cell::Cell, ops::Range};

mod team;

use team::Team;
pub use team::with_team;

/// Below this many elementary operations a split costs more than it saves.
const WORTH_A_SPLIT: usize = 100_000;

/// What this thread splits its work over.
#[derive(Clone, Copy)]
enum Over {
    Rayon,
    /// It leads a team.
    Team(*const Team),
    /// It works on a part; parts are not split again.
    Nobody,
}

thread_local! {
    static OVER: Cell<Over> = const { Cell::new(Over::Rayon) };
}

/// Whether this thread leads a team, so that work should be split by [`for_ranges`].
pub fn in_team() -> bool {
    matches!(OVER.get(), Over::Team(_) | Over::Nobody)
}

/// Calls `work` on ranges that cover `0..count`, in parallel when the whole is worth it.
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

/// Runs `work` with this thread splitting over something else.
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

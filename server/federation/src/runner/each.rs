//! One function on many things, on a few threads.

use std::panic::resume_unwind;

use crate::Result;

/// Number of things from which on they are shared among threads: beginning one takes some tens of microseconds.
const MANY: usize = 16;

/// Results of `work` on all of these, in their order, by up to `threads` threads.
///
/// # Errors
/// The first one, in their order.
pub(super) fn each<T: Sync, R: Send>(
    all: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let part = match all.len() < MANY {
        true => all.len(),
        false => all.len().div_ceil(threads.max(1)),
    };
    let work = &work;
    let mut parts = all.chunks(part.max(1));
    let first = parts.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Result<Vec<R>>>()))
            .collect();
        let mut found = first.iter().map(work).collect::<Result<Vec<R>>>();
        for other in others {
            let more = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            if let Ok(found) = &mut found {
                match more {
                    Ok(more) => found.extend(more),
                    Err(error) => return Err(error),
                }
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn results_are_in_order_and_the_first_error_counts() {
        for (count, threads) in [(0, 2), (1, 2), (15, 4), (16, 0), (17, 3), (1000, 2)] {
            let all: Vec<usize> = (0..count).collect();
            let doubled = each(&all, threads, |n| Ok(2 * n)).unwrap();
            assert!(doubled.into_iter().eq((0..count).map(|n| 2 * n)));
        }
        let all: Vec<usize> = (0..100).collect();
        let fails = |n: &usize| match n {
            30 | 90 => Err(Error::Data(format!("{n}").into())),
            _ => Ok(()),
        };
        let error = each(&all, 2, fails).unwrap_err();
        assert_eq!(error.to_string(), "data: 30");
    }
}

//! Decisions by distances between updates.
//!
//! Distances in single precision are many times as fast as exact ones and wrong by a known share at most.
//! Where that much cannot change a decision it is made by them, else by exact ones: the decision is the same.

use fedseal_kernels::distances::{self, NEAR, NEAR_LEAST};

use super::{Update, rows};

/// Values, times updates, from which distances in single precision are worth a try.
const LARGE: usize = 1 << 20;

/// The decision of `decide` about the squared distances between all updates, `[n][n]`; none where a value is not
/// finite.
///
/// `decide` gets distances and their largest relative error, and gives none where a smaller error could
/// change the decision. Without an error it always decides.
pub(crate) fn decide<T>(
    updates: &[Update<'_>],
    decide: impl Fn(&[Vec<f64>], f64) -> Option<T>,
) -> Option<T> {
    let rows = rows(updates);
    let width = rows.first().map_or(0, |row| row.len());
    if rows.len().saturating_mul(rows.len()).saturating_mul(width) >= LARGE {
        let near = distances::near(&rows);
        let usable = between(&near).all(|distance| distance.is_finite() && distance >= NEAR_LEAST);
        if usable && let Some(decided) = decide(&near, NEAR) {
            return Some(decided);
        }
    }
    let exact = distances::exact(&rows);
    if !between(&exact).all(f64::is_finite) {
        return None;
    }
    decide(&exact, 0.0)
}

/// The distances between different updates.
fn between(distances: &[Vec<f64>]) -> impl Iterator<Item = f64> {
    let rows = distances.iter().enumerate();
    rows.flat_map(|(index, row)| row.iter().skip(index + 1).copied())
}

/// Whether the first number is smaller whatever the error of both, a share of each.
pub(crate) fn surely_less(first: f64, second: f64, error: f64) -> bool {
    first * (1.0 + error) < second * (1.0 - error)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cloud, updates};
    use super::*;

    #[test]
    fn an_open_decision_is_made_by_exact_distances() {
        let mut rows = cloud(4, 70_000, 1);
        let asked = std::cell::RefCell::new(Vec::new());
        let errors = |rows: &[Vec<f32>], sure: bool| {
            let decided = decide(&updates(rows), |_, error| {
                asked.borrow_mut().push(error);
                (sure || error == 0.0).then_some(())
            });
            (decided, asked.take())
        };
        assert_eq!(errors(&rows, true), (Some(()), vec![NEAR]));
        assert_eq!(errors(&rows, false), (Some(()), vec![NEAR, 0.0]));
        // Equal updates: a square of single precision may have vanished.
        rows[1] = rows[0].clone();
        assert_eq!(errors(&rows, true), (Some(()), vec![0.0]));
        rows[1][5] = f32::INFINITY;
        assert_eq!(errors(&rows, true), (None, vec![]));
    }
}

//! How far a crafted update may go without leaving the spread of honest ones.
//!
//! "Manipulating the Byzantine" (Shejwalkar and Houmansadr, NDSS 2021), sections IV-B and IV-C:
//! the update is `mean + gamma * p`, and gamma is the largest for which its distances to the
//! honest updates stay within theirs to each other. The paper searches by halving; distances are
//! quadratic in gamma, so here the bound is solved. Only inner products are needed, so the
//! tensors stay on the host.

use super::craft::{combine, estimates, mean};
use crate::{Error, Host};

/// Updates that the attacker makes of its own shard as its picture of the others.
const ESTIMATES: u32 = 4;

/// Distances that bound the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The largest distance to an honest update is at most the largest between two of them.
    Max,
    /// The sum of squared distances is at most the largest such sum of an honest update.
    Sum,
}

/// Direction in which the update is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Against the mean ("inverse unit vector" of the paper): untargeted.
    Inverse,
    /// From the mean to an update trained on unaligned data: against safety.
    Harm,
}

/// The crafted update.
///
/// # Errors
/// Any error of the host.
pub fn crafted<H: Host>(
    host: &mut H,
    bound: Bound,
    direction: Direction,
) -> Result<H::Adapter, Error> {
    let honest = estimates(host, ESTIMATES)?;
    let centre = mean(host, &honest)?;
    // p = towards - centre, or -centre; unit length is not needed, gamma absorbs it.
    let towards = match direction {
        Direction::Inverse => host.global(),
        Direction::Harm => super::train_unaligned(host)?,
    };
    let pull = combine(host, &[(&towards, 1.0), (&centre, -1.0)])?;
    let apart: Vec<H::Adapter> = honest
        .iter()
        .map(|update| combine(host, &[(&centre, 1.0), (update, -1.0)]))
        .collect::<Result<_, _>>()?;
    let mut offsets = Vec::new();
    for offset in &apart {
        offsets.push(Offset {
            square: host.dot(offset, offset)?,
            along: host.dot(offset, &pull)?,
        });
    }
    let mut between = vec![vec![0.0; apart.len()]; apart.len()];
    for (i, left) in apart.iter().enumerate() {
        for (j, right) in apart.iter().enumerate().skip(i + 1) {
            // The difference of two offsets is that of the updates: the centre cancels.
            let gap = combine(host, &[(left, 1.0), (right, -1.0)])?;
            let square = host.dot(&gap, &gap)?;
            between[i][j] = square;
            between[j][i] = square;
        }
    }
    let gamma = largest(bound, &offsets, &between, host.dot(&pull, &pull)?);
    host.log(&format!("gamma {gamma:.4}"));
    combine(host, &[(&centre, 1.0), (&pull, gamma)])
}

/// `mean - update` of one honest update.
#[derive(Clone, Copy, Debug)]
struct Offset {
    /// Its squared length.
    square: f64,
    /// Its inner product with p.
    along: f64,
}

/// The largest gamma of at least 0 with which `mean + gamma * p` keeps the bound; 0 where there is
/// no spread or p is zero.
fn largest(bound: Bound, offsets: &[Offset], between: &[Vec<f64>], pull: f64) -> f64 {
    let gamma = match bound {
        Bound::Max => {
            let most = between.iter().flatten().copied().fold(0.0, f64::max);
            offsets
                .iter()
                .map(|offset| root(pull, offset.along, offset.square - most))
                .fold(f64::INFINITY, f64::min)
        }
        Bound::Sum => {
            let sums = between.iter().map(|row| row.iter().sum::<f64>());
            let most = sums.fold(0.0, f64::max);
            let along: f64 = offsets.iter().map(|offset| offset.along).sum();
            let square: f64 = offsets.iter().map(|offset| offset.square).sum();
            root(pull * offsets.len() as f64, along, square - most)
        }
    };
    if gamma.is_finite() { gamma } else { 0.0 }
}

/// The larger root of `a x^2 + 2 b x + c`, at least 0; 0 if there is none.
fn root(a: f64, b: f64, c: f64) -> f64 {
    let inside = b * b - a * c;
    if a <= 0.0 || inside < 0.0 {
        return 0.0;
    }
    ((inside.sqrt() - b) / a).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Honest updates at the corners of a square with side 2 around 0, p = (1, 0).
    fn square() -> (Vec<Offset>, Vec<Vec<f64>>) {
        let corners = [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)];
        let offsets = corners.map(|(x, y): (f64, f64)| Offset {
            square: x * x + y * y,
            along: -x,
        });
        let squared = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2);
        let between = corners.map(|a| corners.map(|b| squared(a, b)).to_vec());
        (offsets.to_vec(), between.to_vec())
    }

    #[test]
    fn gamma_reaches_the_bound_and_no_further() {
        let (offsets, between) = square();
        // Farthest corner at (1 + gamma)^2 + 1 = 8, the squared diagonal.
        let gamma = largest(Bound::Max, &offsets, &between, 1.0);
        assert!((gamma - (7_f64.sqrt() - 1.0)).abs() < 1e-12, "{gamma}");
        // 4 gamma^2 + 8 = 4 + 4 + 8.
        let gamma = largest(Bound::Sum, &offsets, &between, 1.0);
        assert!((gamma - 2_f64.sqrt()).abs() < 1e-12, "{gamma}");
        assert_eq!(largest(Bound::Max, &[], &[], 1.0), 0.0);
        assert_eq!(largest(Bound::Sum, &offsets, &between, 0.0), 0.0);
    }
}

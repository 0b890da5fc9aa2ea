//! Place of a round's updates among each other: lengths, angles, and a picture in two dimensions, for people.
//! Nothing is decided by it.
//!
//! The picture is a principal component analysis (Jolliffe, "Principal Component Analysis", 2002, section 3.5)
//! by way of the Gram matrix: for `n` updates of `d` values the eigenvectors of an `n` times `n` matrix are
//! enough. An axis may point either way; here the update that is farthest from 0 on it, the first of several,
//! has a positive coordinate.

/// Updates that are placed, at most: the eigenvectors take time with their third power.
pub const MOST_UPDATES: usize = 256;

/// Sweeps of the eigenvalue method, at most; a dozen is enough for 256 updates.
const SWEEPS: usize = 60;

/// Place of updates among each other, in the order in which they were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Euclidean norms.
    pub norms: Vec<f64>,
    /// Cosines between updates, `[n, n]`; 0 where one of them has no length.
    pub cosines: Vec<Vec<f64>>,
    /// Coordinates on the first two principal components.
    pub places: Vec<[f64; 2]>,
    /// Shares of the variance that these components hold, in [0, 1].
    pub explained: [f64; 2],
}

/// Places updates of equal length. Sums run in the order of values, in f64.
///
/// # Panics
/// Never: updates of different lengths are compared over the shorter one.
pub fn geometry(updates: &[&[f32]]) -> Geometry {
    let gram: Vec<Vec<f64>> = updates
        .iter()
        .map(|a| updates.iter().map(|b| product(a, b)).collect())
        .collect();
    let norms: Vec<f64> = (0..updates.len()).map(|at| gram[at][at].sqrt()).collect();
    let cosine = |a: usize, b: usize| match norms[a] * norms[b] {
        lengths if lengths > 0.0 => (gram[a][b] / lengths).clamp(-1.0, 1.0),
        _ => 0.0,
    };
    let all = 0..updates.len();
    let cosines = all
        .clone()
        .map(|a| all.clone().map(|b| cosine(a, b)).collect());
    let cosines = cosines.collect();
    let (places, explained) = components(centred(&gram));
    Geometry {
        norms,
        cosines,
        places,
        explained,
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// The Gram matrix of updates from which their mean was taken.
fn centred(gram: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = gram.len() as f64;
    let means: Vec<f64> = gram.iter().map(|row| row.iter().sum::<f64>() / n).collect();
    let mean = means.iter().sum::<f64>() / n;
    let rows = gram.iter().zip(&means);
    rows.map(|(row, own)| {
        let values = row.iter().zip(&means);
        values
            .map(|(value, other)| value - own - other + mean)
            .collect()
    })
    .collect()
}

/// Coordinates on the two components with the largest eigenvalues, and the shares of these.
fn components(gram: Vec<Vec<f64>>) -> (Vec<[f64; 2]>, [f64; 2]) {
    let n = gram.len();
    let (values, vectors) = eigen(gram);
    let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let mut places = vec![[0.0; 2]; n];
    let mut explained = [0.0; 2];
    for (axis, at) in order.into_iter().take(2).enumerate() {
        let value = values[at].max(0.0);
        if total <= 0.0 || value <= total * 1e-15 {
            continue;
        }
        explained[axis] = value / total;
        let column: Vec<f64> = vectors.iter().map(|row| row[at]).collect();
        let mut farthest = 0.0_f64;
        for entry in &column {
            // Rounding does not decide which of two equally far ones is the first.
            if entry.abs() > farthest.abs() * (1.0 + 1e-9) {
                farthest = *entry;
            }
        }
        let length = value.sqrt() * farthest.signum();
        for (place, entry) in places.iter_mut().zip(column) {
            place[axis] = entry * length;
        }
    }
    (places, explained)
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns: Jacobi's method, cyclic by rows (Golub
/// and Van Loan, "Matrix Computations", 4th edition, section 8.5).
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut v = vec![vec![0.0; n]; n];
    for (at, row) in v.iter_mut().enumerate() {
        row[at] = 1.0;
    }
    let scale: f64 = a.iter().flatten().map(|value| value * value).sum();
    for _ in 0..SWEEPS {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p][q] * a[p][q];
                rotate(&mut a, &mut v, p, q);
            }
        }
        if off <= scale * 1e-30 {
            break;
        }
    }
    ((0..n).map(|at| a[at][at]).collect(), v)
}

/// Turns two axes so that the matrix has a 0 between them.
fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = match theta >= 0.0 {
        true => 1.0 / (theta + (1.0 + theta * theta).sqrt()),
        false => 1.0 / (theta - (1.0 + theta * theta).sqrt()),
    };
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = t * c;
    for row in a.iter_mut().chain(v.iter_mut()) {
        let (x, y) = (row[p], row[q]);
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
    }
    if let Ok([first, second]) = a.get_disjoint_mut([p, q]) {
        for (first, second) in first.iter_mut().zip(second) {
            let (x, y) = (*first, *second);
            *first = c * x - s * y;
            *second = s * x + c * y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Values that NumPy's singular value decomposition gives (tests/oracles/geometry.py).
    #[test]
    fn places_are_those_of_numpy() {
        let fixture = include_str!("../../../tests/fixtures/geometry.json");
        let cases: Vec<Value> = serde_json::from_str(fixture).unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let rows: Vec<Vec<f32>> = serde_json::from_value(case["updates"].clone()).unwrap();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let found = geometry(&rows);
            let close = |name: &str, found: &[f64]| {
                let expected: Vec<f64> = serde_json::from_value(case[name].clone()).unwrap();
                assert_eq!(found.len(), expected.len(), "{name}");
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-6, "{name}: {found:?}, {expected:?}");
                }
            };
            close("norms", &found.norms);
            close("cosines", &found.cosines.concat());
            close("places", &found.places.concat());
            close("explained", &found.explained);
        }
    }

    #[test]
    fn nothing_and_no_difference_have_places_too() {
        assert!(geometry(&[]).places.is_empty());
        let one = geometry(&[&[3.0, 4.0]]);
        assert_eq!(
            (one.norms[0], one.places[0], one.explained),
            (5.0, [0.0; 2], [0.0; 2])
        );
        let zero = geometry(&[&[0.0], &[0.0], &[0.0]]);
        assert_eq!((zero.cosines[0][1], zero.places[2]), (0.0, [0.0; 2]));
    }

    #[test]
    fn the_farthest_update_is_on_the_positive_side() {
        let rows: [&[f32]; 4] = [&[0.0, 0.1], &[0.0, -0.1], &[1.0, 0.0], &[-9.0, 0.0]];
        let found = geometry(&rows);
        assert!(found.places[3][0] > 6.0 && found.places[2][0] < 0.0);
        let turned: Vec<Vec<f32>> = rows
            .iter()
            .map(|row| row.iter().map(|x| -x).collect())
            .collect();
        let turned: Vec<&[f32]> = turned.iter().map(Vec::as_slice).collect();
        let turned = geometry(&turned);
        assert!((turned.places[3][0] - found.places[3][0]).abs() < 1e-9);
    }
}

//! Singular values of a product that is given by its factors. Loops run in order in f64: the same bits
//! everywhere.

/// A vector.
type Column = Vec<f64>;

/// A pair of unit vectors and what a matrix stretches the right one by: `M right = value left`.
#[derive(Debug, Clone)]
pub(crate) struct Singular {
    /// Singular value, above 0.
    pub value: f64,
    /// Unit vector of the rows' side. Its largest entry, the first of equal ones, is above 0.
    pub left: Column,
    /// Unit vector of the columns' side.
    pub right: Column,
}

/// Share of the largest singular value below which one counts as 0.
const NOTHING: f64 = 1e-12;

/// Most rounds of rotations; a few are enough for what converges.
const ROUNDS: usize = 60;

/// Singular values and vectors of `sum_k left[k] right[k]^T`, largest first, without those that are 0.
///
/// Both sides are brought into orthonormal bases, and the small matrix between them is taken apart by
/// one-sided Jacobi rotations (Hestenes 1958).
pub(crate) fn singular(left: &[Column], right: &[Column]) -> Vec<Singular> {
    let ((left_basis, left_parts), (right_basis, right_parts)) =
        (orthonormal(left), orthonormal(right));
    // Column j of the matrix between the bases.
    let between = |j: usize| -> Column {
        let entry = |i: usize| {
            let terms = left_parts[i].iter().zip(&right_parts[j]);
            terms.map(|(a, b)| a * b).sum::<f64>()
        };
        (0..left_basis.len()).map(entry).collect()
    };
    let mut columns: Vec<Column> = (0..right_basis.len()).map(between).collect();
    let unit = |j: usize| -> Column {
        (0..right_basis.len())
            .map(|i| f64::from(u8::from(i == j)))
            .collect()
    };
    let mut turned: Vec<Column> = (0..right_basis.len()).map(unit).collect();
    rotate(&mut columns, &mut turned);
    let lengths: Vec<f64> = columns
        .iter()
        .map(|column| dot(column, column).sqrt())
        .collect();
    let largest = lengths.iter().copied().fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by(|a, b| lengths[*b].total_cmp(&lengths[*a]).then(a.cmp(b)));
    order.retain(|index| lengths[*index] > NOTHING * largest);
    let pair = |index: usize| {
        let length = lengths[index];
        let own: Column = columns[index].iter().map(|value| value / length).collect();
        let (mut left, mut right) = (
            combined(&left_basis, &own),
            combined(&right_basis, &turned[index]),
        );
        let mut top = 0.0_f64;
        for value in &left {
            if value.abs() > top.abs() {
                top = *value;
            }
        }
        if top < 0.0 {
            left.iter_mut()
                .chain(&mut right)
                .for_each(|value| *value = -*value);
        }
        Singular {
            value: length,
            left,
            right,
        }
    };
    order.into_iter().map(pair).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += factor * from`.
fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// `sum_i parts[i] * basis[i]`.
fn combined(basis: &[Column], parts: &[f64]) -> Column {
    let mut sum = vec![0.0; basis.first().map_or(0, Vec::len)];
    for (vector, part) in basis.iter().zip(parts) {
        add(&mut sum, *part, vector);
    }
    sum
}

/// An orthonormal basis of vectors by modified Gram-Schmidt, twice over, and the part of each basis vector in
/// each of them, `[basis][vectors]`.
fn orthonormal(vectors: &[Column]) -> (Vec<Column>, Vec<Column>) {
    let (mut basis, mut parts): (Vec<Column>, Vec<Column>) = (Vec::new(), Vec::new());
    for (number, vector) in vectors.iter().enumerate() {
        let length = dot(vector, vector).sqrt();
        let mut rest = vector.clone();
        for _ in 0..2 {
            for (known, parts) in basis.iter().zip(&mut parts) {
                let part = dot(known, &rest);
                parts[number] += part;
                add(&mut rest, -part, known);
            }
        }
        let left = dot(&rest, &rest).sqrt();
        if left > NOTHING * length {
            rest.iter_mut().for_each(|value| *value /= left);
            basis.push(rest);
            let mut own = vec![0.0; vectors.len()];
            own[number] = left;
            parts.push(own);
        }
    }
    (basis, parts)
}

/// Rotates columns until they stand at right angles, and the columns of `along` with them.
fn rotate(columns: &mut [Column], along: &mut [Column]) {
    for _ in 0..ROUNDS {
        let mut rotated = false;
        for p in 0..columns.len() {
            for q in p + 1..columns.len() {
                let (a, b) = (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]));
                let both = dot(&columns[p], &columns[q]);
                if both.abs() <= 1e-15 * (a * b).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (b - a) / (2.0 * both);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                turn(columns, p, q, cosine, cosine * tangent);
                turn(along, p, q, cosine, cosine * tangent);
            }
        }
        if !rotated {
            return;
        }
    }
}

/// Turns two columns in their plane; `p` is below `q`.
fn turn(columns: &mut [Column], p: usize, q: usize, cosine: f64, sine: f64) {
    let (before, from) = columns.split_at_mut(q);
    for (x, y) in before[p].iter_mut().zip(&mut from[0]) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix that singular values and vectors make.
    fn product(found: &[Singular], rows: usize, columns: usize) -> Vec<f64> {
        let mut all = vec![0.0; rows * columns];
        for one in found {
            for i in 0..rows {
                for j in 0..columns {
                    all[i * columns + j] += one.value * one.left[i] * one.right[j];
                }
            }
        }
        all
    }

    #[test]
    fn a_worked_example() {
        // [[3, 0], [0, -2]]: values 3 and 2; of the left vectors the largest entry is above 0.
        let found = singular(
            &[vec![3.0, 0.0], vec![0.0, 1.0]],
            &[vec![1.0, 0.0], vec![0.0, -2.0]],
        );
        assert_eq!(found.len(), 2);
        assert!((found[0].value - 3.0).abs() < 1e-12 && (found[1].value - 2.0).abs() < 1e-12);
        assert!((found[1].left[1] - 1.0).abs() < 1e-12 && (found[1].right[1] + 1.0).abs() < 1e-12);
    }

    #[test]
    fn more_vectors_than_dimensions_give_the_product_back() {
        let value = |k: usize, i: usize| ((7 * k + 3 * i + 1) as f64 * 1.7).sin();
        let left: Vec<Column> = (0..9)
            .map(|k| (0..4).map(|i| value(k, i)).collect())
            .collect();
        let right: Vec<Column> = (0..9)
            .map(|k| (0..5).map(|i| value(i, k)).collect())
            .collect();
        let found = singular(&left, &right);
        assert!(found.len() <= 4);
        let product = product(&found, 4, 5);
        for i in 0..4 {
            for j in 0..5 {
                let expected: f64 = left.iter().zip(&right).map(|(l, r)| l[i] * r[j]).sum();
                assert!((product[i * 5 + j] - expected).abs() < 1e-10);
            }
        }
        for pair in found.windows(2) {
            assert!(pair[0].value >= pair[1].value);
            assert!(dot(&pair[0].left, &pair[1].left).abs() < 1e-10);
        }
    }

    #[test]
    fn nothing_has_no_singular_values() {
        assert!(singular(&[vec![0.0; 3]], &[vec![1.0; 2]]).is_empty());
        assert!(singular(&[], &[]).is_empty());
    }
}

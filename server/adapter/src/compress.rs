//! Weighted sums of LoRA adapters as one adapter of a chosen rank, by singular values.

use std::collections::BTreeMap;

use rayon::prelude::*;

use fedseal_kernels::pool;

use crate::{
    Adapter, AdapterConfig, AdapterError, AdapterTensor, Method, limits::MAX_ADAPTER_VALUES,
};

/// A vector of a matrix' row or column space, in f64.
type Column = Vec<f64>;

fn bad(text: impl Into<String>) -> AdapterError {
    AdapterError::Adapter(text.into())
}

impl Adapter {
    /// Returns the LoRA adapter of this rank whose products are nearest (in the Frobenius norm,
    /// matrix by matrix) to `Σ factor · scale · B · A` of the parts. With a rank of at least the
    /// sum of the parts' ranks it equals that sum, up to rounding. Its own scale is 1.
    ///
    /// The mean of the A matrices times the mean of the B matrices is not the mean of the products;
    /// this function computes the latter. It uses only additions, products and roots in f64, so the
    /// bits are the same everywhere.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] for no parts, parts that are not LoRA, or parts with different
    /// targets or shapes, and for a rank that makes more values than
    /// [`MAX_ADAPTER_VALUES`]; [`AdapterError::Config`] when the rank is out of range;
    /// [`AdapterError::NotFinite`] when a value of the sum is not.
    pub fn compress(parts: &[(&Self, f32)], rank: usize) -> Result<Self, AdapterError> {
        let ((first, _), _) = parts
            .split_first()
            .ok_or_else(|| bad("no adapters to sum"))?;
        let config = AdapterConfig {
            rank,
            alpha: rank as f32,
            rslora: false,
            ..first.config.clone()
        };
        config.validate()?;
        for (part, factor) in parts {
            if part.config.method != Method::Lora || part.config.targets != first.config.targets {
                return Err(bad(
                    "only LoRA adapters with the same targets can be summed",
                ));
            }
            if !part.tensors.keys().eq(first.tensors.keys()) || !factor.is_finite() {
                return Err(bad(
                    "the adapters have different tensors, or a factor is not finite",
                ));
            }
        }
        let widths = first.tensors.iter().map(|(name, tensor)| {
            let [rows, columns] = tensor.shape;
            match name.ends_with("lora_A.weight") {
                true => columns,
                false => rows,
            }
        });
        let values = widths.fold(0, usize::saturating_add).saturating_mul(rank);
        if values > MAX_ADAPTER_VALUES {
            return Err(bad(format!(
                "rank {rank} makes {values} values, at most {MAX_ADAPTER_VALUES}"
            )));
        }
        let sides = first
            .tensors
            .keys()
            .filter(|name| name.ends_with("lora_A.weight"));
        let names: Vec<&String> = sides.collect();
        let compressed = pool::run(|| {
            names
                .par_iter()
                .map(|name| compress_pair(parts, name, rank))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let tensors: BTreeMap<_, _> = compressed.into_iter().flatten().collect();
        let sum = Self { tensors, config };
        match sum.is_finite() {
            true => Ok(sum),
            false => Err(AdapterError::NotFinite(
                "the sum of the adapters".to_owned(),
            )),
        }
    }
}

/// One matrix' pair, A first, with names.
fn compress_pair(
    parts: &[(&Adapter, f32)],
    a_name: &str,
    rank: usize,
) -> Result<[(String, AdapterTensor); 2], AdapterError> {
    let b_name = a_name.replace("lora_A", "lora_B");
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (mut out, mut inner) = (None, None);
    for (part, factor) in parts {
        let missing = || bad(format!("{b_name} is missing"));
        let a = part.tensors.get(a_name).ok_or_else(missing)?;
        let b = part.tensors.get(&b_name).ok_or_else(missing)?;
        let ([own, width], [height, same]) = (a.shape, b.shape);
        let fits = own == same
            && a.data.len() == own * width
            && b.data.len() == height * own
            && *inner.get_or_insert(width) == width
            && *out.get_or_insert(height) == height;
        if !fits || own == 0 || width == 0 {
            return Err(bad(format!("{a_name} and {b_name} do not fit each other")));
        }
        let scale = f64::from(*factor) * f64::from(part.config.scale());
        for row in a.data.chunks_exact(width) {
            right.push(
                row.iter()
                    .map(|&value| f64::from(value))
                    .collect::<Column>(),
            );
        }
        for r in 0..own {
            let column = b.data.iter().skip(r).step_by(own);
            left.push(
                column
                    .map(|&value| scale * f64::from(value))
                    .collect::<Column>(),
            );
        }
    }
    let (out, inner) = (out.unwrap_or(0), inner.unwrap_or(0));
    let (left, left_parts) = orthonormal(&left);
    let (right, right_parts) = orthonormal(&right);
    // Σ b · aᵀ = Q_b · core · Q_aᵀ; the core's columns.
    let mut core: Vec<Column> = (0..right.len())
        .map(|j| {
            let entry = |i: usize| {
                let pairs = left_parts.iter().zip(&right_parts);
                pairs
                    .map(|(b, a)| b.get(i).unwrap_or(&0.0) * a.get(j).unwrap_or(&0.0))
                    .sum::<f64>()
            };
            (0..left.len()).map(entry).collect()
        })
        .collect();
    let turns = jacobi(&mut core);
    let mut order: Vec<(f64, usize)> = core.iter().map(|c| norm(c)).zip(0..).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut a = vec![0.0_f32; rank * inner];
    let mut b = vec![0.0_f32; out * rank];
    for (r, &(sigma, index)) in order.iter().take(rank).enumerate() {
        if sigma <= 0.0 {
            break;
        }
        let root = sigma.sqrt();
        for i in 0..inner {
            let sum: f64 = right.iter().zip(&turns[index]).map(|(q, v)| q[i] * v).sum();
            a[r * inner + i] = (root * sum) as f32;
        }
        for i in 0..out {
            let sum: f64 = left.iter().zip(&core[index]).map(|(q, u)| q[i] * u).sum();
            b[i * rank + r] = (sum / root) as f32;
        }
    }
    let tensor = |shape, data| AdapterTensor { shape, data };
    Ok([
        (a_name.to_owned(), tensor([rank, inner], a)),
        (b_name, tensor([out, rank], b)),
    ])
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Returns an orthonormal basis of the columns' span, and every column in that basis (Gram-Schmidt,
/// applied twice to each column).
fn orthonormal(columns: &[Column]) -> (Vec<Column>, Vec<Column>) {
    let mut basis: Vec<Column> = Vec::new();
    let mut parts = Vec::with_capacity(columns.len());
    for column in columns {
        let mut rest = column.clone();
        let mut part = vec![0.0; basis.len()];
        for _ in 0..2 {
            for (q, part) in basis.iter().zip(&mut part) {
                let along = dot(q, &rest);
                *part += along;
                for (rest, q) in rest.iter_mut().zip(q) {
                    *rest -= along * q;
                }
            }
        }
        let length = norm(&rest);
        // The remainder of a linearly dependent column is rounding error.
        if length > 1e-12 * norm(column) {
            part.push(length);
            rest.iter_mut().for_each(|value| *value /= length);
            basis.push(rest);
        }
        parts.push(part);
    }
    (basis, parts)
}

/// Rotates columns until they are orthogonal (one-sided Jacobi, Hestenes 1958). Returns the columns
/// of the rotation V with `old · V = new`. The lengths of the new columns are the singular values.
fn jacobi(columns: &mut [Column]) -> Vec<Column> {
    let n = columns.len();
    let unit = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
    let mut turns: Vec<Column> = (0..n).map(unit).collect();
    // Converges quadratically; ten sweeps are plenty for any size here.
    for _ in 0..30 {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (a, b) = (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]));
                let c = dot(&columns[p], &columns[q]);
                if c == 0.0 || c.abs() <= 1e-15 * (a * b).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (b - a) / (2.0 * c);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cos = 1.0 / (1.0 + t * t).sqrt();
                let sin = cos * t;
                for set in [&mut *columns, turns.as_mut_slice()] {
                    let (low, high) = set.split_at_mut(q);
                    for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
        if !turned {
            break;
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelConfig;
    use fedseal_kernels::tests_support::noise;

    fn adapter(rank: usize, seed: u64) -> Adapter {
        let config = AdapterConfig {
            rank,
            ..AdapterConfig::default()
        };
        let mut adapter = Adapter::init(&config, &ModelConfig::tiny(), seed).unwrap();
        for (i, tensor) in adapter.tensors.values_mut().enumerate() {
            tensor.data = noise(tensor.data.len(), seed * 100 + i as u64);
        }
        adapter
    }

    /// `scale · B · A` of the first pair.
    fn product(adapter: &Adapter) -> Vec<f64> {
        let mut tensors = adapter.tensors.values();
        let (a, b) = (tensors.next().unwrap(), tensors.next().unwrap());
        let ([rank, inner], [out, _]) = (a.shape, b.shape);
        let mut product = vec![0.0; out * inner];
        for (i, sum) in product.iter_mut().enumerate() {
            for r in 0..rank {
                let pair = f64::from(b.data[i / inner * rank + r])
                    * f64::from(a.data[r * inner + i % inner]);
                *sum += pair * f64::from(adapter.config.scale());
            }
        }
        product
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f64>()
            .sqrt()
    }

    #[test]
    fn a_sum_of_enough_rank_is_exact_and_less_rank_is_the_best_there_is() {
        let (x, y) = (adapter(2, 1), adapter(3, 2));
        let sum: Vec<f64> = product(&x)
            .iter()
            .zip(product(&y))
            .map(|(x, y)| 0.75 * x - 0.5 * y)
            .collect();
        let parts = [(&x, 0.75), (&y, -0.5)];
        let whole = Adapter::compress(&parts, 5).unwrap();
        whole.check_fits(&ModelConfig::tiny()).unwrap();
        assert!(distance(&product(&whole), &sum) < 1e-5);
        // A rank above that of the sum adds zeros.
        let wide = Adapter::compress(&parts, 8).unwrap();
        assert!(distance(&product(&wide), &sum) < 1e-5);
        // Dropping singular values costs exactly the root of the sum of their squares (Eckart and
        // Young).
        let mut last = 0.0;
        for rank in (1..5).rev() {
            let small = Adapter::compress(&parts, rank).unwrap();
            let lost = distance(&product(&small), &sum);
            let next = Adapter::compress(&parts, rank + 1).unwrap();
            let sigma = distance(&product(&small), &product(&next));
            let error = (lost * lost - last * last - sigma * sigma).abs();
            assert!(error < 1e-5 * lost * lost, "rank {rank}: {error}");
            assert!(lost > last);
            last = lost;
        }
        // An adapter twice in a sum adds no rank.
        let twice = Adapter::compress(&[(&x, 0.5), (&x, 1.5)], 2).unwrap();
        let double: Vec<f64> = product(&x).iter().map(|x| 2.0 * x).collect();
        assert!(distance(&product(&twice), &double) < 1e-5);
    }

    #[test]
    fn known_singular_values_are_found() {
        let mut columns = vec![
            vec![3.0, 0.0, 4.0],
            vec![0.0, 2.0, 0.0],
            vec![4.0, 0.0, 3.0],
        ];
        jacobi(&mut columns);
        let mut lengths: Vec<f64> = columns.iter().map(|c| norm(c)).collect();
        lengths.sort_by(f64::total_cmp);
        for (length, real) in lengths.iter().zip([1.0, 2.0, 7.0]) {
            assert!((length - real).abs() < 1e-12, "{lengths:?}");
        }
    }

    #[test]
    fn what_cannot_be_summed_is_refused() {
        assert!(Adapter::compress(&[], 2).is_err());
        let x = adapter(2, 1);
        assert!(Adapter::compress(&[(&x, 1.0)], 0).is_err());
        assert!(Adapter::compress(&[(&x, f32::NAN)], 2).is_err());
        let factors = AdapterConfig::ia3(&["k_proj"]);
        let y = Adapter::init(&factors, &ModelConfig::tiny(), 1).unwrap();
        assert!(Adapter::compress(&[(&x, 1.0), (&y, 1.0)], 2).is_err());
    }
}

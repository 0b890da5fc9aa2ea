//! Unequal shards: shares of kinds drawn from a Dirichlet distribution (Hsu, Qi and Brown 2019, section 3).

use super::DataError;
use super::pick::Picker;

/// Shares of so many kinds, which sum to 1: a draw of the symmetric Dirichlet distribution. The smaller `alpha`
/// is, the fewer kinds a shard has; a large one gives equal shares.
///
/// # Errors
/// [`DataError::Parameter`] for an `alpha` that is not above 0, or without a finite value.
pub fn shares(alpha: f64, kinds: usize, picker: &mut Picker) -> Result<Vec<f64>, DataError> {
    if !(alpha.is_finite() && alpha > 0.0) {
        return Err(DataError::Parameter {
            name: "dirichlet".to_owned(),
            value: alpha.to_string(),
            expected: "a number above 0".to_owned(),
        });
    }
    // In logarithms: with a small alpha most draws are too small for a number.
    let logs: Vec<f64> = (0..kinds).map(|_| log_gamma_draw(alpha, picker)).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| libm::exp(log - top)).collect();
    let total: f64 = weights.iter().sum();
    Ok(weights.into_iter().map(|weight| weight / total).collect())
}

/// The index that a number in [0, 1) falls on.
pub fn fallen(shares: &[f64], unit: f64) -> usize {
    let mut below = 0.0;
    for (index, share) in shares.iter().enumerate() {
        below += share;
        if unit < below {
            return index;
        }
    }
    shares.len().saturating_sub(1)
}

/// The logarithm of a draw of the gamma distribution of this shape and scale 1 (Marsaglia and Tsang 2000; a shape
/// below 1 is raised by one, and the draw multiplied by a uniform number to the power 1 / shape). Functions of
/// libm: the same bits everywhere.
fn log_gamma_draw(shape: f64, picker: &mut Picker) -> f64 {
    let open = |picker: &mut Picker| 1.0 - picker.unit();
    if shape < 1.0 {
        let raised = log_gamma_draw(shape + 1.0, picker);
        return raised + libm::log(open(picker)) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (u, v) = (open(picker), open(picker));
        let normal = (-2.0 * libm::log(u)).sqrt() * libm::cos(std::f64::consts::TAU * v);
        let root = 1.0 + c * normal;
        if root <= 0.0 {
            continue;
        }
        let cube = root * root * root;
        let bound = 0.5 * normal * normal + d - d * cube + d * libm::log(cube);
        if libm::log(open(picker)) < bound {
            return libm::log(d * cube);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_moments_of_the_distribution() {
        let (kinds, draws) = (5, 4_000);
        for alpha in [0.1, 1.0, 10.0] {
            let mut picker = Picker::new(1, "skew");
            let (mut mean, mut square) = (0.0, 0.0);
            for _ in 0..draws {
                let shares = shares(alpha, kinds, &mut picker).unwrap();
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                mean += shares[2] / f64::from(draws);
                square += shares[2] * shares[2] / f64::from(draws);
            }
            // Mean 1/k, variance (k - 1) / (k² (k alpha + 1)).
            let k = kinds as f64;
            let variance = (k - 1.0) / (k * k * (k * alpha + 1.0));
            let found = square - mean * mean;
            assert!((mean - 1.0 / k).abs() < 0.02, "{alpha}: {mean}");
            assert!(
                (found / variance - 1.0).abs() < 0.1,
                "{alpha}: {found} {variance}"
            );
        }
        for bad in [0.0, -1.0, f64::NAN] {
            assert!(shares(bad, 3, &mut Picker::new(1, "skew")).is_err());
        }
    }

    #[test]
    fn a_number_falls_on_its_share() {
        let shares = [0.25, 0.0, 0.75];
        assert_eq!(
            [0.0, 0.24, 0.25, 0.99].map(|unit| fallen(&shares, unit)),
            [0, 0, 2, 2]
        );
        assert_eq!(fallen(&shares, 1.0), 2);
    }
}

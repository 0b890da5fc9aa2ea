//! Holm's correction for a family of tests.

/// Adjusted p-values of a family, in the order given (Holm 1979, Scandinavian Journal of Statistics 6, 65
/// to 70): sorted from the smallest, each times the number of those from it on, never below the one before
/// and at most 1. A family in which those up to 5 % are called different is wrong anywhere with a chance of
/// at most 5 %. A value that is no number stays as it is and does not count.
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.retain(|index| values.get(*index).is_some_and(|value| !value.is_nan()));
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut adjusted = values.to_vec();
    let mut least = 0.0_f64;
    for (before, index) in order.iter().enumerate() {
        let left = (order.len() - before) as f64;
        least = least.max(left * values[*index]).min(1.0);
        adjusted[*index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_statsmodels_has_it() {
        for case in super::super::fixture("holm") {
            let numbers = |key: &str| super::super::numbers(&case, key);
            let found = holm(&numbers("values"));
            for (found, wanted) in found.iter().zip(numbers("adjusted")) {
                assert!((found - wanted).abs() < 1e-12, "{case}: {found}");
            }
        }
    }

    #[test]
    fn what_was_not_tested_does_not_count() {
        let found = holm(&[0.03, f64::NAN, 0.02]);
        assert!(found[1].is_nan());
        assert_eq!((found[0], found[2]), (0.04, 0.04));
        assert!(holm(&[]).is_empty());
    }
}

//! Number code of a device, for rules that have a form for it.
//!
//! A rule decides as it does on the CPU: who counts, and how much, is the same. What a device computes is
//! held against that by an error, and where the error could change a decision the device has no answer; then
//! the rule's own code gives the aggregate. Values may differ by [`BOUND`].

use fedseal_kernels::columns::Ranked;

/// Largest difference between a device's aggregate and the rule's own, as a share of the largest absolute
/// value of the latter.
pub const BOUND: f64 = 1e-6;

/// Result of a device: none where it cannot tell, an error where it fails.
pub type Found<T> = Result<Option<T>, String>;

/// Sums over columns for every two rows, `[n][n]`.
pub struct Near {
    /// The sums.
    pub values: Vec<Vec<f64>>,
    /// Their largest relative error.
    pub error: f64,
}

/// Tensor code that rules are built of. Rows are equally long, with finite values.
pub trait Tensors {
    /// `sum_i weights[i] * rows[i]`, for weights that sum to 1.
    ///
    /// # Errors
    /// A device that fails, as everywhere here.
    fn weighted_sum(&self, rows: &[&[f32]], weights: &[f64]) -> Found<Vec<f32>>;

    /// As [`fedseal_kernels::columns::lower_median`].
    ///
    /// # Errors
    /// As [`Tensors::weighted_sum`].
    fn lower_median(&self, rows: &[&[f32]]) -> Found<Ranked>;

    /// As [`fedseal_kernels::columns::trimmed_mean`].
    ///
    /// # Errors
    /// As [`Tensors::weighted_sum`].
    fn trimmed_mean(&self, rows: &[&[f32]], trim: usize) -> Found<Ranked>;

    /// Squared distances; the error is a share of each.
    ///
    /// # Errors
    /// As [`Tensors::weighted_sum`].
    fn distances(&self, rows: &[&[f32]]) -> Found<Near>;

    /// Scalar products of the rows around their mean; the error is a share of both rows' lengths.
    ///
    /// # Errors
    /// As [`Tensors::weighted_sum`].
    fn centred_products(&self, rows: &[&[f32]]) -> Found<Near>;
}

/// Checks a device's aggregate against the rule's own.
///
/// # Errors
/// How far it is off, in words.
pub fn within(found: &[f32], own: &[f32]) -> Result<(), String> {
    if found.len() != own.len() {
        return Err(format!("has {} values, not {}", found.len(), own.len()));
    }
    let size = own
        .iter()
        .fold(0.0_f64, |most, x| most.max(f64::from(x.abs())));
    for (index, (found, own)) in found.iter().zip(own).enumerate() {
        let apart = (f64::from(*found) - f64::from(*own)).abs();
        // What is not a number is not within.
        let fits = apart <= BOUND * size;
        if !fits {
            return Err(format!(
                "value {index} is {found:e}, the rule gives {own:e}: more than {BOUND:e} of the largest, \
                 {size:e}, apart"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_largest_value_is_allowed_and_no_more() {
        let own = [4.0, 0.0, -1.0];
        within(&[4.0, 3.9e-6, -1.0], &own).unwrap();
        within(&own, &own).unwrap();
        within(&[], &[]).unwrap();
        let said = within(&[4.0, 4.1e-6, -1.0], &own).unwrap_err();
        assert!(
            said.contains("value 1 is 4.1e-6, the rule gives 0e0"),
            "{said}"
        );
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(within(&[4.0, 0.0, bad], &own).is_err());
        }
        assert!(within(&[4.0, 0.0], &own).unwrap_err().contains("2 values"));
        // Nothing but zeros leaves no room.
        assert!(within(&[f32::MIN_POSITIVE], &[0.0]).is_err());
    }
}

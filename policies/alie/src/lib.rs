//! The attack inside the noise of honest updates: each value is moved by a fraction of their
//! deviation, against their mean.
//!
//! "A Little Is Enough: Circumventing Defenses For Distributed Learning" (Baruch et al. 2019),
//! Algorithm 3: mean - z * deviation, value by value, with z for n = 10 clients of which m = 3 are
//! malicious (s = 3 honest ones have to be won over, z = 0.18). The honest updates are estimated on
//! slices of the attacker's own shard. Deviations are by value, so the tensors must be read and
//! written raw, and the lineage says so.

use fedseal_guest::{Error, Host, Policy, study};

/// Estimates of honest updates.
const ESTIMATES: u32 = 4;
/// Deviations from the mean, for n = 10 and m = 3.
const Z: f64 = 0.18;

/// See the crate's documentation.
pub struct Alie;

impl Policy for Alie {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::estimates(host, ESTIMATES)?;
        let values: Vec<Vec<f32>> = honest.iter().map(|update| host.read_raw(update)).collect();
        let global = host.global();
        let moved = a_little(&values);
        let update = host.write_raw(&global, &moved)?;
        study::submit(host, &update)
    }
}

/// `mean - Z * deviation`, value by value; all of the same length.
fn a_little(updates: &[Vec<f32>]) -> Vec<f32> {
    let count = updates.len().max(1) as f64;
    let length = updates.iter().map(Vec::len).min().unwrap_or(0);
    let moved = |index: usize| {
        let column = || updates.iter().map(|values| f64::from(values[index]));
        let mean = column().sum::<f64>() / count;
        let variance = column().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        (mean - Z * variance.sqrt()) as f32
    };
    (0..length).map(moved).collect()
}

fedseal_guest::export_policy!(Alie);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn moves_by_a_share_of_the_deviation() {
        let moved = a_little(&[vec![1.0, 5.0], vec![3.0, 5.0]]);
        assert_eq!(moved, [(2.0 - Z) as f32, 5.0]);
    }

    #[test]
    fn trains_on_slices_of_its_shard() {
        let mut host = FakeHost::new(8);
        Alie::run(&mut host).unwrap();
        assert_eq!(host.trained.len(), 4);
        assert!(host.submitted.is_some());
    }
}

//! Ends of sums that went on side by side.

/// Sum of lanes, eight sums side by side: one after another each addition would wait for the one before.
#[inline(always)]
pub(super) fn total(lanes: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    for part in lanes.as_chunks::<8>().0 {
        for (sum, lane) in sums.iter_mut().zip(part) {
            *sum += f64::from(*lane);
        }
    }
    sums.iter().sum()
}

/// Squared distance of what is too short for a vector.
#[inline(always)]
pub(super) fn tail(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| f64::from((a - b) * (a - b))).sum()
}

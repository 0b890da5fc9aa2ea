//! Result of a rule.

/// Result of a rule for a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The aggregated delta, as long as the updates.
    pub delta: Vec<f32>,
    /// How much each update counted, in the order given, in [0, 1]. For a coordinate-wise rule:
    /// the share of coordinates that it decided. Sums to 1 up to rounding.
    pub weights: Vec<f64>,
}

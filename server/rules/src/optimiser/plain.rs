//! No optimiser: the global adapter moves by the aggregated delta.

use super::config::PLAIN;
use super::{Definition, Optimiser};

/// Definition of the optimiser.
pub const DEFINITION: Definition = Definition {
    name: PLAIN,
    help: "the global adapter moves by the aggregated delta",
    version: 1,
    uses: |_| &[],
    make: |_| Box::new(Plain),
};

/// Adds the delta as it is.
#[derive(Clone)]
pub struct Plain;

impl Optimiser for Plain {
    fn step(&mut self, delta: &[f32]) -> Vec<f32> {
        delta.to_vec()
    }
}

//! Integers of a block, before they are values.

/// The integers of one block. A value is `scale * q + least`, the product without rounding. A
/// negative zero as least value adds nothing.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) quants: Vec<i8>,
    /// Scale and least value for every `block` quants.
    pub(crate) heads: Vec<(f32, f32)>,
    pub(crate) block: usize,
}

impl Parts {
    /// Appends values with one scale.
    pub(super) fn push(&mut self, scale: f32, least: f32, quants: impl Iterator<Item = i8>) {
        let before = self.quants.len();
        self.quants.extend(quants);
        self.block = self.quants.len() - before;
        self.heads.push((scale, least));
    }
}

//! Packed panels of a frozen matrix.

use super::{NR, Right, compact::Compact};
use crate::{memory::Aligned, memory::Shared, parallel};

/// A frozen matrix as panels of [`NR`] outputs: `[panel][inner][NR]`, zeros behind the last.
#[derive(Debug)]
pub struct Packed {
    data: Aligned,
    out: usize,
    inner: usize,
}

impl Packed {
    /// Packs `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When there are not `out * inner` values.
    pub fn new(weight: &[f32], out: usize, inner: usize) -> Self {
        assert_eq!(weight.len(), out * inner, "shape of a weight");
        Self::from_fn(out, inner, |row, k| weight[row * inner + k])
    }

    /// Returns the transpose, `[inner, out]`, for the backward pass.
    pub fn transposed(&self) -> Self {
        let source = self.data.as_slice();
        let inner = self.inner;
        Self::from_fn(inner, self.out, |row, k| {
            source[(k / NR) * inner * NR + row * NR + k % NR]
        })
    }

    /// Packs the transpose, `[inner, out]`, of a compact matrix.
    pub fn transpose_of(compact: &Compact) -> Self {
        let (out, inner) = (compact.inner(), compact.out());
        let mut data = Aligned::zeros(out.div_ceil(NR) * inner * NR);
        let shared = Shared::new(data.as_mut_slice());
        compact.for_panels(&|panel, values| {
            let first = panel * NR;
            for (block, values) in values.chunks(NR * NR).enumerate() {
                for k in first..inner.min(first + NR) {
                    // SAFETY: every panel of the matrix is a range of k of its own.
                    let target = unsafe { shared.slice((block * inner + k) * NR, NR) };
                    let values = values.as_chunks::<NR>().0;
                    for (target, values) in target.iter_mut().zip(values) {
                        *target = values[k - first];
                    }
                }
            }
        });
        Self { data, out, inner }
    }

    fn from_fn(out: usize, inner: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let panels = out.div_ceil(NR);
        let mut data = Aligned::zeros(panels * inner * NR);
        let shared = Shared::new(data.as_mut_slice());
        parallel::for_ranges(panels, inner * NR, &|range| {
            for panel in range {
                // SAFETY: every panel is a part of its own.
                let target = unsafe { shared.slice(panel * inner * NR, inner * NR) };
                let rows = NR.min(out - panel * NR);
                fill_panel(target, rows, inner, |row, k| value(panel * NR + row, k));
            }
        });
        Self { data, out, inner }
    }

    /// Number of output features.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Number of input features.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }

    /// Returns the panels as right operand `[inner, out]` of a product.
    pub fn right(&self) -> Right<'_> {
        Right::panels(self.data.as_slice(), self.inner)
    }

    /// Copies row `row` (an embedding) to `target`, `[inner]`.
    ///
    /// # Panics
    /// When the row does not exist.
    pub fn copy_row(&self, row: usize, target: &mut [f32]) {
        assert!(row < self.out, "a row beyond the matrix");
        let panel = &self.data.as_slice()[(row / NR) * self.inner * NR..][..self.inner * NR];
        for (value, chunk) in target.iter_mut().zip(panel.chunks_exact(NR)) {
            *value = chunk[row % NR];
        }
    }

    /// Copies column `k` (a row of the transpose) to `target`, `[out]`.
    ///
    /// # Panics
    /// When the column does not exist.
    pub fn copy_column(&self, k: usize, target: &mut [f32]) {
        assert!(k < self.inner, "a column beyond the matrix");
        let panels = self.data.as_slice().chunks_exact(self.inner * NR);
        for (target, panel) in target[..self.out].chunks_mut(NR).zip(panels) {
            target.copy_from_slice(&panel[k * NR..][..target.len()]);
        }
    }
}

/// Writes one panel `[inner][NR]` of `rows` rows; the remaining columns are left unchanged.
#[inline]
pub(crate) fn fill_panel(
    target: &mut [f32],
    rows: usize,
    inner: usize,
    value: impl Fn(usize, usize) -> f32,
) {
    // Blocks of 16 inner values, so that whole cache lines of the source are read.
    for from in (0..inner).step_by(16) {
        let to = inner.min(from + 16);
        for row in 0..rows {
            for k in from..to {
                target[k * NR + row] = value(row, k);
            }
        }
    }
}

//! A frozen matrix in 16 bits.

#[cfg(target_arch = "x86_64")]
use super::halves;
use super::{super::NR, half, pair, words_of};
use crate::kernels::{
    memory::{Aligned, Shared, words_mut},
    parallel,
};

/// A frozen matrix in 16 bits, as the processor multiplies it fastest.
#[derive(Debug)]
pub struct PackedPairs {
    pub(super) panels: Panels,
    pub(super) out: usize,
    pub(super) inner: usize,
}

#[derive(Debug)]
pub(super) enum Panels {
    /// Bf16: panels of [`NR`] outputs, `[panel][words_of(inner)][NR]` words, zeros behind the last.
    Pairs(Aligned),
    #[cfg(target_arch = "x86_64")]
    Halves(halves::Halves),
}

impl PackedPairs {
    /// Rounds and packs `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When there are not `out * inner` values.
    pub fn new(weight: &[f32], out: usize, inner: usize) -> Self {
        assert_eq!(weight.len(), out * inner, "shape of a weight");
        #[cfg(target_arch = "x86_64")]
        if halves::available() {
            let panels = Panels::Halves(halves::Halves::new(weight, out, inner));
            return Self { panels, out, inner };
        }
        Self::from_fn(out, inner, |row, k| weight[row * inner + k])
    }

    /// The same matrix transposed, `[inner, out]`, for the way back.
    pub fn transposed(&self) -> Self {
        let (out, inner) = (self.inner, self.out);
        match &self.panels {
            Panels::Pairs(data) => Self::from_fn(out, inner, |row, k| self.of_pairs(data, k, row)),
            #[cfg(target_arch = "x86_64")]
            Panels::Halves(halves) => Self {
                panels: Panels::Halves(halves.transposed()),
                out,
                inner,
            },
        }
    }

    fn from_fn(out: usize, inner: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let width = words_of(inner);
        let panels = out.div_ceil(NR);
        let mut data = Aligned::zeros(panels * width * NR);
        let shared = Shared::new(data.as_mut_slice());
        parallel::for_ranges(panels, inner * NR, &|range| {
            for panel in range {
                // SAFETY: every panel is a part of its own.
                let target = unsafe { shared.slice(panel * width * NR, width * NR) };
                let target = words_mut(target);
                let first = panel * NR;
                // Blocks of 8 words: source lines are read whole.
                for from in (0..width).step_by(8) {
                    for row in 0..NR.min(out - first) {
                        for word in from..width.min(from + 8) {
                            let odd = if 2 * word + 1 < inner {
                                value(first + row, 2 * word + 1)
                            } else {
                                0.0
                            };
                            target[word * NR + row] = pair(value(first + row, 2 * word), odd);
                        }
                    }
                }
            }
        });
        let panels = Panels::Pairs(data);
        Self { panels, out, inner }
    }

    fn of_pairs(&self, data: &Aligned, row: usize, k: usize) -> f32 {
        let panel = (row / NR) * words_of(self.inner) * NR;
        half(data.as_words()[panel + (k / 2) * NR + row % NR], k % 2 == 1)
    }

    fn value(&self, row: usize, k: usize) -> f32 {
        match &self.panels {
            Panels::Pairs(data) => self.of_pairs(data, row, k),
            #[cfg(target_arch = "x86_64")]
            Panels::Halves(halves) => halves.value(row, k),
        }
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
        match &self.panels {
            Panels::Pairs(data) => size_of_val(data.as_slice()),
            #[cfg(target_arch = "x86_64")]
            Panels::Halves(halves) => halves.bytes(),
        }
    }

    /// Copies row `row` (an embedding) to `target`, `[inner]`.
    ///
    /// # Panics
    /// When the row does not exist.
    pub fn copy_row(&self, row: usize, target: &mut [f32]) {
        assert!(row < self.out, "a row beyond the matrix");
        for (k, value) in target[..self.inner].iter_mut().enumerate() {
            *value = self.value(row, k);
        }
    }

    /// Copies column `k` (a row of the transpose) to `target`, `[out]`.
    ///
    /// # Panics
    /// When the column does not exist.
    pub fn copy_column(&self, k: usize, target: &mut [f32]) {
        assert!(k < self.inner, "a column beyond the matrix");
        for (row, value) in target[..self.out].iter_mut().enumerate() {
            *value = self.value(row, k);
        }
    }
}

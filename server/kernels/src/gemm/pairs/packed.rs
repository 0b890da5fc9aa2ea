//! A frozen matrix in 16 bits.

use super::{super::NR, halves, pairs_of, piece_of, pieces_of, round_rows, words_of};
use crate::{
    memory::{Aligned, Shared, with_scratch, words_mut},
    parallel,
};

/// A frozen matrix of 16-bit integers with a scale for each output's pieces.
#[derive(Debug)]
pub struct PackedPairs {
    /// Panels of [`NR`] outputs, `[panel][pairs_of(inner)][NR]` words, with zeros after the last.
    pub(super) panels: Aligned,
    /// Scale of each output's pieces, `[panel][pieces_of(inner)][NR]`, with zeros after the last.
    pub(super) back: Vec<f32>,
    pub(super) out: usize,
    pub(super) inner: usize,
}

impl PackedPairs {
    /// Rounds and packs `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When there are not `out * inner` values.
    pub fn new(weight: &[f32], out: usize, inner: usize) -> Self {
        assert_eq!(weight.len(), out * inner, "shape of a weight");
        Self::from_rows(out, inner, &|first, rows| {
            rows.copy_from_slice(&weight[first * inner..][..rows.len()]);
        })
    }

    /// Returns the transpose, `[inner, out]`, for the backward pass. Its values are rounded once
    /// more, to the scales of its own rows.
    pub fn transposed(&self) -> Self {
        let (out, inner) = (self.inner, self.out);
        Self::from_rows(out, inner, &|first, rows| {
            let columns = first..first + rows.len() / inner;
            // Reads output by output of the original, whose integers of neighbouring k share words.
            for k in 0..inner {
                for (row, column) in columns.clone().enumerate() {
                    rows[row * inner + k] = self.value(k, column);
                }
            }
        })
    }

    /// Packs rows; `fill` writes as many whole rows as it gets room for, starting at the given row.
    fn from_rows(out: usize, inner: usize, fill: &(impl Fn(usize, &mut [f32]) + Sync)) -> Self {
        let (width, panels) = (pairs_of(inner), out.div_ceil(NR));
        let mut data = Aligned::zeros(panels * width * NR);
        let scales = pieces_of(inner) * NR;
        let mut back = vec![0.0; panels * scales];
        let (shared, backs) = (Shared::new(data.as_mut_slice()), Shared::new(&mut back));
        parallel::for_ranges(panels, 4 * inner * NR, &|range| {
            with_scratch(NR * (inner + words_of(inner)), |scratch| {
                let (values, words) = scratch.split_at_mut(NR * inner);
                for panel in range.clone() {
                    // SAFETY: every panel is a part of its own, here and below.
                    let target = unsafe { shared.slice(panel * width * NR, width * NR) };
                    let rows = NR.min(out - panel * NR);
                    // SAFETY: as above.
                    let backs = unsafe { backs.slice(panel * scales, scales) };
                    let values = &mut values[..rows * inner];
                    fill(panel * NR, values);
                    let words = &mut words_mut(words)[..rows * words_of(inner)];
                    round_rows(values, inner, words);
                    interleave(words, inner, backs, words_mut(target));
                }
            });
        });
        Self {
            panels: data,
            back,
            out,
            inner,
        }
    }

    fn value(&self, row: usize, k: usize) -> f32 {
        let at = (row / NR) * pairs_of(self.inner) * NR + (k / 2) * NR + row % NR;
        let value = halves(&self.panels.as_words()[at..=at])[k % 2];
        let piece = (row / NR) * pieces_of(self.inner) + k / 2 / piece_of(self.inner);
        f32::from(value as i16) * self.back[piece * NR + row % NR]
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
        size_of_val(self.panels.as_slice()) + size_of_val(&self.back[..])
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

/// Interleaves rows of words into a panel of columns.
fn interleave(words: &[u32], inner: usize, backs: &mut [f32], panel: &mut [u32]) {
    for (column, row) in words.chunks_exact(words_of(inner)).enumerate() {
        let (scales, row) = row.split_at(pieces_of(inner));
        for (back, &scale) in backs.chunks_exact_mut(NR).zip(scales) {
            back[column] = f32::from_bits(scale);
        }
        for (target, &word) in panel.chunks_exact_mut(NR).zip(row) {
            target[column] = word;
        }
    }
}

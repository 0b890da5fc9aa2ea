//! Frozen matrices in as few bits as their file has, widened in registers.
//!
//! A [`Compact`] holds 4 or 8 bits per value with a scale (and a least value) for every block of a
//! row, or 16-bit floats. A value is `scale · q + least` with one rounding, as the file's own
//! format defines it. So products have the same bits as with the matrix in f32: the chain of fused
//! multiply-adds over k is the same, and only the source of its operand differs.
//!
//! With few rows a product is bound by memory and widens as it multiplies. With many rows, a piece
//! of a panel is widened into scratch in the first-level cache and multiplied as f32 from there.
//! [`approx`] computes with the integers themselves: faster, but with other bits.

pub mod approx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pack;
mod round;
mod unpack;

use std::ops::Range;

use super::{Left, NR, Right, Start, multiply_into};
use crate::{
    Isa, isa,
    memory::{self, Aligned, Shared, with_scratch},
    parallel,
};

pub use pack::RowParts;
pub use round::{Rounding, round_rows_to};

/// Storage of a matrix's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Unsigned integers of 4 bits: `q + zero`.
    Four {
        /// Integer that represents zero.
        zero: u8,
    },
    /// Signed bytes.
    Eight,
    /// bf16 values; no scales.
    Bf16,
    /// f16 values; no scales.
    F16,
}

/// The layout of a compact matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Storage of the values.
    pub bits: Bits,
    /// Neighbouring values of a row that share a scale: a multiple of 8, or 1 without scales.
    pub block: usize,
    /// Whether scales and least values are exact in f16.
    pub half: bool,
    /// Whether there are least values.
    pub least: bool,
}

impl Format {
    /// Layout of 16-bit floats.
    pub fn floats(bits: Bits) -> Self {
        Self {
            bits,
            block: 1,
            half: false,
            least: false,
        }
    }

    /// Whether values are integers with scales.
    pub fn has_scales(self) -> bool {
        matches!(self.bits, Bits::Four { .. } | Bits::Eight)
    }

    /// Words of the scales of [`NR`] outputs in one block; the least values take as many.
    fn scale_words(self) -> usize {
        match (self.has_scales(), self.half) {
            (false, _) => 0,
            (true, true) => NR / 2,
            (true, false) => NR,
        }
    }

    /// Words before the values.
    fn head_words(self) -> usize {
        self.scale_words() * if self.least { 2 } else { 1 }
    }

    /// Words of one block of [`NR`] outputs.
    fn record_words(self) -> usize {
        let values = match self.bits {
            Bits::Four { .. } => self.block / 8 * NR,
            Bits::Eight => self.block / 4 * NR,
            Bits::Bf16 | Bits::F16 => NR / 2,
        };
        self.head_words() + values
    }
}

/// A frozen matrix `[out, inner]` of few bits: `[panel][block]` records of [`NR`] outputs. A record
/// has the scales, the least values, and words whose lanes are outputs.
///
/// A word of nibbles holds 8 neighbouring values of a row, the first four in the lower halves of
/// its bytes; a word of bytes holds 4. So each register is a ready operand of the processor's
/// integer dot products.
#[derive(Debug)]
pub struct Compact {
    data: Aligned,
    out: usize,
    inner: usize,
    format: Format,
}

/// Widened values of one piece of a panel: 128 inner values, half of a first-level cache.
const PIECE: usize = 128;
/// Most rows that widen in registers, tile by tile; more rows share a widened piece. Measured.
const FUSED_ROWS: usize = 32;

impl Compact {
    /// Number of output features.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Number of input features.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// The layout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }

    fn blocks(&self) -> usize {
        self.inner / self.format.block
    }

    fn panels(&self) -> usize {
        self.out.div_ceil(NR)
    }

    /// Words of a panel.
    fn panel_words(&self) -> usize {
        self.blocks() * self.format.record_words()
    }

    fn panel(&self, panel: usize) -> &[u32] {
        &self.data.as_words()[panel * self.panel_words()..][..self.panel_words()]
    }

    /// Writes blocks of a panel as f32, `[values][NR]`.
    fn unpack(&self, panel: usize, first: usize, target: &mut [f32]) {
        let records = &self.panel(panel)[first * self.format.record_words()..];
        unpack::panel(self.format, records, target);
    }

    /// Copies row `row` (an embedding) to `target`, `[inner]`.
    ///
    /// # Panics
    /// When the row does not exist.
    pub fn copy_row(&self, row: usize, target: &mut [f32]) {
        assert!(row < self.out, "a row beyond the matrix");
        let records = self
            .panel(row / NR)
            .chunks_exact(self.format.record_words());
        let target = target[..self.inner].chunks_exact_mut(self.format.block);
        for (record, target) in records.zip(target) {
            unpack::row(self.format, record, row % NR, target);
        }
    }

    /// Calls `take` with every panel as f32, `[inner][NR]`, in parallel.
    pub fn for_panels(&self, take: &(impl Fn(usize, &[f32]) + Sync)) {
        parallel::for_ranges(self.panels(), self.inner * NR, &|panels| {
            for panel in panels {
                with_scratch(self.inner * NR, |values| {
                    self.unpack(panel, 0, values);
                    take(panel, values);
                });
            }
        });
    }

    /// Returns all values, `[out, inner]` row-major.
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.out * self.inner];
        let shared = Shared::new(&mut values);
        self.for_panels(&|panel, columns| {
            let rows = NR.min(self.out - panel * NR);
            // SAFETY: panels are rows that do not overlap.
            let target = unsafe { shared.slice(panel * NR * self.inner, rows * self.inner) };
            for (k, column) in columns.as_chunks::<NR>().0.iter().enumerate() {
                for (row, value) in column[..rows].iter().enumerate() {
                    target[row * self.inner + k] = *value;
                }
            }
        });
        values
    }

    /// Computes `x · Wᵀ` for a row-major `[m, inner]`, as a new `[m, out]`.
    pub fn product(&self, x: &[f32], m: usize) -> Vec<f32> {
        let fill = |c: Shared| products(x, m, &[(self, c)], Start::Zero);
        // SAFETY: `products` writes every element.
        unsafe { memory::filled(m * self.out, fill) }
    }

    /// Computes rows of a product in a range of panels, on this thread.
    ///
    /// # Safety
    /// Nobody else may read or write these columns of C during the call; they have to be
    /// initialised when `start` is [`Start::Output`].
    unsafe fn multiply_panels(
        &self,
        x: &[f32],
        m: usize,
        panels: Range<usize>,
        c: Shared,
        start: Start,
    ) {
        #[cfg(target_arch = "x86_64")]
        if m <= FUSED_ROWS && start == Start::Zero && isa() == Isa::Avx512 {
            // SAFETY: the processor has AVX-512; the caller's promises.
            return unsafe { avx512::multiply_panels(self, x, m, panels, c) };
        }
        let block = self.format.block;
        let piece = (PIECE / block).max(1) * block;
        for panel in panels {
            let columns = NR.min(self.out - panel * NR);
            for from in (0..self.inner).step_by(piece) {
                let length = piece.min(self.inner - from);
                with_scratch(length * NR, |values| {
                    self.unpack(panel, from / block, values);
                    let left = Left {
                        data: &x[from..],
                        row: self.inner,
                        column: 1,
                    };
                    let start = match from {
                        0 => start,
                        _ => Start::Output,
                    };
                    let offset = panel * NR;
                    let c = c.part(offset, (m - 1) * self.out + columns);
                    let right = Right::panels(values, length);
                    let shape = (m, columns, length);
                    // SAFETY: these columns are ours; after the first piece they are written.
                    unsafe { multiply_into(shape, left, right, c, self.out, start, false) };
                });
            }
        }
    }
}

/// Computes products of the same rows with several matrices, `[m, out]` each, as one parallel piece
/// of work. Every element of the outputs is written; they must be initialised when `start` is
/// [`Start::Output`].
///
/// # Panics
/// When the inner dimensions are not that of `x`, or an output is too short.
pub(crate) fn products(x: &[f32], m: usize, parts: &[(&Compact, Shared)], start: Start) {
    for (matrix, c) in parts {
        assert!(
            x.len() == m * matrix.inner && c.len() >= m * matrix.out,
            "shapes of a product"
        );
    }
    if m == 0 {
        return;
    }
    let panels: usize = parts.iter().map(|(matrix, _)| matrix.panels()).sum();
    let cost = parts
        .first()
        .map_or(1, |(matrix, _)| m * NR * matrix.inner / 4);
    // Pairs of panels: the kernel for one row takes two at a time.
    parallel::for_ranges(panels.div_ceil(2), cost, &|pairs| {
        let mut range = 2 * pairs.start..panels.min(2 * pairs.end);
        let mut first = 0;
        for (matrix, c) in parts {
            let last = first + matrix.panels();
            let own = range.start.max(first)..range.end.min(last);
            if !own.is_empty() {
                // SAFETY: ranges of panels do not overlap, nor do outputs.
                unsafe {
                    matrix.multiply_panels(x, m, own.start - first..own.end - first, *c, start);
                }
                range.start = own.end;
            }
            first = last;
        }
    });
}

#[cfg(test)]
mod tests;

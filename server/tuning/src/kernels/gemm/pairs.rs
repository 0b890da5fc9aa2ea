//! Products of bf16 values: `fast` mode.
//!
//! Two neighbouring k share a 32-bit word, the even one in its lower half, so a matrix of
//! words has half the inner dimension and everything else of an f32 product. A word of A times
//! a word of B adds two products to an f32 sum, the odd k's first, as VDPBF16PS does. Where a
//! processor lacks that instruction, both halves are widened to f32: the same values, slower.
//!
//! Where a processor multiplies f16 vectors, which it does faster, frozen matrices are stored in f16
//! ([`halves`]). What is multiplied with them is kept in bf16 everywhere else all the same.

#[cfg(target_arch = "x86_64")]
mod halves;

use std::ops::Range;

use super::{Blocks, Left, NR, Right, Start, Tile, over_threads};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::kernels::{
    Isa, isa,
    memory::{self, Aligned, Shared, floats, with_scratch, words, words_mut},
    parallel,
};

/// Words of a row of `inner` values.
pub fn words_of(inner: usize) -> usize {
    inner.div_ceil(2)
}

/// The nearest bf16, ties to even; what is not a number stays so.
#[inline(always)]
pub(in crate::kernels) fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if value.is_nan() {
        (bits >> 16) | 0x40
    } else {
        rounded
    }
}

/// Two values as a word.
#[inline(always)]
pub(in crate::kernels) fn pair(even: f32, odd: f32) -> u32 {
    round(even) | (round(odd) << 16)
}

/// One half of a word.
#[inline(always)]
pub(in crate::kernels) fn half(word: u32, odd: bool) -> f32 {
    f32::from_bits(if odd { word & 0xffff_0000 } else { word << 16 })
}

multiversion! {
    /// Rounds rows of `inner` values to rows of words; an odd end is paired with zero.
    ///
    /// # Panics
    /// When `target` has room for fewer rows.
    pub fn round_rows(source: &[f32], inner: usize, target: &mut [u32]) {
        for (source, target) in source.chunks_exact(inner).zip(target.chunks_exact_mut(words_of(inner))) {
            let (pairs, tail) = source.as_chunks::<2>();
            for (word, &[even, odd]) in target.iter_mut().zip(pairs) {
                *word = pair(even, odd);
            }
            if let ([last], Some(word)) = (tail, target.last_mut()) {
                *word = pair(*last, 0.0);
            }
        }
    }
}

multiversion! {
    /// Words to the values that they hold, `[rows, inner]`.
    pub fn widen_rows(words: &[u32], inner: usize, target: &mut [f32]) {
        let rows = words.chunks_exact(words_of(inner)).zip(target.chunks_exact_mut(inner));
        for (words, target) in rows {
            let (pairs, tail) = target.as_chunks_mut::<2>();
            for ([even, odd], &word) in pairs.iter_mut().zip(words) {
                *even = half(word, false);
                *odd = half(word, true);
            }
            if let ([last], Some(&word)) = (tail, words.last()) {
                *last = half(word, false);
            }
        }
    }
}

/// A left operand: rows rounded to bf16.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[rows, words_of(inner)]`
    words: &'a [u32],
    inner: usize,
}

impl<'a> Rows<'a> {
    /// Rows of words that [`round_rows`] made.
    ///
    /// # Panics
    /// When they are not whole rows.
    pub fn new(words: &'a [u32], inner: usize) -> Self {
        assert!(words.len().is_multiple_of(words_of(inner)), "whole rows");
        Self { words, inner }
    }

    /// Rounds a row-major `[rows, inner]` into scratch for one call.
    ///
    /// # Panics
    /// When `x` does not consist of whole rows.
    pub fn with<R>(x: &[f32], inner: usize, work: impl FnOnce(Rows<'_>) -> R) -> R {
        assert!(x.len().is_multiple_of(inner), "whole rows");
        let rows = x.len() / inner;
        let width = words_of(inner);
        with_scratch(rows * width, |scratch| {
            let target = words_mut(scratch);
            round_all(x, inner, target);
            work(Rows::new(target, inner))
        })
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.words.len() / words_of(self.inner)
    }
}

/// As [`round_rows`], over all threads when it is worth it.
///
/// # Panics
/// When `target` has not room for exactly these rows.
pub fn round_all(x: &[f32], inner: usize, target: &mut [u32]) {
    let width = words_of(inner);
    let rows = x.len() / inner;
    assert_eq!(target.len(), rows * width, "room for every row");
    let shared = Shared::of_words(target);
    parallel::for_ranges(rows, inner, &|range| {
        // SAFETY: ranges of rows do not overlap.
        let target = unsafe { shared.slice(range.start * width, range.len() * width) };
        let source = &x[range.start * inner..range.end * inner];
        round_rows(source, inner, words_mut(target));
    });
}

/// A frozen matrix in 16 bits, as the processor multiplies it fastest.
#[derive(Debug)]
pub struct PackedPairs {
    panels: Panels,
    out: usize,
    inner: usize,
}

#[derive(Debug)]
enum Panels {
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

/// Left operands as the kernel of their matrices reads them, made once for all products.
enum Operand<'a> {
    Pairs(Rows<'a>),
    #[cfg(target_arch = "x86_64")]
    Halves(halves::Left),
}

impl<'a> Operand<'a> {
    fn new(x: Rows<'a>, weight: &PackedPairs) -> Self {
        assert_eq!(x.inner, weight.inner, "inner dimensions");
        match &weight.panels {
            Panels::Pairs(_) => Self::Pairs(x),
            #[cfg(target_arch = "x86_64")]
            Panels::Halves(_) => Self::Halves(halves::Left::new(x)),
        }
    }
}

/// A checked product, of which any block of tiles can be computed by itself.
enum Product<'a> {
    Pairs(Blocks<'a>),
    #[cfg(target_arch = "x86_64")]
    Halves(halves::Product<'a>),
}

impl<'a> Product<'a> {
    /// # Panics
    /// When C is too short, there are no rows, or the operand was made for a matrix that is stored
    /// differently.
    fn new(
        x: &'a Operand<'a>,
        weight: &'a PackedPairs,
        c: Shared,
        c_row: usize,
        start: Start,
    ) -> Self {
        match (x, &weight.panels) {
            (Operand::Pairs(x), Panels::Pairs(data)) => {
                let k = words_of(weight.inner);
                let left = Left::rows(floats(x.words), k);
                let right = Right::panels(data.as_slice(), k);
                let shape = (x.rows(), weight.out, k);
                Self::Pairs(Blocks::new(kernel(), shape, left, right, c, c_row, start))
            }
            #[cfg(target_arch = "x86_64")]
            (Operand::Halves(left), Panels::Halves(right)) => {
                Self::Halves(halves::Product::new(left, right, c, c_row, start))
            }
            #[cfg(target_arch = "x86_64")]
            _ => panic!("matrices of one product are stored alike"),
        }
    }

    fn row_panels(&self) -> usize {
        match self {
            Self::Pairs(blocks) => blocks.row_panels(),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(product) => product.row_panels(),
        }
    }

    fn column_panels(&self) -> usize {
        match self {
            Self::Pairs(blocks) => blocks.column_panels(),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(product) => product.column_panels(),
        }
    }

    /// Words of A times words of B.
    fn work(&self) -> usize {
        match self {
            Self::Pairs(blocks) => blocks.m * blocks.n * blocks.k,
            #[cfg(target_arch = "x86_64")]
            Self::Halves(product) => product.work() / 2,
        }
    }

    /// # Safety
    /// Nobody else may touch these elements of C; they are initialised where sums go on from them.
    unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        match self {
            // SAFETY: the caller's promises; the kernel suits this processor.
            Self::Pairs(blocks) => unsafe { blocks.run(rows, columns) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's promises.
            Self::Halves(product) => unsafe { product.run(rows, columns) },
        }
    }
}

/// `x · Wᵀ` into `c`, rows `c_row` apart; over all threads when it is worth it.
///
/// # Panics
/// When an operand is too short for the shape.
///
/// # Safety
/// Nobody else may read or write the elements of C during the call; they have to be
/// initialised when `start` is [`Start::Output`].
pub unsafe fn multiply_pairs(
    x: Rows<'_>,
    weight: &PackedPairs,
    c: Shared,
    c_row: usize,
    start: Start,
) {
    if x.rows() == 0 {
        return;
    }
    let x = Operand::new(x, weight);
    let product = Product::new(&x, weight, c, c_row, start);
    // SAFETY: the caller's promises.
    let block = |rows, columns| unsafe { product.run(rows, columns) };
    let (rows, columns) = (product.row_panels(), product.column_panels());
    over_threads(rows, columns, product.work(), true, &block);
}

/// As [`multiply_pairs`], a new `[rows, out]`.
pub fn product_pairs(x: Rows<'_>, weight: &PackedPairs) -> Vec<f32> {
    let fill = |c: Shared| {
        // SAFETY: nobody else knows the memory yet.
        unsafe { multiply_pairs(x, weight, c, weight.out, Start::Zero) }
    };
    // SAFETY: a product that starts at zero writes every element.
    unsafe { memory::filled(x.rows() * weight.out, fill) }
}

/// The same rows times several matrices, each to an output of its own that starts as told: one
/// round of work for all threads.
///
/// # Panics
/// When there are no rows, or an operand is too short for its shape.
///
/// # Safety
/// As [`multiply_pairs`], for every output; they do not overlap.
pub unsafe fn multiply_each(x: Rows<'_>, products: &[(&PackedPairs, Shared, Start)]) {
    let Some((first, ..)) = products.first() else {
        return;
    };
    let x = Operand::new(x, first);
    let each: Vec<Product<'_>> = products
        .iter()
        .map(|&(weight, c, start)| {
            assert_eq!(weight.inner, first.inner, "inner dimensions");
            Product::new(&x, weight, c, weight.out, start)
        })
        .collect();
    let rows = each.first().map_or(0, Product::row_panels);
    let columns = each.iter().map(Product::column_panels).sum();
    let work = each.iter().map(Product::work);
    over_threads(
        rows,
        columns,
        work.sum(),
        true,
        &|rows, columns: Range<usize>| {
            let mut first = 0;
            for product in &each {
                let end = first + product.column_panels();
                let (from, to) = (columns.start.max(first), columns.end.min(end));
                if from < to {
                    // SAFETY: the caller's promises.
                    unsafe { product.run(rows.clone(), from - first..to - first) };
                }
                first = end;
            }
        },
    );
}

/// The sum of several products of equal shape, `Σ x · Wᵀ`, into `c`, one after the other; one round
/// of work for all threads.
///
/// # Panics
/// When there is no product or no row, shapes differ, or an operand is too short.
///
/// # Safety
/// As [`multiply_pairs`].
pub unsafe fn multiply_sum(terms: &[(Rows<'_>, &PackedPairs)], c: Shared, start: Start) {
    let (m, n) = (terms[0].0.rows(), terms[0].1.out);
    assert!(
        terms
            .iter()
            .all(|(x, weight)| (x.rows(), weight.out) == (m, n)),
        "terms of one shape"
    );
    let operands: Vec<Operand<'_>> = terms
        .iter()
        .map(|&(x, weight)| Operand::new(x, weight))
        .collect();
    let starts = std::iter::once(start).chain(std::iter::repeat(Start::Output));
    let terms: Vec<Product<'_>> = terms
        .iter()
        .zip(&operands)
        .zip(starts)
        .map(|((&(_, weight), x), start)| Product::new(x, weight, c, n, start))
        .collect();
    let work = terms.iter().map(Product::work).sum();
    let (rows, columns) = (terms[0].row_panels(), terms[0].column_panels());
    over_threads(
        rows,
        columns,
        work,
        true,
        &|rows: Range<usize>, columns: Range<usize>| {
            for term in &terms {
                // SAFETY: the caller's promises.
                unsafe { term.run(rows.clone(), columns.clone()) };
            }
        },
    );
}

#[cfg(target_arch = "x86_64")]
fn has_pairs() -> bool {
    isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    // AVX-512 without its bf16 part widens with AVX2.
    isa() != Isa::Portable && Isa::Avx2.available()
}

/// What products of pairs run on: `avx512-fp16`, `avx512-bf16`, or `avx2` or `portable`, which widen
/// to f32. The bits of the mode `fast` depend on it.
pub fn kernel_name() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if halves::available() {
            return "avx512-fp16";
        }
        if has_pairs() {
            return "avx512-bf16";
        }
        if has_avx2() {
            return "avx2";
        }
    }
    "portable"
}

fn kernel() -> unsafe fn(Tile) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_pairs() {
            return avx512::tile_pairs;
        }
        if has_avx2() {
            return avx2::tile_pairs;
        }
    }
    portable
}

/// Computes a tile of pairs without intrinsics.
///
/// # Safety
/// The pointers of the tile must be valid for its shape.
unsafe fn portable(tile: Tile) {
    for row in 0..tile.rows {
        // SAFETY: row `row` of C has `columns` elements.
        let c = unsafe { tile.c.add(row * tile.c_row) };
        let mut acc = [0.0_f32; NR];
        if tile.start == Start::Output {
            // SAFETY: as above, initialised as the caller promises.
            unsafe { std::ptr::copy_nonoverlapping(c, acc.as_mut_ptr(), tile.columns) };
        }
        for k in 0..tile.k {
            // SAFETY: A has this word, B has `columns` at each k.
            let (a, b) = unsafe {
                (
                    tile.a.add(k * tile.a_column + row * tile.a_row).read(),
                    std::slice::from_raw_parts(tile.b.add(k * tile.b_row), tile.columns),
                )
            };
            let a = a.to_bits();
            for (acc, &b) in acc.iter_mut().zip(words(b)) {
                // Products of two bf16 are exact in f32, so a plain sum is a fused one.
                *acc += half(a, true) * half(b, true);
                *acc += half(a, false) * half(b, false);
            }
        }
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(acc.as_ptr(), c, tile.columns) };
    }
}

#[cfg(test)]
mod tests;

//! Matrix products `C = A · B` in f32.
//!
//! Every element of C is one chain of fused multiply-adds over k in order, starting at zero or at
//! the value in C. Vector lanes run over the columns, so the bits depend on neither the instruction
//! set nor the blocking nor the number of threads.
//!
//! A is read in place, in panels of at most [`MR`] rows; B is read in panels of [`NR`] columns. A
//! frozen matrix is stored as such panels ([`Packed`]); any other row-major matrix is read in
//! place, 32 values of a row at a time.
//!
//! In the numeric mode `fast` frozen matrices hold integers of 16 bits ([`pairs`]): the same blocking
//! over words of two values. A frozen matrix in either mode is a [`Matrix`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod compact;
mod matrix;
mod pack;
pub mod pairs;
mod portable;

use std::ops::Range;

pub use matrix::{Matrix, products};
pub use pack::Packed;
pub(crate) use pack::fill_panel;

use super::{
    Isa, isa,
    memory::{self, Shared},
    parallel,
};

/// Rows of a panel of A: 14 x 2 accumulators and their operands fill 32 registers.
pub const MR: usize = 14;
/// Columns of a panel of B.
pub const NR: usize = 32;
/// Longest inner dimension that is processed in one piece.
const KC: usize = 2048;

/// The left operand: element (m, k) is `data[m * row + k * column]`.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// All elements.
    pub data: &'a [f32],
    /// Distance of two rows.
    pub row: usize,
    /// Distance of two columns.
    pub column: usize,
}

impl<'a> Left<'a> {
    /// Operand from a row-major matrix with rows of `width` values.
    pub fn rows(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            row: width,
            column: 1,
        }
    }

    /// Operand from the transpose of a row-major matrix with rows of `width` values.
    pub fn transposed(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            row: 1,
            column: width,
        }
    }
}

/// The right operand, as panels of [`NR`] columns.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    data: &'a [f32],
    /// Distance of two k within a panel.
    row: usize,
    /// Distance of two panels.
    panel: usize,
    /// Whether a panel always holds [`NR`] columns, padded with zeros.
    padded: bool,
}

impl<'a> Right<'a> {
    /// Operand from a row-major matrix `[k, n]` with rows of `width` values.
    pub fn rows(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            row: width,
            panel: NR,
            padded: false,
        }
    }

    /// Operand from panels `[panel][k][NR]`, with zeros after the last column.
    pub fn panels(data: &'a [f32], k: usize) -> Self {
        Self::panels_apart(data, k * NR)
    }

    /// Operand from panels `[k][NR]` that start `distance` values after each other.
    pub fn panels_apart(data: &'a [f32], distance: usize) -> Self {
        Self {
            data,
            row: NR,
            panel: distance,
            padded: true,
        }
    }

    /// Returns the operand without the panels before this one.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn from_panel(self, panel: usize) -> Self {
        Self {
            data: &self.data[panel * self.panel..],
            ..self
        }
    }

    /// Returns a row-major operand without the rows before this one.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn from_row(self, row: usize) -> Self {
        Self {
            data: &self.data[row * self.row..],
            ..self
        }
    }
}

/// Where a chain of multiply-adds starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At zero; the output need not be initialised.
    Zero,
    /// At the value in the output.
    Output,
}

/// Work of a micro-kernel: `rows` x `columns` of C from one panel of A and one of B.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    a: *const f32,
    a_row: usize,
    a_column: usize,
    rows: usize,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    c_row: usize,
    columns: usize,
    start: Start,
    /// Memory that will be read next, and how many bytes of it to prefetch per k; a hint.
    prefetch: *const f32,
    prefetch_step: usize,
}

/// Computes `C = A · B`, or `C += A · B`: `[m, k]` times `[k, n]` to `[m, n]`, row-major with a
/// distance of `c_row` between rows. Runs on the calling thread alone.
///
/// # Panics
/// When an operand is too short for the shape.
pub fn multiply_serial(
    (m, n, k): (usize, usize, usize),
    a: Left<'_>,
    b: Right<'_>,
    c: &mut [f32],
    c_row: usize,
    start: Start,
) {
    let c = Shared::new(c);
    // SAFETY: `c` is borrowed uniquely for the call and initialised.
    unsafe { multiply_into((m, n, k), a, b, c, c_row, start, false) }
}

/// As [`multiply_serial`], in parallel when the product is large enough.
///
/// # Panics
/// When an operand is too short for the shape.
pub fn multiply(
    (m, n, k): (usize, usize, usize),
    a: Left<'_>,
    b: Right<'_>,
    c: &mut [f32],
    c_row: usize,
    start: Start,
) {
    let c = Shared::new(c);
    // SAFETY: `c` is borrowed uniquely for the call and initialised.
    unsafe { multiply_into((m, n, k), a, b, c, c_row, start, true) }
}

/// Computes `x · Wᵀ` for a row-major `[m, inner]`, as a new `[m, out]`.
pub fn product(x: &[f32], m: usize, weight: &Packed) -> Vec<f32> {
    let (out, inner) = (weight.out(), weight.inner());
    let fill = |c: Shared| {
        let (left, right) = (Left::rows(x, inner), weight.right());
        // SAFETY: nobody else knows the memory yet.
        unsafe { multiply_into((m, out, inner), left, right, c, out, Start::Zero, true) }
    };
    // SAFETY: a product that starts at zero writes every element.
    unsafe { memory::filled(m * out, fill) }
}

/// As [`multiply`], into memory that may be uninitialised when `start` is zero.
///
/// # Safety
/// Nobody else may read or write the elements of C during the call; they have to be
/// initialised when `start` is [`Start::Output`].
pub(crate) unsafe fn multiply_into(
    (m, n, k): (usize, usize, usize),
    a: Left<'_>,
    b: Right<'_>,
    c: Shared,
    c_row: usize,
    start: Start,
    parallel: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    let work = Blocks::new((m, n, k), a, b, c, c_row, start);
    // SAFETY: the caller's promises.
    let block = |rows, columns| unsafe { work.run(rows, columns) };
    over_threads(
        work.row_panels(),
        work.column_panels(),
        m * n * k,
        parallel,
        &block,
    );
}

/// A checked product; any block of its tiles can be computed separately.
struct Blocks<'a> {
    kernel: unsafe fn(Tile),
    m: usize,
    n: usize,
    k: usize,
    a: Left<'a>,
    b: Right<'a>,
    c: Shared,
    c_row: usize,
    start: Start,
}

impl<'a> Blocks<'a> {
    /// # Panics
    /// When an operand is too short for the shape, or the shape has a zero.
    fn new(
        (m, n, k): (usize, usize, usize),
        a: Left<'a>,
        b: Right<'a>,
        c: Shared,
        c_row: usize,
        start: Start,
    ) -> Self {
        assert!(m > 0 && n > 0, "an empty product");
        assert!(k > 0, "an empty inner dimension");
        assert!(
            (m - 1) * a.row + (k - 1) * a.column < a.data.len(),
            "A is too short"
        );
        let last_panel = (n - 1) / NR;
        let last_columns = if b.padded { NR } else { n - last_panel * NR };
        assert!(
            last_panel * b.panel + (k - 1) * b.row + last_columns <= b.data.len(),
            "B is too short"
        );
        assert!(
            c_row >= n && (m - 1) * c_row + n <= c.len(),
            "C is too short"
        );
        Self {
            kernel: kernel(),
            m,
            n,
            k,
            a,
            b,
            c,
            c_row,
            start,
        }
    }

    fn row_panels(&self) -> usize {
        row_panels(self.m)
    }

    fn column_panels(&self) -> usize {
        self.n.div_ceil(NR)
    }

    /// Computes the tiles of these panels of rows and of columns.
    ///
    /// # Safety
    /// Nobody else may touch these elements of C; they are initialised where the chains go on
    /// from them.
    unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        let Self { n, k, a, b, c, .. } = *self;
        // A long inner dimension is cut into pieces whose panels stay in the second-level cache;
        // the chain continues from the output.
        let pieces = k.div_ceil(KC);
        let piece = k.div_ceil(pieces);
        for from_k in (0..k).step_by(piece) {
            for j in columns.clone() {
                let width = NR.min(n - j * NR);
                // The panels of a tile row share the prefetching of the next panel of B.
                let next = (b.padded && (j + 1) * NR < n)
                    .then(|| &b.data[(j + 1) * b.panel + from_k * b.row..]);
                let (share, step) = match next {
                    Some(_) => (piece * NR / rows.len(), (4 * NR).div_ceil(rows.len())),
                    None => (0, 0),
                };
                for i in rows.clone() {
                    let from = first_row(self.m, i);
                    let tile = Tile {
                        k: piece.min(k - from_k),
                        a: a.data[from * a.row + from_k * a.column..].as_ptr(),
                        a_row: a.row,
                        a_column: a.column,
                        rows: first_row(self.m, i + 1) - from,
                        b: b.data[j * b.panel + from_k * b.row..].as_ptr(),
                        b_row: b.row,
                        c: c.at(from * self.c_row + j * NR),
                        c_row: self.c_row,
                        columns: width,
                        start: if from_k == 0 {
                            self.start
                        } else {
                            Start::Output
                        },
                        prefetch: next.map_or(a.data.as_ptr(), |next| {
                            next.as_ptr().wrapping_add((i - rows.start) * share)
                        }),
                        prefetch_step: step,
                    };
                    // SAFETY: the assertions of `new` bound every access of A, B and C; tiles
                    // do not overlap; the kernel is this processor's; the rest is the caller's.
                    unsafe { (self.kernel)(tile) };
                }
            }
        }
    }
}

/// Number of panels that `m` rows are read in.
fn row_panels(m: usize) -> usize {
    m.div_ceil(MR)
}

/// Index of a panel's first row among `m`. Panels are of nearly equal height: 16 rows are split 8 +
/// 8, not 14 + 2.
fn first_row(m: usize, panel: usize) -> usize {
    let (height, taller) = (m / row_panels(m), m % row_panels(m));
    panel * height + panel.min(taller)
}

/// Calls `block` on parts that cover all panels; `work` is the number of multiply-adds.
fn over_threads(
    rows: usize,
    columns: usize,
    work: usize,
    parallel: bool,
    block: &(impl Fn(Range<usize>, Range<usize>) + Sync),
) {
    if !(parallel && work > 150_000 && rayon::current_num_threads() > 1) {
        return block(0..rows, 0..columns);
    }
    if parallel::in_team() {
        // Splits along the dimension with more parts; a panel of B is then reread by the same
        // thread.
        return match rows > 2 * columns {
            true => parallel::for_ranges(rows, work / rows / 2, &|rows| block(rows, 0..columns)),
            false => {
                let cost = work / columns.max(1) / 2;
                parallel::for_ranges(columns, cost, &|columns| block(0..rows, columns))
            }
        };
    }
    // Parts of nearly equal cost, a few more than threads.
    let parts = (PARTS * rayon::current_num_threads())
        .min(work / GRAIN)
        .max(1);
    split(0..rows, 0..columns, (rows * columns).div_ceil(parts), block);
}

/// Fewest multiply-adds for a separate part: about 5 microseconds.
const GRAIN: usize = 500_000;
/// Parts per thread, so that an interrupted thread delays less.
const PARTS: usize = 4;

/// Halves a block until it has at most `grain` tiles.
fn split(
    rows: Range<usize>,
    columns: Range<usize>,
    grain: usize,
    block: &(impl Fn(Range<usize>, Range<usize>) + Sync),
) {
    if rows.len() * columns.len() <= grain {
        return block(rows, columns);
    }
    // Columns first: a panel of B, the larger operand, is then read by one thread.
    if columns.len() > 1 {
        let middle = columns.start + columns.len() / 2;
        rayon::join(
            || split(rows.clone(), columns.start..middle, grain, block),
            || split(rows.clone(), middle..columns.end, grain, block),
        );
    } else if rows.len() > 1 {
        let middle = rows.start + rows.len() / 2;
        rayon::join(
            || split(rows.start..middle, columns.clone(), grain, block),
            || split(middle..rows.end, columns.clone(), grain, block),
        );
    } else {
        block(rows, columns);
    }
}

fn kernel() -> unsafe fn(Tile) {
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Avx512 => return avx512::tile,
        Isa::Avx2 => return avx2::tile,
        Isa::Portable => {}
    }
    portable::tile
}

#[cfg(test)]
mod tests;

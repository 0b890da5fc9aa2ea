//! One product, computed by tiles.

use std::ops::Range;

use super::{
    super::{MR, NR, Start, Tile, first_row, row_panels},
    PackedPairs, Rows, halves, pairs_of, piece_of, pieces_of, words_of,
};
#[cfg(target_arch = "x86_64")]
use crate::{
    Isa,
    gemm::{avx2, avx512},
    isa,
};
use crate::{
    LANES,
    memory::{Shared, floats},
};

/// Integer sums of a tile, `[MR][NR]`.
#[repr(C, align(64))]
struct Sums([i32; MR * NR]);

/// A checked product `x · Wᵀ`; any block of its tiles can be computed separately.
pub(super) struct Product<'a> {
    x: Rows<'a>,
    weight: &'a PackedPairs,
    c: Shared,
    c_row: usize,
    start: Start,
    kernel: unsafe fn(Tile),
}

impl<'a> Product<'a> {
    /// # Panics
    /// When C is too short, there are no rows, or inner dimensions differ.
    pub(super) fn new(
        x: Rows<'a>,
        weight: &'a PackedPairs,
        c: Shared,
        c_row: usize,
        start: Start,
    ) -> Self {
        assert_eq!(x.inner, weight.inner, "inner dimensions");
        assert!(x.rows() > 0, "an empty product");
        assert!(
            c_row >= weight.out && (x.rows() - 1) * c_row + weight.out <= c.len(),
            "C is too short"
        );
        Self {
            x,
            weight,
            c,
            c_row,
            start,
            kernel: kernel(),
        }
    }

    pub(super) fn row_panels(&self) -> usize {
        row_panels(self.x.rows())
    }

    pub(super) fn column_panels(&self) -> usize {
        self.weight.out.div_ceil(NR)
    }

    /// Number of multiplications of words of A with words of B.
    pub(super) fn work(&self) -> usize {
        self.x.rows() * self.weight.out * pairs_of(self.x.inner)
    }

    /// Computes the tiles of these panels of rows and of columns.
    ///
    /// # Safety
    /// Nobody else may touch these elements of C; they are initialised where the sums go on from
    /// them.
    pub(super) unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        let (m, k, a_row) = (
            self.x.rows(),
            pairs_of(self.x.inner),
            words_of(self.x.inner),
        );
        let (a, b) = (floats(self.x.words), self.weight.panels.as_slice());
        let (piece, pieces) = (piece_of(self.x.inner), pieces_of(self.x.inner));
        let mut sums = Sums([0; MR * NR]);
        for (number, from_k) in (0..k).step_by(piece).enumerate() {
            let onto = from_k > 0 || self.start == Start::Output;
            for j in columns.clone() {
                let width = NR.min(self.weight.out - j * NR);
                // The panels of a tile row share the prefetching of the next panel of B.
                let next = b.get(((j + 1) * k + from_k) * NR..);
                let next = next.filter(|next| !next.is_empty());
                let (share, step) = match next {
                    Some(_) => (piece * NR / rows.len(), (4 * NR).div_ceil(rows.len())),
                    None => (0, 0),
                };
                for i in rows.clone() {
                    let from = first_row(m, i);
                    let height = first_row(m, i + 1) - from;
                    let tile = Tile {
                        k: piece.min(k - from_k),
                        // After the scales of the row.
                        a: a[from * a_row + pieces + from_k..].as_ptr(),
                        a_row,
                        a_column: 1,
                        rows: height,
                        b: b[(j * k + from_k) * NR..].as_ptr(),
                        b_row: NR,
                        c: sums.0.as_mut_ptr().cast(),
                        c_row: NR,
                        columns: width,
                        start: Start::Zero,
                        prefetch: next.map_or(a.as_ptr(), |next| {
                            next.as_ptr().wrapping_add((i - rows.start) * share)
                        }),
                        prefetch_step: step,
                    };
                    // SAFETY: the tile lies within A, B and the sums, which `new` and the shapes of
                    // both operands bound; the kernel is this processor's.
                    unsafe { (self.kernel)(tile) };
                    let left = &a[from * a_row + number..];
                    let right = &self.weight.back[(j * pieces + number) * NR..][..width];
                    let c = self.c.part(
                        from * self.c_row + j * NR,
                        (height - 1) * self.c_row + width,
                    );
                    widen(&sums.0, left, a_row, right, height, c, self.c_row, onto);
                }
            }
        }
    }
}

multiversion! {
    /// Converts a tile of sums back with the scales and writes it to C, or adds it. `left` has the
    /// scale of each row at its beginning; no other thread touches these elements of C.
    fn widen(
        sums: &[i32; MR * NR],
        left: &[f32],
        left_row: usize,
        right: &[f32],
        rows: usize,
        c: Shared,
        c_row: usize,
        onto: bool,
    ) {
        for (row, sums) in sums.chunks_exact(NR).take(rows).enumerate() {
            let left = left[row * left_row];
            // SAFETY: rows of C do not overlap; the caller's caller vouches for the rest.
            let c = unsafe { c.slice(row * c_row, right.len()) };
            match onto {
                true => finish::<true>(c, sums, left, right),
                false => finish::<false>(c, sums, left, right),
            }
        }
    }
}

/// One row of [`widen`], in vectors of fixed length: for rows of any length the compiler's own
/// vectors take twice as long.
#[inline(always)]
fn finish<const ONTO: bool>(c: &mut [f32], sums: &[i32], left: f32, right: &[f32]) {
    let finish = |c: &mut f32, sum: i32, right: f32| {
        *c = match ONTO {
            true => (sum as f32).mul_add(left * right, *c),
            false => sum as f32 * (left * right),
        };
    };
    let (whole, tail) = c.as_chunks_mut::<LANES>();
    let (sums, sums_tail) = sums[..right.len()].as_chunks::<LANES>();
    let (right, right_tail) = right.as_chunks::<LANES>();
    for ((c, sums), right) in whole.iter_mut().zip(sums).zip(right) {
        for i in 0..LANES {
            finish(&mut c[i], sums[i], right[i]);
        }
    }
    for ((c, &sum), &right) in tail.iter_mut().zip(sums_tail).zip(right_tail) {
        finish(c, sum, right);
    }
}

/// Returns the kernel for tiles of integers; all kernels compute the same integers.
fn kernel() -> unsafe fn(Tile) {
    #[cfg(target_arch = "x86_64")]
    {
        if isa() == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
            return avx512::tile_pairs;
        }
        // A processor with AVX-512 but without VNNI multiplies with AVX2.
        if isa() != Isa::Portable && Isa::Avx2.available() {
            return avx2::tile_pairs;
        }
    }
    portable
}

/// Computes a tile of pairs without intrinsics, from zero.
///
/// # Safety
/// The pointers of the tile must be valid for its shape.
unsafe fn portable(tile: Tile) {
    for row in 0..tile.rows {
        let mut sums = [0_i32; NR];
        for k in 0..tile.k {
            // SAFETY: A has this word, B has `columns` at each k.
            let (a, b) = unsafe {
                (
                    tile.a
                        .add(k * tile.a_column + row * tile.a_row)
                        .cast::<u32>(),
                    std::slice::from_raw_parts(tile.b.add(k * tile.b_row).cast(), tile.columns),
                )
            };
            // SAFETY: as above; a word is aligned like a float.
            let a = unsafe { std::slice::from_raw_parts(a, 1) };
            let &[even, odd] = halves(a) else { return };
            for (sum, b) in sums.iter_mut().zip(halves(b).chunks_exact(2)) {
                let product = |a: u16, b: u16| i32::from(a as i16) * i32::from(b as i16);
                // Intermediate sums may wrap around: only the final sum is bounded.
                *sum = sum
                    .wrapping_add(product(even, b[0]))
                    .wrapping_add(product(odd, b[1]));
            }
        }
        // SAFETY: row `row` of C has `columns` elements.
        unsafe {
            let c = tile.c.add(row * tile.c_row).cast();
            std::ptr::copy_nonoverlapping(sums.as_ptr(), c, tile.columns);
        }
    }
}

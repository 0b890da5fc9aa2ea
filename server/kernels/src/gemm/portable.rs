//! The micro-kernel without intrinsics.

use super::{NR, Start, Tile};

/// Computes a tile.
///
/// # Safety
/// The pointers of the tile must be valid for its shape.
pub(super) unsafe fn tile(tile: Tile) {
    for row in 0..tile.rows {
        // SAFETY: row `row` of C has `columns` elements.
        let c = unsafe { tile.c.add(row * tile.c_row) };
        let mut acc = [0.0_f32; NR];
        if tile.start == Start::Output {
            // SAFETY: as above, initialised as the caller promises.
            unsafe { std::ptr::copy_nonoverlapping(c, acc.as_mut_ptr(), tile.columns) };
        }
        for k in 0..tile.k {
            // SAFETY: A has this element, B has `columns` at each k.
            let (a, b) = unsafe {
                (
                    *tile.a.add(k * tile.a_column + row * tile.a_row),
                    std::slice::from_raw_parts(tile.b.add(k * tile.b_row), tile.columns),
                )
            };
            for (acc, &b) in acc.iter_mut().zip(b) {
                *acc = a.mul_add(b, *acc);
            }
        }
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(acc.as_ptr(), c, tile.columns) };
    }
}

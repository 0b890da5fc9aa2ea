//! Sums over columns in order, in f64, of a term of two rows each.
//!
//! A sum that has an order is one chain of additions, so lanes are rows: the value of one row meets those of eight
//! others. Blocks of rows are turned into columns for that, once for every thread; a thread does some of the pairs
//! over all columns. Terms are rounded before they are added, on every instruction set.

use std::sync::Mutex;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute;

use crate::{Isa, isa, parallel};

/// Rows side by side.
const LANES: usize = 8;

/// Most rows of a tile, each of which meets [`LANES`] others.
const ROWS: usize = 4;

/// Columns of a block: 8 KiB of every eight rows, as f64.
const COLUMNS: usize = 128;

/// A column of eight rows, or sums of a row with eight others, from the start of a cache line on.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Eight([f64; LANES]);

/// Rows that meet eight others.
struct Tile {
    /// Eight rows, counted in eights, some of which meet the others.
    first: usize,
    /// The first of them that does.
    from: usize,
    /// How many do, [`ROWS`] at most.
    count: usize,
    /// The eight others.
    second: usize,
}

/// Term that two rows add to a sum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// The square of their difference.
    Square,
    /// Their product.
    Product,
    /// The product of their differences from the mean of all rows, which a row has with itself, too.
    Centred,
}

/// Tiles with all pairs of `n` rows, those of a row with itself among them or not.
fn tiles(n: usize, itself: bool) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for second in 0..n.div_ceil(LANES) {
        for first in 0..=second {
            let own = LANES.min(n - LANES * first);
            // Behind the last one there is none in the same eight.
            let used = own - usize::from(first == second && !itself);
            tiles.extend((0..used).step_by(ROWS).map(|from| Tile {
                first,
                from,
                count: ROWS.min(used - from),
                second,
            }));
        }
    }
    tiles
}

/// Sums over columns in order for all pairs of rows, `[n][n]`, symmetric; zeros on the diagonal where a row has no
/// term with itself. All rows have `width` columns.
pub(super) fn sums(rows: &[&[f32]], width: usize, term: Term) -> Vec<Vec<f64>> {
    let n = rows.len();
    let found = Mutex::new(vec![vec![0.0; n]; n]);
    let itself = term == Term::Centred;
    let tiles = tiles(n, itself);
    let isa = isa();
    // A part for each thread: every part turns the rows.
    let parts = rayon::current_num_threads().clamp(1, tiles.len().max(1));
    let cost = (ROWS * LANES * tiles.len() / parts).saturating_mul(width);
    parallel::for_ranges(parts, cost, &|range| {
        let at = |part: usize| part * tiles.len() / parts;
        let tiles = &tiles[at(range.start)..at(range.end)];
        let sums = some(isa, rows, width, term, tiles);
        let mut found = found
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for (tile, sums) in tiles.iter().zip(sums) {
            for (row, sums) in sums[..tile.count].iter().enumerate() {
                let row = LANES * tile.first + tile.from + row;
                for (lane, sum) in sums.0.iter().enumerate() {
                    let other = LANES * tile.second + lane;
                    if other < n && (row < other || itself && row == other) {
                        found[row][other] = *sum;
                        found[other][row] = *sum;
                    }
                }
            }
        }
    });
    found
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Sums of some tiles over all columns.
fn some(isa: Isa, rows: &[&[f32]], width: usize, term: Term, tiles: &[Tile]) -> Vec<[Eight; ROWS]> {
    // What is added to -0 stays as it is.
    let zero = if term == Term::Product { -0.0 } else { 0.0 };
    let mut sums = vec![[Eight([zero; LANES]); ROWS]; tiles.len()];
    let used = match term {
        // The mean is that of all rows.
        Term::Centred => rows.len(),
        _ => tiles.iter().map(|tile| tile.second + 1).max().unwrap_or(0),
    };
    let eights: Vec<&[&[f32]]> = rows.chunks(LANES).take(used).collect();
    let mut turned = vec![Eight([0.0; LANES]); eights.len() * COLUMNS];
    for start in (0..width).step_by(COLUMNS) {
        let len = COLUMNS.min(width - start);
        for (rows, turned) in eights.iter().zip(turned.chunks_exact_mut(COLUMNS)) {
            turn(isa, rows, start, &mut turned[..len]);
        }
        if term == Term::Centred {
            centre(rows.len(), len, &mut turned);
        }
        for (tile, sums) in tiles.iter().zip(&mut sums) {
            let columns = |eight: usize| &turned[eight * COLUMNS..][..len];
            let (first, second) = (columns(tile.first), columns(tile.second));
            add(isa, term != Term::Square, tile, first, second, sums);
        }
    }
    sums
}

/// Takes from every value of a block the mean of its column, whose sum runs over rows in order.
fn centre(rows: usize, len: usize, turned: &mut [Eight]) {
    for column in 0..len {
        let place = |row: usize| (row / LANES * COLUMNS + column, row % LANES);
        let values = (0..rows).map(|row| {
            let (at, lane) = place(row);
            turned[at].0[lane]
        });
        let mean = values.sum::<f64>() / rows as f64;
        for row in 0..rows {
            let (at, lane) = place(row);
            turned[at].0[lane] -= mean;
        }
    }
}

/// Turns a block of up to eight rows into columns.
fn turn(isa: Isa, rows: &[&[f32]], start: usize, columns: &mut [Eight]) {
    #[cfg(target_arch = "x86_64")]
    {
        // Not compiled for AVX-512, whose scattered stores take several times as long.
        #[target_feature(enable = "avx2")]
        fn avx2(rows: &[&[f32]], start: usize, columns: &mut [Eight]) {
            turned(rows, start, columns);
        }
        match isa {
            // SAFETY: `isa` names only what this processor has, and AVX-512 comes with AVX2.
            Isa::Avx512 | Isa::Avx2 => return unsafe { avx2(rows, start, columns) },
            Isa::Portable => {}
        }
    }
    let _ = isa;
    turned(rows, start, columns);
}

#[inline(always)]
fn turned(rows: &[&[f32]], start: usize, columns: &mut [Eight]) {
    const NONE: &[f32] = &[0.0; COLUMNS];
    let len = columns.len();
    let mut parts = [&NONE[..len]; LANES];
    for (part, row) in parts.iter_mut().zip(rows) {
        *part = &row[start..][..len];
    }
    let [a, b, c, d, e, f, g, h] = parts;
    let (a, b, c, d) = (&a[..len], &b[..len], &c[..len], &d[..len]);
    let (e, f, g, h) = (&e[..len], &f[..len], &g[..len], &h[..len]);
    // All of a column at once: it is written in one piece.
    for (at, column) in columns.iter_mut().enumerate() {
        let values = [a[at], b[at], c[at], d[at], e[at], f[at], g[at], h[at]];
        for (column, value) in column.0.iter_mut().zip(values) {
            *column = f64::from(value);
        }
    }
}

/// Adds a block's terms to the sums of a tile: products, or else squares of differences.
fn add(
    isa: Isa,
    products: bool,
    tile: &Tile,
    first: &[Eight],
    second: &[Eight],
    sums: &mut [Eight; ROWS],
) {
    match (isa, products) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` names only what this processor has.
        (Isa::Avx512, true) => unsafe { avx512::<true>(tile, first, second, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx512, false) => unsafe { avx512::<false>(tile, first, second, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx2, true) => unsafe { avx2::<true>(tile, first, second, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx2, false) => unsafe { avx2::<false>(tile, first, second, sums) },
        (_, true) => plain::<true>(tile, first, second, sums),
        (_, false) => plain::<false>(tile, first, second, sums),
    }
}

fn plain<const PRODUCTS: bool>(
    tile: &Tile,
    first: &[Eight],
    second: &[Eight],
    sums: &mut [Eight; ROWS],
) {
    for (row, sums) in sums[..tile.count].iter_mut().enumerate() {
        let row = tile.from + row;
        let mut found = sums.0;
        for (first, second) in first.iter().zip(second) {
            let value = first.0[row];
            for (found, other) in found.iter_mut().zip(&second.0) {
                let difference = value - other;
                *found += if PRODUCTS {
                    value * other
                } else {
                    difference * difference
                };
            }
        }
        sums.0 = found;
    }
}

/// Defines the function of an instruction set, whose vectors have `$lanes` of the eight rows.
#[cfg(target_arch = "x86_64")]
macro_rules! ordered {
    (
        $name:ident $rows:ident $features:literal
        $lanes:literal $vector:ident: $zero:ident $all:ident $sub:ident $mul:ident $add:ident
    ) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $rows<const COUNT: usize, const PRODUCTS: bool>(
            from: usize,
            first: &[Eight],
            second: &[Eight],
            sums: &mut [Eight; ROWS],
        ) {
            const PARTS: usize = LANES / $lanes;
            assert!(from < LANES && from + COUNT <= LANES);
            let mut found = [[$zero(); PARTS]; COUNT];
            for row in 0..COUNT {
                for part in 0..PARTS {
                    let lanes = sums[row].0.as_chunks::<$lanes>().0[part];
                    // SAFETY: a vector is its lanes.
                    found[row][part] = unsafe { transmute::<[f64; $lanes], $vector>(lanes) };
                }
            }
            for (first, second) in first.iter().zip(second) {
                let mut others = [$zero(); PARTS];
                for part in 0..PARTS {
                    let lanes = second.0.as_chunks::<$lanes>().0[part];
                    // SAFETY: as above.
                    others[part] = unsafe { transmute::<[f64; $lanes], $vector>(lanes) };
                }
                for row in 0..COUNT {
                    let value = $all(first.0[from + row]);
                    for part in 0..PARTS {
                        let term = if PRODUCTS {
                            $mul(value, others[part])
                        } else {
                            let difference = $sub(value, others[part]);
                            $mul(difference, difference)
                        };
                        found[row][part] = $add(found[row][part], term);
                    }
                }
            }
            for row in 0..COUNT {
                for part in 0..PARTS {
                    // SAFETY: as above.
                    let lanes = unsafe { transmute::<$vector, [f64; $lanes]>(found[row][part]) };
                    sums[row].0.as_chunks_mut::<$lanes>().0[part] = lanes;
                }
            }
        }

        #[target_feature(enable = $features)]
        fn $name<const PRODUCTS: bool>(
            tile: &Tile,
            first: &[Eight],
            second: &[Eight],
            sums: &mut [Eight; ROWS],
        ) {
            match tile.count {
                1 => $rows::<1, PRODUCTS>(tile.from, first, second, sums),
                2 => $rows::<2, PRODUCTS>(tile.from, first, second, sums),
                3 => $rows::<3, PRODUCTS>(tile.from, first, second, sums),
                _ => $rows::<4, PRODUCTS>(tile.from, first, second, sums),
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
ordered! {
    avx512 rows_512 "avx512f"
    8 __m512d: _mm512_setzero_pd _mm512_set1_pd _mm512_sub_pd _mm512_mul_pd _mm512_add_pd
}
#[cfg(target_arch = "x86_64")]
ordered! {
    avx2 rows_256 "avx2"
    4 __m256d: _mm256_setzero_pd _mm256_set1_pd _mm256_sub_pd _mm256_mul_pd _mm256_add_pd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_every_pair_once() {
        for (n, itself) in (0..40).flat_map(|n| [(n, false), (n, true)]) {
            let mut seen = vec![0; n * n];
            for tile in tiles(n, itself) {
                assert!((1..=ROWS).contains(&tile.count) && tile.from + tile.count <= LANES);
                for row in 0..tile.count {
                    let row = LANES * tile.first + tile.from + row;
                    let others = LANES * tile.second..n.min(LANES * tile.second + LANES);
                    others
                        .filter(|other| row < *other || itself && row == *other)
                        .for_each(|other| seen[row * n + other] += 1);
                }
            }
            for (at, seen) in seen.iter().enumerate() {
                let (row, other) = (at / n, at % n);
                let wanted = row < other || itself && row == other;
                assert_eq!(*seen, i32::from(wanted), "{at} of {n}");
            }
        }
    }
}

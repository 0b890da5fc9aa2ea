//! Order statistics of few rows, as many as a round usually has clients: the keys of a column go through a sorting
//! network in registers, and many columns do so side by side.
//!
//! The comparisons that no wanted place depends on are left out by the compiler. The networks are the shortest
//! that are known (Knuth 1998, section 5.3.4, and searches since).

use super::keys::{EXPONENT, key};

/// Whether there is a network for so many rows and the keys at this place from either end.
pub(super) fn has(rows: usize, low: usize) -> bool {
    matches!(
        (rows, low),
        (3 | 4, 1) | (5 | 6, 1 | 2) | (7 | 8, 1 | 3) | (9 | 10, 1 | 4)
    )
}

/// Defines the functions of one number of rows: the keys at the place `LOW` from either end of each column, and
/// whether a value of it is not finite; the mean of the values between two keys, as `mean_block` has it.
macro_rules! network {
    ($name:ident $mean:ident $n:literal: $($row:literal)*; $($a:literal $b:literal),*) => {
        #[inline(always)]
        fn $name<const LOW: usize>(
            rows: &[&[f32]],
            start: usize,
            lows: &mut [u32],
            highs: &mut [u32],
            bad: &mut [u32],
        ) {
            let columns = bad.len();
            let (lows, highs) = (&mut lows[..columns], &mut highs[..columns]);
            let rows: [&[f32]; $n] = [$(&rows[$row][start..][..columns]),*];
            for column in 0..columns {
                let mut most = 0;
                $(most = most.max(rows[$row][column].to_bits() & EXPONENT);)*
                bad[column] = u32::from(most == EXPONENT);
                let mut keys = [$(key(rows[$row][column])),*];
                $({
                    let (a, b) = (keys[$a], keys[$b]);
                    (keys[$a], keys[$b]) = (a.min(b), a.max(b));
                })*
                lows[column] = keys[LOW];
                highs[column] = keys[$n - 1 - LOW];
            }
        }

        #[inline(always)]
        fn $mean(
            rows: &[&[f32]],
            start: usize,
            lows: &[u32],
            highs: &[u32],
            out: &mut [f32],
            ties: &mut [u32],
            counted: &mut [u32],
        ) {
            let columns = out.len();
            let (lows, highs) = (&lows[..columns], &highs[..columns]);
            let ties = &mut ties[..columns];
            let rows: [&[f32]; $n] = [$(&rows[$row][start..][..columns]),*];
            let mut hits = [0_u32; $n];
            for column in 0..columns {
                let (low, high) = (lows[column], highs[column]);
                let (mut sum, mut left) = (-0.0_f64, 0_u32);
                $({
                    let value = rows[$row][column];
                    let counts = (low <= key(value)) & (key(value) <= high);
                    sum += if counts { f64::from(value) } else { -0.0 };
                    left = left.wrapping_add(u32::from(counts));
                    hits[$row] = hits[$row].wrapping_add(u32::from(counts));
                })*
                out[column] = (sum / f64::from(left)) as f32;
                ties[column] = left;
            }
            for (counted, hits) in counted.iter_mut().zip(hits) {
                *counted += hits;
            }
        }
    };
}

network! { three mean_of_three 3: 0 1 2;
    0 2, 0 1, 1 2
}
network! { four mean_of_four 4: 0 1 2 3;
    0 2, 1 3, 0 1, 2 3, 1 2
}
network! { five mean_of_five 5: 0 1 2 3 4;
    0 3, 1 4, 0 2, 1 3, 0 1, 2 4, 1 2, 3 4, 2 3
}
network! { six mean_of_six 6: 0 1 2 3 4 5;
    0 5, 1 3, 2 4, 1 2, 3 4, 0 3, 2 5, 0 1, 2 3, 4 5, 1 2, 3 4
}
network! { seven mean_of_seven 7: 0 1 2 3 4 5 6;
    0 6, 2 3, 4 5, 0 2, 1 4, 3 6, 0 1, 2 5, 3 4, 1 2, 4 6, 2 3, 4 5, 1 2, 3 4, 5 6
}
network! { eight mean_of_eight 8: 0 1 2 3 4 5 6 7;
    0 2, 1 3, 4 6, 5 7, 0 4, 1 5, 2 6, 3 7, 0 1, 2 3, 4 5, 6 7, 2 4, 3 5, 1 4, 3 6, 1 2, 3 4, 5 6
}
network! { nine mean_of_nine 9: 0 1 2 3 4 5 6 7 8;
    0 3, 1 7, 2 5, 4 8, 0 7, 2 4, 3 8, 5 6, 0 2, 1 3, 4 5, 7 8, 1 4, 3 6, 5 7, 0 1, 2 4, 3 5, 6 8,
    2 3, 4 5, 6 7, 1 2, 3 4, 5 6
}
network! { ten mean_of_ten 10: 0 1 2 3 4 5 6 7 8 9;
    0 8, 1 9, 2 7, 3 5, 4 6, 0 2, 1 4, 5 8, 7 9, 0 3, 2 4, 5 7, 6 9, 0 1, 3 6, 8 9, 1 5, 2 3, 4 8,
    6 7, 1 2, 3 5, 4 6, 7 8, 2 3, 4 5, 6 7, 3 4, 5 6
}

multiversion! {
    /// Keys at a place from either end of each column's order, for what [`has`] a network.
    pub(super) fn places(
        rows: &[&[f32]],
        start: usize,
        low: usize,
        lows: &mut [u32],
        highs: &mut [u32],
        bad: &mut [u32],
    ) {
        match (rows.len(), low) {
            (3, 1) => three::<1>(rows, start, lows, highs, bad),
            (4, 1) => four::<1>(rows, start, lows, highs, bad),
            (5, 1) => five::<1>(rows, start, lows, highs, bad),
            (5, 2) => five::<2>(rows, start, lows, highs, bad),
            (6, 1) => six::<1>(rows, start, lows, highs, bad),
            (6, 2) => six::<2>(rows, start, lows, highs, bad),
            (7, 1) => seven::<1>(rows, start, lows, highs, bad),
            (7, 3) => seven::<3>(rows, start, lows, highs, bad),
            (8, 1) => eight::<1>(rows, start, lows, highs, bad),
            (8, 3) => eight::<3>(rows, start, lows, highs, bad),
            (9, 1) => nine::<1>(rows, start, lows, highs, bad),
            (9, 4) => nine::<4>(rows, start, lows, highs, bad),
            (10, 1) => ten::<1>(rows, start, lows, highs, bad),
            (10, 4) => ten::<4>(rows, start, lows, highs, bad),
            _ => unreachable!("a place without a network"),
        }
    }

    /// Mean of the values of each column between two keys, for as many rows as [`has`] a network.
    pub(super) fn means(
        rows: &[&[f32]],
        start: usize,
        lows: &[u32],
        highs: &[u32],
        out: &mut [f32],
        ties: &mut [u32],
        counted: &mut [u32],
    ) {
        match rows.len() {
            3 => mean_of_three(rows, start, lows, highs, out, ties, counted),
            4 => mean_of_four(rows, start, lows, highs, out, ties, counted),
            5 => mean_of_five(rows, start, lows, highs, out, ties, counted),
            6 => mean_of_six(rows, start, lows, highs, out, ties, counted),
            7 => mean_of_seven(rows, start, lows, highs, out, ties, counted),
            8 => mean_of_eight(rows, start, lows, highs, out, ties, counted),
            9 => mean_of_nine(rows, start, lows, highs, out, ties, counted),
            10 => mean_of_ten(rows, start, lows, highs, out, ties, counted),
            _ => unreachable!("rows without a network"),
        }
    }
}

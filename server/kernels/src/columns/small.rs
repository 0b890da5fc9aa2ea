//! Order statistics of few rows, as many as a round usually has clients: the values of a column go through a sorting
//! network in registers, the result is made of them at once, and many columns do so side by side.
//!
//! The comparisons that no wanted place depends on are left out by the compiler. The networks are the shortest
//! that are known (Knuth 1998, section 5.3.4, and searches since).

use super::keys::{EXPONENT, key, value};

/// Whether there is a network for so many rows.
pub(super) fn has(rows: usize) -> bool {
    (3..=10).contains(&rows)
}

/// Defines the functions of one number of rows, of which `$low` is the lower middle one: the median of each column,
/// and its mean without the lowest and the highest value. Both are not a number where a value is not finite; `ties`
/// is how many values counted, and `counted` how often each row's did.
macro_rules! network {
    ($median:ident $mean:ident $n:literal $low:literal: $($row:literal)*; $($a:literal $b:literal),*) => {
        #[inline(always)]
        fn $median(rows: &[&[f32]], start: usize, out: &mut [f32], ties: &mut [u32], counted: &mut [u32]) {
            let columns = out.len();
            let ties = &mut ties[..columns];
            let rows: [&[f32]; $n] = [$(&rows[$row][start..][..columns]),*];
            let mut hits = [0_u32; $n];
            for column in 0..columns {
                let mut most = 0;
                $(most = most.max(rows[$row][column].to_bits() & EXPONENT);)*
                let mut keys = [$(key(rows[$row][column])),*];
                $({
                    let (a, b) = (keys[$a], keys[$b]);
                    (keys[$a], keys[$b]) = (a.min(b), a.max(b));
                })*
                let median = value(keys[$low]);
                let mut found = 0_u32;
                $({
                    let hit = u32::from(rows[$row][column].to_bits() == median.to_bits());
                    // Rows and columns of a block are few; a look for overflow would be made one by one.
                    found = found.wrapping_add(hit);
                    hits[$row] = hits[$row].wrapping_add(hit);
                })*
                ties[column] = found;
                out[column] = if most == EXPONENT { f32::NAN } else { median };
            }
            for (counted, hits) in counted.iter_mut().zip(hits) {
                *counted += hits;
            }
        }

        #[inline(always)]
        fn $mean(rows: &[&[f32]], start: usize, out: &mut [f32], ties: &mut [u32], counted: &mut [u32]) {
            let columns = out.len();
            let ties = &mut ties[..columns];
            let rows: [&[f32]; $n] = [$(&rows[$row][start..][..columns]),*];
            let mut hits = [0_u32; $n];
            for column in 0..columns {
                let mut most = 0;
                $(most = most.max(rows[$row][column].to_bits() & EXPONENT);)*
                let mut keys = [$(key(rows[$row][column])),*];
                $({
                    let (a, b) = (keys[$a], keys[$b]);
                    (keys[$a], keys[$b]) = (a.min(b), a.max(b));
                })*
                let (low, high) = (keys[1], keys[$n - 2]);
                let (mut sum, mut left) = (-0.0_f64, 0_u32);
                $({
                    let value = rows[$row][column];
                    let counts = (low <= key(value)) & (key(value) <= high);
                    // What does not count adds -0, which changes no sum.
                    sum += f64::from(if counts { value } else { -0.0 });
                    left = left.wrapping_add(u32::from(counts));
                    hits[$row] = hits[$row].wrapping_add(u32::from(counts));
                })*
                ties[column] = left;
                let mean = (sum / f64::from(left)) as f32;
                out[column] = if most == EXPONENT { f32::NAN } else { mean };
            }
            for (counted, hits) in counted.iter_mut().zip(hits) {
                *counted += hits;
            }
        }
    };
}

network! { median_of_three mean_of_three 3 1: 0 1 2;
    0 2, 0 1, 1 2
}
network! { median_of_four mean_of_four 4 1: 0 1 2 3;
    0 2, 1 3, 0 1, 2 3, 1 2
}
network! { median_of_five mean_of_five 5 2: 0 1 2 3 4;
    0 3, 1 4, 0 2, 1 3, 0 1, 2 4, 1 2, 3 4, 2 3
}
network! { median_of_six mean_of_six 6 2: 0 1 2 3 4 5;
    0 5, 1 3, 2 4, 1 2, 3 4, 0 3, 2 5, 0 1, 2 3, 4 5, 1 2, 3 4
}
network! { median_of_seven mean_of_seven 7 3: 0 1 2 3 4 5 6;
    0 6, 2 3, 4 5, 0 2, 1 4, 3 6, 0 1, 2 5, 3 4, 1 2, 4 6, 2 3, 4 5, 1 2, 3 4, 5 6
}
network! { median_of_eight mean_of_eight 8 3: 0 1 2 3 4 5 6 7;
    0 2, 1 3, 4 6, 5 7, 0 4, 1 5, 2 6, 3 7, 0 1, 2 3, 4 5, 6 7, 2 4, 3 5, 1 4, 3 6, 1 2, 3 4, 5 6
}
network! { median_of_nine mean_of_nine 9 4: 0 1 2 3 4 5 6 7 8;
    0 3, 1 7, 2 5, 4 8, 0 7, 2 4, 3 8, 5 6, 0 2, 1 3, 4 5, 7 8, 1 4, 3 6, 5 7, 0 1, 2 4, 3 5, 6 8,
    2 3, 4 5, 6 7, 1 2, 3 4, 5 6
}
network! { median_of_ten mean_of_ten 10 4: 0 1 2 3 4 5 6 7 8 9;
    0 8, 1 9, 2 7, 3 5, 4 6, 0 2, 1 4, 5 8, 7 9, 0 3, 2 4, 5 7, 6 9, 0 1, 3 6, 8 9, 1 5, 2 3, 4 8,
    6 7, 1 2, 3 5, 4 6, 7 8, 2 3, 4 5, 6 7, 3 4, 5 6
}

multiversion! {
    /// Lower median of each column, for as many rows as there [is](has) a network.
    pub(super) fn medians(rows: &[&[f32]], start: usize, out: &mut [f32], ties: &mut [u32], counted: &mut [u32]) {
        match rows.len() {
            3 => median_of_three(rows, start, out, ties, counted),
            4 => median_of_four(rows, start, out, ties, counted),
            5 => median_of_five(rows, start, out, ties, counted),
            6 => median_of_six(rows, start, out, ties, counted),
            7 => median_of_seven(rows, start, out, ties, counted),
            8 => median_of_eight(rows, start, out, ties, counted),
            9 => median_of_nine(rows, start, out, ties, counted),
            10 => median_of_ten(rows, start, out, ties, counted),
            _ => unreachable!("rows without a network"),
        }
    }

    /// Mean of each column without its lowest and its highest value, for as many rows as there [is](has) a network.
    pub(super) fn means(rows: &[&[f32]], start: usize, out: &mut [f32], ties: &mut [u32], counted: &mut [u32]) {
        match rows.len() {
            3 => mean_of_three(rows, start, out, ties, counted),
            4 => mean_of_four(rows, start, out, ties, counted),
            5 => mean_of_five(rows, start, out, ties, counted),
            6 => mean_of_six(rows, start, out, ties, counted),
            7 => mean_of_seven(rows, start, out, ties, counted),
            8 => mean_of_eight(rows, start, out, ties, counted),
            9 => mean_of_nine(rows, start, out, ties, counted),
            10 => mean_of_ten(rows, start, out, ties, counted),
            _ => unreachable!("rows without a network"),
        }
    }
}

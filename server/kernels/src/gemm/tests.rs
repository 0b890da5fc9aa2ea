//! Products compared with a naive one, bit for bit.

use super::{Left, NR, Packed, Right, Start, multiply, multiply_serial, product};
use crate::{
    Isa,
    tests_support::{each_isa, noise},
};

fn naive(x: &[f32], w: &[f32], start: &[f32], (m, n, k): (usize, usize, usize)) -> Vec<f32> {
    let mut c = start.to_vec();
    for i in 0..m {
        for j in 0..n {
            for p in 0..k {
                c[i * n + j] = x[i * k + p].mul_add(w[j * k + p], c[i * n + j]);
            }
        }
    }
    c
}

const SHAPES: [(usize, usize, usize); 9] = [
    (1, 32, 64),
    (1, 7, 3),
    (3, 33, 17),
    (14, 64, 40),
    (15, 16, 9),
    (29, 100, 31),
    (60, 192, 192),
    (5, 300, 1),
    (64, 17, 130),
];

#[test]
fn every_kernel_gives_the_bits_of_the_naive_chain() {
    each_isa(|isa| {
        for shape in SHAPES {
            let (m, n, k) = shape;
            let x = noise(m * k, 1);
            let w = noise(n * k, 2);
            let expected = naive(&x, &w, &vec![0.0; m * n], shape);
            let packed = Packed::new(&w, n, k);
            assert_eq!(product(&x, m, &packed), expected, "{isa:?} {shape:?}");

            // B in place, A transposed, chains that start at C.
            let transposed: Vec<f32> = (0..n * k).map(|i| w[(i % n) * k + i / n]).collect();
            let x_columns: Vec<f32> = (0..m * k).map(|i| x[(i % m) * k + i / m]).collect();
            let start = noise(m * n, 3);
            let mut c = start.clone();
            let right = Right::rows(&transposed, n);
            let left = Left::transposed(&x_columns, m);
            multiply(shape, left, right, &mut c, n, Start::Output);
            let expected = naive(&x, &w, &start, shape);
            assert_eq!(c, expected, "{isa:?} {shape:?} in place");
            let mut c = start;
            multiply_serial(
                shape,
                Left::rows(&x, k),
                packed.right(),
                &mut c,
                n,
                Start::Output,
            );
            assert_eq!(c, expected, "{isa:?} {shape:?} serial");
        }
    });
}

#[test]
fn rows_and_transposes_survive_packing() {
    let (n, k) = (NR + 5, 19);
    let w = noise(n * k, 4);
    let packed = Packed::new(&w, n, k);
    let mut row = vec![0.0; k];
    for i in 0..n {
        packed.copy_row(i, &mut row);
        assert_eq!(row, w[i * k..(i + 1) * k]);
    }
    let back = packed.transposed();
    let mut column = vec![0.0; n];
    for i in 0..k {
        back.copy_row(i, &mut column);
        assert!((0..n).all(|j| column[j] == w[j * k + i]));
        column.fill(0.0);
        packed.copy_column(i, &mut column);
        assert!((0..n).all(|j| column[j] == w[j * k + i]));
    }
}

#[test]
fn columns_beyond_the_output_stay_untouched() {
    each_isa(|isa| {
        let (m, n, k, width) = (5, 13, 8, 20);
        let x = noise(m * k, 5);
        let w = Packed::new(&noise(n * k, 6), n, k);
        let mut c = vec![7.0; m * width];
        multiply(
            (m, n, k),
            Left::rows(&x, k),
            w.right(),
            &mut c,
            width,
            Start::Zero,
        );
        let spared = c
            .chunks(width)
            .all(|row| row[n..].iter().all(|&v| v == 7.0));
        assert!(spared, "{isa:?} wrote beyond its columns");
    });
    assert!(Isa::Portable.available());
}

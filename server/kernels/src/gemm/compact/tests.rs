//! Compact products against f32 ones, bit for bit.

use super::{Bits, Compact, Format, Rounding, RowParts, approx, products, round_rows_to};
use crate::{
    gemm::{self, Left, Packed, Start},
    memory::Shared,
    tests_support::{each_isa, noise},
};

const FORMATS: [Format; 9] = [
    of(Bits::Four { zero: 8 }, 32, true, false),
    of(Bits::Four { zero: 0 }, 32, true, true),
    of(Bits::Four { zero: 4 }, 16, false, false),
    of(Bits::Four { zero: 0 }, 16, false, true),
    of(Bits::Eight, 32, true, false),
    of(Bits::Eight, 32, false, true),
    of(Bits::Eight, 16, false, false),
    of(Bits::Bf16, 1, false, false),
    of(Bits::F16, 1, false, false),
];

const fn of(bits: Bits, block: usize, half: bool, least: bool) -> Format {
    Format {
        bits,
        block,
        half,
        least,
    }
}

/// A matrix of arbitrary values that the format holds, and its values in f32.
fn matrix(format: Format, out: usize, inner: usize) -> (Compact, Vec<f32>) {
    let hash = |i: usize| {
        (i as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
    };
    let float = |i: usize| half::f16::from_f32((hash(i) % 1999) as f32 / 999.0 - 1.0);
    if !format.has_scales() {
        let bits = |i: usize, k: usize| match (hash(i * inner + k) % 97, format.bits) {
            // Zeros with both signs and subnormal values too.
            (0, _) => 0x8000,
            (1, Bits::F16) => 0x0003,
            (_, Bits::F16) => float(i * inner + k).to_bits(),
            _ => half::bf16::from_f32(float(i * inner + k).to_f32()).to_bits(),
        };
        let values = (0..out * inner).map(|i| {
            let bits = bits(i / inner, i % inner);
            match format.bits {
                Bits::F16 => half::f16::from_bits(bits).to_f32(),
                _ => half::bf16::from_bits(bits).to_f32(),
            }
        });
        let values = values.collect();
        return (Compact::from_floats(out, inner, format, &bits), values);
    }
    let scale = |i: usize| match format.half {
        true => float(i).to_f32(),
        false => float(i).to_f32() * 61.0,
    };
    let quant = |i: usize| match format.bits {
        Bits::Four { zero } => (hash(i + 5) % 16) as i8 - zero as i8,
        _ => (hash(i + 5) % 256) as u8 as i8,
    };
    let blocks = inner / format.block;
    let compact = Compact::from_rows(out, inner, format, &|row, parts: RowParts<'_>| {
        for (k, target) in parts.quants.iter_mut().enumerate() {
            *target = quant(row * inner + k);
        }
        for block in 0..blocks {
            parts.scales[block] = scale(row * blocks + block);
            parts.leasts[block] = scale(row * blocks + block + 77);
        }
    });
    let values = (0..out * inner).map(|i| {
        let block = i / format.block;
        let value = scale(block) * f32::from(quant(i));
        match format.least {
            true => value + scale(block + 77),
            false => value,
        }
    });
    (compact, values.collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn values_and_products_have_the_bits_of_f32() {
    each_isa(|isa| {
        for format in FORMATS {
            for (out, inner) in [(32, 32), (70, 96), (97, 576), (5, 160)] {
                let (compact, values) = matrix(format, out, inner);
                let mut row = vec![0.0; inner];
                for (i, expected) in values.chunks_exact(inner).enumerate() {
                    compact.copy_row(i, &mut row);
                    assert_eq!(bits(&row), bits(expected), "{isa:?} {format:?} row {i}");
                }
                assert_eq!(bits(&compact.values()), bits(&values), "{isa:?} {format:?}");
                let packed = Packed::new(&values, out, inner);
                let (back, expected) = (Packed::transpose_of(&compact), packed.transposed());
                let (back, expected) = (back.right().data, expected.right().data);
                assert_eq!(bits(back), bits(expected), "{isa:?} {format:?} transposed");
                for m in [1, 2, 3, 4, 5, 8, 17, 47] {
                    let x = noise(m * inner, m as u64);
                    let real = gemm::product(&x, m, &packed);
                    let ours = compact.product(&x, m);
                    assert_eq!(bits(&ours), bits(&real), "{isa:?} {format:?} {m} rows");
                    // The chain continues from the output's earlier content.
                    let (mut ours, mut goes_on) = (ours, real);
                    products(&x, m, &[(&compact, Shared::new(&mut ours))], Start::Output);
                    let (left, right) = (Left::rows(&x, inner), packed.right());
                    gemm::multiply(
                        (m, out, inner),
                        left,
                        right,
                        &mut goes_on,
                        out,
                        Start::Output,
                    );
                    assert_eq!(bits(&ours), bits(&goes_on), "{isa:?} {format:?} {m} rows");
                }
            }
        }
    });
}

#[test]
fn several_matrices_share_a_product() {
    each_isa(|_| {
        let inner = 64;
        let matrices = [(FORMATS[1], 70), (FORMATS[4], 32), (FORMATS[7], 97)]
            .map(|(format, out)| matrix(format, out, inner).0);
        for m in [1, 3, 9] {
            let x = noise(m * inner, 5);
            let mut outputs: Vec<Vec<f32>> = matrices
                .iter()
                .map(|matrix| vec![7.0; m * matrix.out()])
                .collect();
            let parts: Vec<_> = matrices
                .iter()
                .zip(&mut outputs)
                .map(|(matrix, output)| (matrix, Shared::new(output)))
                .collect();
            products(&x, m, &parts, Start::Zero);
            for (matrix, output) in matrices.iter().zip(&outputs) {
                assert_eq!(*output, matrix.product(&x, m));
            }
        }
    });
}

#[test]
fn integer_products_are_near_the_exact_ones() {
    each_isa(|_| {
        for format in FORMATS {
            let (out, inner) = (70, 576);
            let (compact, _) = matrix(format, out, inner);
            if !approx::takes(&compact) {
                continue;
            }
            for m in [1, 2, 3, 4, 5, 6, 7, 20] {
                let x = noise(m * inner, 3);
                let exact = compact.product(&x, m);
                let mut ours = vec![0.0; m * out];
                approx::products(&x, m, &[(&compact, Shared::new(&mut ours))]);
                let size = exact.iter().map(|v| f64::from(v * v)).sum::<f64>();
                let off = exact
                    .iter()
                    .zip(&ours)
                    .map(|(a, b)| f64::from((a - b) * (a - b)));
                let off = off.sum::<f64>();
                assert!(off < 1e-4 * size, "{format:?} {m}: {}", (off / size).sqrt());
            }
        }
    });
}

#[test]
fn rows_of_bytes_are_the_same_everywhere() {
    let rows = std::sync::Mutex::new(Vec::new());
    let mut x = noise(6 * 64, 11);
    // A block of zeros, one with a single value, and values half way between two bytes.
    x[..32].fill(0.0);
    x[32..64].fill(0.0);
    x[40] = -3.0;
    for (i, value) in x[64..96].iter_mut().enumerate() {
        *value = if i == 0 { 127.0 } else { i as f32 - 16.5 };
    }
    each_isa(|_| {
        for block in [16, 32] {
            rows.lock()
                .unwrap()
                .push(format!("{:?}", approx::ByteRows::new(&x, 64, block)));
        }
    });
    let rows = rows.into_inner().unwrap();
    assert!(rows.iter().step_by(2).all(|other| *other == rows[0]));
    assert!(
        rows.iter()
            .skip(1)
            .step_by(2)
            .all(|other| *other == rows[1])
    );
}

#[test]
fn rounding_stays_within_half_a_step() {
    let (out, inner) = (40, 96);
    let values = noise(out * inner, 8);
    for (rounding, most) in [
        (Rounding::Bf16, 1.0 / 256.0),
        (Rounding::Q8, 1.01 / 254.0),
        (Rounding::Q4, 2.02 / 30.0),
    ] {
        let compact = round_rows_to(&values, out, inner, rounding).unwrap();
        let mut row = vec![0.0; inner];
        for (i, values) in values.chunks_exact(inner).enumerate() {
            compact.copy_row(i, &mut row);
            for (a, b) in values.iter().zip(&row) {
                assert!((a - b).abs() <= most, "{rounding:?}: {a} {b}");
            }
        }
        // Rounding a rounded matrix again changes nothing.
        if rounding != Rounding::Q4 {
            let again = round_rows_to(&row, 1, inner, rounding).unwrap();
            let mut twice = vec![0.0; inner];
            again.copy_row(0, &mut twice);
            assert_eq!(twice, row, "{rounding:?}");
        }
    }
    assert!(round_rows_to(&values[..30], 1, 30, Rounding::Q4).is_none());
    assert!(round_rows_to(&[1e6; 32], 1, 32, Rounding::Q8).is_none());
}

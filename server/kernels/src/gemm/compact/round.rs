//! Rounding of f32 matrices to few bits, where the user asks for it.

use half::{bf16, f16};

use super::{Bits, Compact, Format, RowParts};

/// Target of a rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The nearest bf16 values.
    Bf16,
    /// 8 bits and an f16 scale for every 32 values.
    Q8,
    /// 4 bits, an f16 scale and an f16 least value for every 32 values.
    Q4,
}

/// Values of a row that share a scale.
const BLOCK: usize = 32;

impl Rounding {
    /// Returns the layout of the result.
    pub fn format(self) -> Format {
        let of = |bits, least| Format {
            bits,
            block: BLOCK,
            half: true,
            least,
        };
        match self {
            Self::Bf16 => Format::floats(Bits::Bf16),
            Self::Q8 => of(Bits::Eight, false),
            Self::Q4 => of(Bits::Four { zero: 0 }, true),
        }
    }

    /// Whether rows of this length can be rounded: blocks must be whole, and scales must be
    /// within f16.
    fn takes(self, values: &[f32], inner: usize) -> bool {
        let fits = |value: &f32| value.abs() <= f32::from(f16::MAX) / 16.0;
        self == Self::Bf16 || inner.is_multiple_of(BLOCK) && values.iter().all(fits)
    }
}

/// Rounds `[out, inner]`, row-major. Returns `None` when a row is not whole blocks, or when a value
/// is too large for the scales: such a matrix is better left in f32.
///
/// # Panics
/// When there are not `out * inner` values.
pub fn round_rows_to(values: &[f32], out: usize, inner: usize, to: Rounding) -> Option<Compact> {
    assert_eq!(values.len(), out * inner, "shape of a weight");
    if !to.takes(values, inner) {
        return None;
    }
    let row = |row: usize| &values[row * inner..(row + 1) * inner];
    Some(match to {
        Rounding::Bf16 => Compact::from_floats(out, inner, to.format(), &|i, k| {
            bf16::from_f32(row(i)[k]).to_bits()
        }),
        Rounding::Q8 => Compact::from_rows(out, inner, to.format(), &|i, parts| {
            each_block(row(i), parts, |values, quants| {
                let most = values
                    .iter()
                    .fold(0.0f32, |most, value| most.max(value.abs()));
                let scale = f16::from_f32(most / 127.0).to_f32();
                quantise(values, quants, scale, 0.0, (-127.0, 127.0));
                (scale, 0.0)
            });
        }),
        Rounding::Q4 => Compact::from_rows(out, inner, to.format(), &|i, parts| {
            each_block(row(i), parts, |values, quants| {
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let least = f16::from_f32(low).to_f32();
                let scale = f16::from_f32((high - least).max(0.0) / 15.0).to_f32();
                quantise(values, quants, scale, least, (0.0, 15.0));
                (scale, least)
            });
        }),
    })
}

fn each_block(
    values: &[f32],
    parts: RowParts<'_>,
    mut round: impl FnMut(&[f32], &mut [i8]) -> (f32, f32),
) {
    let blocks = values
        .chunks_exact(BLOCK)
        .zip(parts.quants.chunks_exact_mut(BLOCK));
    let heads = parts.scales.iter_mut().zip(parts.leasts.iter_mut());
    for ((values, quants), (scale, least)) in blocks.zip(heads) {
        (*scale, *least) = round(values, quants);
    }
}

fn quantise(values: &[f32], quants: &mut [i8], scale: f32, least: f32, range: (f32, f32)) {
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (value, quant) in values.iter().zip(quants) {
        let q = ((value - least) * inverse).round_ties_even();
        *quant = q.clamp(range.0, range.1) as i8;
    }
}

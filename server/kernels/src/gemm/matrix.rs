//! A frozen matrix in the storage of its numeric mode.

use super::{
    Left, Packed, Start,
    compact::{self, Compact, approx},
    multiply_into,
    pairs::{PackedPairs, Rows, multiply_pairs},
};
use crate::{
    Numerics,
    memory::{self, Shared},
};

/// `[out, inner]`, packed for products `x · Wᵀ`.
#[derive(Debug)]
pub enum Matrix {
    /// Exact.
    F32(Packed),
    /// Fast: 16 bits.
    Pairs(PackedPairs),
    /// Exact, in as few bits as its file has.
    Compact(Compact),
}

impl Matrix {
    /// Packs `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When there are not `out * inner` values.
    pub fn new(weight: &[f32], out: usize, inner: usize, numerics: Numerics) -> Self {
        match numerics {
            Numerics::Exact => Self::F32(Packed::new(weight, out, inner)),
            Numerics::Fast => Self::Pairs(PackedPairs::new(weight, out, inner)),
        }
    }

    /// Returns the transpose, `[inner, out]`, for the backward pass.
    pub fn transposed(&self) -> Self {
        match self {
            Self::F32(packed) => Self::F32(packed.transposed()),
            Self::Pairs(packed) => Self::Pairs(packed.transposed()),
            Self::Compact(compact) => Self::F32(Packed::transpose_of(compact)),
        }
    }

    /// Numeric mode of its products.
    pub fn numerics(&self) -> Numerics {
        match self {
            Self::F32(_) | Self::Compact(_) => Numerics::Exact,
            Self::Pairs(_) => Numerics::Fast,
        }
    }

    /// Number of output features.
    pub fn out(&self) -> usize {
        match self {
            Self::F32(packed) => packed.out(),
            Self::Pairs(packed) => packed.out(),
            Self::Compact(compact) => compact.out(),
        }
    }

    /// Number of input features.
    pub fn inner(&self) -> usize {
        match self {
            Self::F32(packed) => packed.inner(),
            Self::Pairs(packed) => packed.inner(),
            Self::Compact(compact) => compact.inner(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(packed) => packed.bytes(),
            Self::Pairs(packed) => packed.bytes(),
            Self::Compact(compact) => compact.bytes(),
        }
    }

    /// Copies row `row` (an embedding) to `target`, `[inner]`.
    ///
    /// # Panics
    /// When the row does not exist.
    pub fn copy_row(&self, row: usize, target: &mut [f32]) {
        match self {
            Self::F32(packed) => packed.copy_row(row, target),
            Self::Pairs(packed) => packed.copy_row(row, target),
            Self::Compact(compact) => compact.copy_row(row, target),
        }
    }

    /// Copies column `k` (a row of the transpose) to `target`, `[out]`.
    ///
    /// # Panics
    /// When the column does not exist.
    pub fn copy_column(&self, k: usize, target: &mut [f32]) {
        match self {
            Self::F32(packed) => packed.copy_column(k, target),
            Self::Pairs(packed) => packed.copy_column(k, target),
            Self::Compact(compact) => {
                let mut row = vec![0.0; compact.inner()];
                for (i, target) in target[..compact.out()].iter_mut().enumerate() {
                    compact.copy_row(i, &mut row);
                    *target = row[k];
                }
            }
        }
    }

    /// Computes `x · Wᵀ` for a row-major `[m, inner]`, as a new `[m, out]`.
    pub fn product(&self, x: &[f32], m: usize) -> Vec<f32> {
        // SAFETY: nobody else knows the memory yet.
        let fill = |c: Shared| unsafe { self.multiply_into(x, m, c, Start::Zero) };
        // SAFETY: a product that starts at zero writes every element.
        unsafe { memory::filled(m * self.out(), fill) }
    }

    /// Computes `x · Wᵀ` into `c`, `[m, out]`.
    ///
    /// # Panics
    /// When an operand is too short for the shape.
    pub fn multiply(&self, x: &[f32], m: usize, c: &mut [f32], start: Start) {
        // SAFETY: `c` is borrowed uniquely for the call and initialised.
        unsafe { self.multiply_into(x, m, Shared::new(c), start) }
    }

    /// As [`multiply`](Self::multiply), into memory that may be uninitialised when `start` is
    /// zero.
    ///
    /// # Safety
    /// Nobody else may read or write the elements of C during the call; they have to be
    /// initialised when `start` is [`Start::Output`].
    pub(crate) unsafe fn multiply_into(&self, x: &[f32], m: usize, c: Shared, start: Start) {
        match self {
            Self::F32(packed) => {
                let (out, inner) = (packed.out(), packed.inner());
                let left = Left::rows(x, inner);
                // SAFETY: the caller's promises.
                unsafe {
                    multiply_into((m, out, inner), left, packed.right(), c, out, start, true);
                }
            }
            Self::Compact(compact) => compact::products(x, m, &[(compact, c)], start),
            Self::Pairs(packed) => Rows::with(x, packed.inner(), |rows| {
                // SAFETY: the caller's promises.
                unsafe { multiply_pairs(rows, packed, c, packed.out(), start) }
            }),
        }
    }
}

/// Computes products of the same rows with several matrices, `[m, out]` each, all written from
/// zero.
///
/// `integers` allows [integer products](approx) where a matrix and the processor have them.
///
/// # Panics
/// When the shapes do not fit.
pub fn products<const N: usize>(
    x: &[f32],
    m: usize,
    matrices: [&Matrix; N],
    integers: bool,
) -> [Vec<f32>; N] {
    let mut outputs = matrices.map(|matrix| Vec::with_capacity(m * matrix.out()));
    let mut compact = Vec::with_capacity(N);
    let mut shared = Vec::with_capacity(N);
    for (matrix, output) in matrices.iter().zip(&mut outputs) {
        let c = Shared::uninit(output);
        shared.push(c);
        if let Matrix::Compact(matrix) = matrix {
            compact.push((matrix, c));
        }
    }
    let alike = |parts: &[(&Compact, Shared)]| {
        let block = |part: &(&Compact, Shared)| part.0.format().block;
        parts
            .windows(2)
            .all(|pair| block(&pair[0]) == block(&pair[1]))
    };
    if compact.len() < N {
        for (matrix, c) in matrices.iter().zip(shared) {
            // SAFETY: the memory is ours; a product from zero writes every element.
            unsafe { matrix.multiply_into(x, m, c, Start::Zero) };
        }
    } else if !integers || !compact.iter().all(|(matrix, _)| approx::takes(matrix)) {
        compact::products(x, m, &compact, Start::Zero);
    } else if alike(&compact) {
        approx::products(x, m, &compact);
    } else {
        for part in compact {
            approx::products(x, m, &[part]);
        }
    }
    for (matrix, output) in matrices.iter().zip(&mut outputs) {
        // SAFETY: the capacity is that; every element was written above.
        unsafe { output.set_len(m * matrix.out()) };
    }
    outputs
}

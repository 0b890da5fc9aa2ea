//! The low-rank pair next to a frozen product.

use super::{
    gemm::{Left, Packed, Right, Start, multiply},
    math, memory,
};

/// A pair of matrices and its factor.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// `[rank, inner]`
    pub a: &'a [f32],
    /// `[out, rank]`
    pub b: &'a [f32],
    /// Rows of A.
    pub rank: usize,
    /// Factor of the pair's product.
    pub scale: f32,
}

/// A pair, packed for the forward pass.
#[derive(Debug)]
pub struct PackedPair {
    a: Packed,
    b: Packed,
    scale: f32,
}

impl PackedPair {
    /// Packs a pair.
    ///
    /// # Panics
    /// When A and B do not hold `rank` rows and columns.
    pub fn new(pair: Pair<'_>) -> Self {
        let rank = pair.rank;
        Self {
            a: Packed::new(pair.a, rank, pair.a.len() / rank),
            b: Packed::new(pair.b, pair.b.len() / rank, rank),
            scale: pair.scale,
        }
    }

    /// Adds `scale · (x · Aᵀ) · Bᵀ` to `out`, `[m, out]`, and returns `scale · x · Aᵀ`,
    /// `[m, rank]`, which the backward pass needs.
    ///
    /// # Panics
    /// When the lengths do not fit each other.
    pub fn add(&self, x: &[f32], m: usize, out: &mut [f32]) -> Vec<f32> {
        let (rank, width) = (self.a.out(), self.b.out());
        let mut low = super::gemm::product(x, m, &self.a);
        scale_in_place(&mut low, self.scale);
        let shape = (m, width, rank);
        multiply(
            shape,
            Left::rows(&low, rank),
            self.b.right(),
            out,
            width,
            Start::Output,
        );
        low
    }
}

/// Gradients of a pair.
#[derive(Debug)]
pub struct Gradients {
    /// `[rank, inner]`
    pub a: Vec<f32>,
    /// `[out, rank]`
    pub b: Vec<f32>,
}

/// Backward pass. `x` is `[m, inner]`, `low` is the result of [`PackedPair::add`], `grad` is
/// `[m, out]`. Adds to `grad_x`, `[m, inner]`, where one is given. Sums over tokens run in order.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn backward(
    x: &[f32],
    m: usize,
    low: &[f32],
    pair: Pair<'_>,
    grad: &[f32],
    grad_x: Option<&mut [f32]>,
) -> Gradients {
    let rank = pair.rank;
    let inner = pair.a.len() / rank;
    let width = pair.b.len() / rank;
    // [m, rank] = scale · grad · B
    let mut grad_low = vec![0.0; m * rank];
    let b = Right::rows(pair.b, rank);
    multiply(
        (m, rank, width),
        Left::rows(grad, width),
        b,
        &mut grad_low,
        rank,
        Start::Zero,
    );
    scale_in_place(&mut grad_low, pair.scale);
    if let Some(grad_x) = grad_x {
        let left = Left::rows(&grad_low, rank);
        multiply(
            (m, inner, rank),
            left,
            Right::rows(pair.a, inner),
            grad_x,
            inner,
            Start::Output,
        );
    }
    let mut a = vec![0.0; rank * inner];
    let left = Left::transposed(&grad_low, rank);
    multiply(
        (rank, inner, m),
        left,
        Right::rows(x, inner),
        &mut a,
        inner,
        Start::Zero,
    );
    // Computed as Bᵀ, so that the long rows of `grad` are read in order.
    let mut b = vec![0.0; rank * width];
    memory::with_scratch(rank * width, |transposed| {
        let left = Left::transposed(low, rank);
        multiply(
            (rank, width, m),
            left,
            Right::rows(grad, width),
            transposed,
            width,
            Start::Zero,
        );
        for (out, row) in b.chunks_exact_mut(rank).enumerate() {
            for (r, value) in row.iter_mut().enumerate() {
                *value = transposed[r * width + out];
            }
        }
    });
    Gradients { a, b }
}

fn scale_in_place(values: &mut [f32], scale: f32) {
    if scale != 1.0 {
        math::scale(values, scale);
    }
}

//! Products with matrices that are never trained.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// A matrix of the frozen base, `[out, inner]` row-major as in a checkpoint.
///
/// Cloning is cheap: the values are shared.
#[derive(Clone, Debug)]
pub struct FrozenWeight {
    out: usize,
    inner: usize,
    dense: Tensor<2>,
}

impl FrozenWeight {
    /// Takes the values of a matrix `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When `data` does not hold `out * inner` values; loaders check shapes before.
    pub fn new(data: Vec<f32>, out: usize, inner: usize, device: &Device) -> Self {
        assert_eq!(data.len(), out * inner, "a frozen weight needs out * inner values");
        let dense = Tensor::from_data(TensorData::new(data, [out, inner]), device).without_autodiff();
        Self { out, inner, dense }
    }

    /// Number of output features.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Number of input features.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// `x · Wᵀ`: `[tokens, inner]` to `[tokens, out]`; differentiable in `x` only.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.dense.clone().transpose())
    }

    /// The rows with these indices, `[rows.len(), inner]`: an embedding lookup.
    ///
    /// # Panics
    /// When an index is not below [`out`](Self::out).
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        let indices: Vec<i64> = rows.iter().map(|&r| i64::from(r)).collect();
        let count = indices.len();
        let indices =
            Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &self.dense.device());
        self.dense.clone().select(0, indices)
    }
}

/// `x · Wᵀ + scale · (x · Aᵀ) · Bᵀ`: a frozen matrix with a LoRA pair.
///
/// `x` is `[tokens, inner]`, `a` is `[rank, inner]`, `b` is `[out, rank]`; the result is
/// `[tokens, out]`. Differentiable in `x`, `a` and `b`.
pub fn lora_linear(
    x: Tensor<2>,
    weight: &FrozenWeight,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
) -> Tensor<2> {
    let low = x.clone().matmul(a.transpose()).matmul(b.transpose());
    weight.forward(x) + low.mul_scalar(scale)
}

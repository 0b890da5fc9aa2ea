//! A frozen matrix on a device without kernels of our own.

use burn::{
    backend::{Backend, DTypeUsage, Dispatch},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use half::bf16;

use super::host::to_host;
use crate::{TuningError, kernels::Numerics};

/// Support of a device for bf16. Adapters and activations are f32 on every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// No support: WGSL has no such type.
    None,
    /// Storage only, values are widened: SPIR-V without bf16 arithmetic.
    Kept,
    /// Products, with sums in f32.
    Multiplied,
}

impl Half {
    pub(crate) fn of(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let usage = Dispatch::dtype_usage(device.as_dispatch(), DType::BF16);
        if usage.is_superset(DTypeUsage::general()) {
            Self::Multiplied
        } else if usage.contains(DTypeUsage::Storage) {
            Self::Kept
        } else {
            Self::None
        }
    }
}

/// A matrix `[out, inner]`. It is bf16 where the device stores bf16 and either every value is exact
/// in bf16 or the mode is `fast`; else f32.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    values: Tensor<2>,
    numerics: Numerics,
    half: Half,
}

impl Dense {
    pub(super) fn new(
        data: Vec<f32>,
        shape: [usize; 2],
        device: &Device,
        numerics: Numerics,
        half: Half,
    ) -> Self {
        // A bf16 is the upper half of an f32.
        let lossless = || data.iter().all(|value| value.to_bits() & 0xffff == 0);
        let values = if half != Half::None && (numerics == Numerics::Fast || lossless()) {
            let data: Vec<bf16> = data.into_iter().map(bf16::from_f32).collect();
            Tensor::from_data(TensorData::new(data, shape), (device, DType::BF16))
        } else {
            Tensor::from_data(TensorData::new(data, shape), (device, DType::F32))
        };
        Self {
            values: values.without_autodiff(),
            numerics,
            half,
        }
    }

    pub(super) fn numerics(&self) -> Numerics {
        self.numerics
    }

    fn is_half(&self) -> bool {
        self.values.dtype() == DType::BF16
    }

    /// Computes `x · Wᵀ` in f32; with bf16 operands where the mode is `fast` and the device
    /// multiplies them.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.values.clone().transpose();
        match (self.is_half(), self.numerics, self.half) {
            (false, ..) => x.matmul(weight),
            (true, Numerics::Fast, Half::Multiplied) => {
                x.cast(DType::BF16).matmul(weight).cast(DType::F32)
            }
            // Widened for this product alone.
            (true, ..) => x.matmul(weight.cast(DType::F32)),
        }
    }

    /// Returns rows, f32.
    pub(super) fn rows(&self, rows: &[u32]) -> Tensor<2> {
        let indices: Vec<i64> = rows.iter().map(|&row| i64::from(row)).collect();
        let indices = TensorData::new(indices, [rows.len()]);
        let indices = Tensor::<1, Int>::from_data(indices, &self.values.device());
        self.wide(self.values.clone().select(0, indices))
    }

    /// Returns all values, row-major.
    pub(super) fn values(&self) -> Result<Vec<f32>, TuningError> {
        to_host(self.wide(self.values.clone()))
    }

    fn wide(&self, values: Tensor<2>) -> Tensor<2> {
        match self.is_half() {
            true => values.cast(DType::F32),
            false => values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests_support::noise;

    const SHAPE: [usize; 2] = [24, 40];
    const ROWS: usize = 9;

    fn dense(data: &[f32], numerics: Numerics, half: Half) -> Dense {
        Dense::new(data.to_vec(), SHAPE, &Device::flex(), numerics, half)
    }

    /// Returns the output, and the gradient of its sum of squares in `x`.
    fn run(weight: &Dense) -> [Vec<f32>; 2] {
        let data = TensorData::new(noise(ROWS * SHAPE[1], 2), [ROWS, SHAPE[1]]);
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(data, &device).require_grad();
        let out = weight.forward(x.clone());
        assert_eq!(out.dtype(), DType::F32);
        let mut gradients = out.clone().powi_scalar(2).sum().backward();
        let gradient = x.grad_remove(&mut gradients).unwrap();
        assert_eq!(gradient.dtype(), DType::F32);
        [out.without_autodiff(), gradient].map(|tensor| to_host(tensor).unwrap())
    }

    /// Returns the largest difference as a share of the largest value.
    fn difference(a: &[f32], b: &[f32]) -> f32 {
        let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
        most(&mut a.iter().zip(b).map(|(a, b)| (a - b).abs()))
            / most(&mut b.iter().map(|b| b.abs()))
    }

    fn rounded(data: &[f32]) -> Vec<f32> {
        data.iter().map(|&x| bf16::from_f32(x).to_f32()).collect()
    }

    #[test]
    fn bf16_is_kept_where_it_loses_nothing_or_where_the_mode_allows_it() {
        let data = noise(SHAPE[0] * SHAPE[1], 1);
        let round = rounded(&data);
        for (values, numerics, half, kept) in [
            (&data, Numerics::Exact, Half::Multiplied, false),
            (&round, Numerics::Exact, Half::Multiplied, true),
            (&round, Numerics::Exact, Half::Kept, true),
            (&data, Numerics::Fast, Half::Kept, true),
            (&data, Numerics::Fast, Half::None, false),
            (&round, Numerics::Fast, Half::None, false),
        ] {
            let weight = dense(values, numerics, half);
            assert_eq!(weight.is_half(), kept, "{numerics:?} {half:?}");
            let expected = if kept { &round } else { values };
            assert_eq!(&weight.values().unwrap(), expected);
            let rows = to_host(weight.rows(&[3, 0])).unwrap();
            assert_eq!(rows[..SHAPE[1]], expected[3 * SHAPE[1]..4 * SHAPE[1]]);
        }
    }

    #[test]
    fn products_of_bf16_are_near_those_of_f32_and_widened_ones_lose_nothing() {
        let data = rounded(&noise(SHAPE[0] * SHAPE[1], 1));
        let wide = run(&dense(&data, Numerics::Exact, Half::None));
        for (numerics, half) in [
            (Numerics::Exact, Half::Multiplied),
            (Numerics::Fast, Half::Kept),
        ] {
            for (kept, wide) in run(&dense(&data, numerics, half)).iter().zip(&wide) {
                // The order of sums may differ.
                let difference = difference(kept, wide);
                assert!(difference < 2e-6, "{numerics:?} {half:?}: {difference}");
            }
        }
        let fast = run(&dense(&data, Numerics::Fast, Half::Multiplied));
        for (fast, wide) in fast.iter().zip(&wide) {
            let difference = difference(fast, wide);
            // Operands have 8 bits; a nonzero difference shows that bf16 was multiplied.
            assert!(difference > 1e-5 && difference < 0.02, "{difference}");
        }
    }
}

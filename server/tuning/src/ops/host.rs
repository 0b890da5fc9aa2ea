//! Values of tensors on the host.

use burn::tensor::Tensor;

use crate::TuningError;

/// Copies the values of a tensor, row-major, to the host.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TuningError> {
    tensor
        .try_into_data()
        .map_err(|error| TuningError::Device(format!("{error:?}")))?
        .try_into_vec::<f32>()
        .map_err(|error| TuningError::Device(format!("{error:?}")))
}

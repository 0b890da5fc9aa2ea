//! Conversions between burn's CPU tensors and the kernels.

use burn::{
    backend::{DispatchDevice, flex::FlexTensor},
    tensor::{Device, Shape, TensorData},
};

/// Whether tensors of this device are plain CPU memory, which our kernels need.
pub(super) fn is_cpu(device: &Device) -> bool {
    // An autodiff device is a wrapper; the wrapped device counts.
    let inner = device.clone().without_autodiff();
    matches!(inner.as_dispatch(), DispatchDevice::Flex(_))
}

/// Makes a tensor contiguous, with unchanged values.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Returns the values of a contiguous f32 tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice::<f32>() {
        Some(values) => values,
        None => unreachable!("operations take contiguous f32 tensors"),
    }
}

/// Makes a tensor of these values, without a copy.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(shape)))
}

/// Returns the shape of a tensor of `D` dimensions.
pub(super) fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

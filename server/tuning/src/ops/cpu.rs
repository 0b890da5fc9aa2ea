//! Between burn's CPU tensors and the kernels.

use burn::{
    backend::{DispatchDevice, flex::FlexTensor},
    tensor::{Device, Shape, TensorData},
};

/// Whether tensors of this device are plain CPU memory, so that our kernels take them.
pub(super) fn is_cpu(device: &Device) -> bool {
    // An autodiff device is a wrapper of its own; what it wraps counts.
    let inner = device.clone().without_autodiff();
    matches!(inner.as_dispatch(), DispatchDevice::Flex(_))
}

/// The same values, contiguous.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The values of a contiguous f32 tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice::<f32>() {
        Some(values) => values,
        None => unreachable!("operations take contiguous f32 tensors"),
    }
}

/// A tensor of these values, without a copy.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(shape)))
}

/// The shape of a tensor of `D` dimensions.
pub(super) fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

//! Devices by their names on the command line.

mod check;
mod gpu;
mod kind;

use burn::tensor::Device;

use crate::{DEVICES, TuningError};
use kind::cpu;

pub use kind::DeviceKind;

/// Opens the device that `spec` names, one of [`DEVICES`]. `auto` is the best GPU that this build
/// and this machine have, else the CPU. A device other than the CPU first computes the operations
/// of a training step. It is refused when a result differs from the CPU's by more than 1e-3 of its
/// size.
///
/// # Errors
/// [`TuningError::Device`] for an unknown word, for a device that this build (the error names the
/// feature) or this machine does not have, and for one that fails the self-check.
pub fn device(spec: &str) -> Result<Device, TuningError> {
    match spec {
        "auto" => Ok(gpu::best().unwrap_or_else(cpu)),
        "cpu" => Ok(cpu()),
        "wgpu" => gpu::open(DeviceKind::Wgpu),
        "vulkan" => gpu::open(DeviceKind::Vulkan),
        "cuda" => gpu::open(DeviceKind::Cuda),
        other => Err(TuningError::Device(format!(
            "{other:?} is none of {}",
            DEVICES.join(", ")
        ))),
    }
}

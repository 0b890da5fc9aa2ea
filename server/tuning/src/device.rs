//! Devices, threads, and the fingerprint of everything the bits depend on.

mod check;
mod gpu;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{DEVICES, Model, Numerics, TuningError, kernels, ops::Half};

/// Kind of device that stores the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor; always available, with the same bits every time.
    Cpu,
    /// A GPU, or a software implementation of one, through WebGPU shaders (feature `wgpu`).
    Wgpu,
    /// A GPU through Vulkan and SPIR-V (feature `vulkan`).
    Vulkan,
    /// An NVIDIA GPU through CUDA (feature `cuda`).
    Cuda,
}

impl DeviceKind {
    /// Returns the kind of a device.
    pub fn of(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        match device.as_dispatch() {
            #[cfg(feature = "vulkan")]
            burn::backend::DispatchDevice::Cube(burn::backend::CubeDevice::Wgpu(device))
                if device.backend == burn::backend::WgpuBackend::Vulkan =>
            {
                Self::Vulkan
            }
            #[cfg(feature = "wgpu")]
            burn::backend::DispatchDevice::Cube(burn::backend::CubeDevice::Wgpu(_)) => Self::Wgpu,
            #[cfg(feature = "cuda")]
            burn::backend::DispatchDevice::Cube(burn::backend::CubeDevice::Cuda(_)) => Self::Cuda,
            _ => Self::Cpu,
        }
    }

    /// Name on the command line and in experiments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
        }
    }
}

fn cpu() -> Device {
    Device::flex()
}

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

/// Number of changes to the order of sums: results of two revisions may differ in their bits. 2: a
/// beginning that the examples of a batch share is computed once.
const REVISION: u32 = 2;

/// Returns one line with everything that the bits of a result depend on besides its inputs: engine
/// version, device and numeric mode.
pub fn fingerprint(model: &Model) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match DeviceKind::of(model.device()) {
        // The kernels' instruction set is left out on purpose: in exact mode all give the same
        // result.
        DeviceKind::Cpu if model.numerics() == Numerics::Exact => {
            format!("fedseal-tuning/{version}+{REVISION} cpu exact")
        }
        DeviceKind::Cpu => {
            // Generation multiplies integers where the processor has integer dot products.
            let integers = match kernels::gemm::compact::approx::available() {
                true => "+vnni",
                false => "",
            };
            format!("fedseal-tuning/{version}+{REVISION} cpu fast int16{integers}")
        }
        other => {
            let kind = match (model.numerics(), Half::of(model.device())) {
                (Numerics::Exact, _) | (_, Half::None) => "f32",
                (Numerics::Fast, Half::Kept) => "fast bf16-weights",
                (Numerics::Fast, Half::Multiplied) => "fast bf16",
            };
            format!(
                "fedseal-tuning/{version}+{REVISION} {} {kind}",
                other.name()
            )
        }
    }
}

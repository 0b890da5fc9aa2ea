//! Kinds of devices, and the one that is always there.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

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

    /// Whether a device emulates a card on the processor, as Mesa's software Vulkan does.
    pub fn in_software(device: &Device) -> bool {
        let device = device.clone().without_autodiff();
        match device.as_dispatch() {
            #[cfg(feature = "wgpu")]
            burn::backend::DispatchDevice::Cube(burn::backend::CubeDevice::Wgpu(device)) => {
                device.kind == burn::backend::WgpuDeviceKind::Cpu
            }
            _ => false,
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

pub(super) fn cpu() -> Device {
    Device::flex()
}

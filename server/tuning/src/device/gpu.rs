//! Devices other than the CPU: which of them a build and a machine have.

use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::tensor::DeviceType;

use super::{
    check,
    kind::{DeviceKind, cpu},
};
use crate::TuningError;

/// Opens a device and runs the self-check on it.
///
/// # Errors
/// [`TuningError::Device`] when this build or this machine does not have it,
/// [`TuningError::SelfCheck`] when its results are wrong.
pub(super) fn open(kind: DeviceKind) -> Result<Device, TuningError> {
    let device = match kind {
        DeviceKind::Cpu => return Ok(cpu()),
        DeviceKind::Wgpu => wgpu(),
        DeviceKind::Vulkan => vulkan(),
        DeviceKind::Cuda => cuda(),
    }?;
    check::compare(kind, &device)?;
    Ok(device)
}

/// Returns the best real GPU that passes the self-check. Software that emulates a GPU is slower
/// than our own kernels, so it is never chosen unasked.
pub(super) fn best() -> Option<Device> {
    [DeviceKind::Cuda, DeviceKind::Vulkan, DeviceKind::Wgpu]
        .into_iter()
        .filter(|kind| has_card(*kind))
        .find_map(|kind| open(kind).ok())
}

/// Whether this build and this machine have a real GPU of this kind.
fn has_card(kind: DeviceKind) -> bool {
    match kind {
        #[cfg(feature = "wgpu")]
        DeviceKind::Wgpu => card(DeviceType::Wgpu).is_some(),
        #[cfg(feature = "vulkan")]
        DeviceKind::Vulkan => card(DeviceType::Vulkan).is_some(),
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda => cuda_device().is_some(),
        _ => false,
    }
}

/// Makes the error for a build without the feature.
#[cfg(not(all(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
fn not_built(kind: DeviceKind) -> TuningError {
    let name = kind.name();
    TuningError::Device(format!(
        "this build has no {name}: build with `cargo build --features fedseal/{name}`"
    ))
}

/// Makes the error for a machine without the device.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn not_here(kind: DeviceKind, hint: &str) -> TuningError {
    TuningError::Device(format!(
        "this machine shows no {} device: {hint}",
        kind.name()
    ))
}

/// Returns the first real device.
#[cfg(feature = "wgpu")]
fn card(which: DeviceType) -> Option<Device> {
    use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
    let is_card = |device: &Device| match device.as_dispatch() {
        DispatchDevice::Cube(CubeDevice::Wgpu(device)) => device.kind != WgpuDeviceKind::Cpu,
        _ => false,
    };
    Device::enumerate(which).into_iter().find(is_card)
}

/// Opens a GPU, else software Vulkan: slow, but with correct results from WGSL.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, TuningError> {
    // Checked first: opening a device that does not exist panics.
    if let Some(card) = card(DeviceType::Wgpu) {
        return Ok(card);
    }
    let hint = match Device::enumerate(DeviceType::Wgpu).into_iter().next() {
        // With this feature burn compiles SPIR-V for every Vulkan driver, and software crashes on
        // it.
        Some(_) if cfg!(feature = "vulkan") => {
            "its only Vulkan driver is software, which takes a build without the feature vulkan"
        }
        Some(software) => return Ok(software),
        None => {
            "install its Vulkan driver (Debian: `apt-get install mesa-vulkan-drivers`, which also \
             brings one in software)"
        }
    };
    Err(not_here(DeviceKind::Wgpu, hint))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, TuningError> {
    Err(not_built(DeviceKind::Wgpu))
}

/// Opens real GPUs only: Mesa's software Vulkan crashes while it compiles SPIR-V kernels.
#[cfg(feature = "vulkan")]
fn vulkan() -> Result<Device, TuningError> {
    card(DeviceType::Vulkan).ok_or_else(|| {
        not_here(
            DeviceKind::Vulkan,
            "it takes a card and its driver; software Vulkan works through --device wgpu only",
        )
    })
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Result<Device, TuningError> {
    Err(not_built(DeviceKind::Vulkan))
}

#[cfg(feature = "cuda")]
fn cuda_device() -> Option<Device> {
    // Without NVIDIA's libraries even the enumeration panics.
    std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_iter().next())
        .ok()
        .flatten()
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, TuningError> {
    cuda_device()
        .ok_or_else(|| not_here(DeviceKind::Cuda, "install NVIDIA's driver and CUDA's NVRTC"))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, TuningError> {
    Err(not_built(DeviceKind::Cuda))
}

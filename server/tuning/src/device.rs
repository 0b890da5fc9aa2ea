//! Devices, threads, and the fingerprint of everything the bits depend on.

use std::sync::{Arc, Mutex, OnceLock};

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use crate::{Model, Numerics, TuningError, kernels};

/// Where tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor; always there, same bits every time.
    Cpu,
    /// A GPU through WebGPU shaders (feature `wgpu`).
    Wgpu,
}

impl DeviceKind {
    /// Which kind a device is.
    pub fn of(device: &Device) -> Self {
        if device.clone().without_autodiff() == cpu() {
            Self::Cpu
        } else {
            Self::Wgpu
        }
    }
}

fn cpu() -> Device {
    Device::flex()
}

/// The device that `spec` names: `cpu`, `wgpu`, or `auto` (which is the CPU: its bits repeat).
///
/// # Errors
/// [`TuningError::Device`] for an unknown word, or for `wgpu` in a build without that feature.
pub fn device(spec: &str) -> Result<Device, TuningError> {
    match spec {
        "auto" | "cpu" => Ok(cpu()),
        "wgpu" => wgpu(),
        other => Err(TuningError::Device(format!(
            "{other:?} is none of auto, cpu, wgpu"
        ))),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, TuningError> {
    Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, TuningError> {
    Err(TuningError::Device(
        "this build has no wgpu; build with --features wgpu".to_owned(),
    ))
}

/// One line that names everything the bits of a result depend on besides its inputs: engine
/// version, device, numeric mode and, in fast mode, kernel.
pub fn fingerprint(model: &Model) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match DeviceKind::of(model.device()) {
        // The kernels' instruction set is left out on purpose: in exact mode all give one result.
        DeviceKind::Cpu if model.numerics() == Numerics::Exact => {
            format!("fedseal-tuning/{version} cpu exact")
        }
        DeviceKind::Cpu => {
            let kernel = kernels::gemm::pairs::kernel_name();
            format!("fedseal-tuning/{version} cpu fast {kernel}")
        }
        DeviceKind::Wgpu => format!("fedseal-tuning/{version} wgpu f32"),
    }
}

static POOL: OnceLock<Mutex<Option<Arc<ThreadPool>>>> = OnceLock::new();

fn pool_slot() -> &'static Mutex<Option<Arc<ThreadPool>>> {
    POOL.get_or_init(|| Mutex::new(None))
}

/// Sets how many threads the CPU device uses from now on; 0 means all cores. The results do not
/// depend on it.
pub fn set_threads(threads: usize) {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .ok()
        .map(Arc::new);
    *pool_slot()
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner()) = pool;
}

/// Runs `work` on the threads of [`set_threads`], or on rayon's own pool.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    kernels::memory::keep_freed_memory();
    let pool = pool_slot()
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .as_ref()
        .cloned();
    match pool {
        Some(pool) => pool.install(work),
        // On a thread of the pool: from outside, every product would wait to be woken.
        None => rayon::scope(|_| work()),
    }
}

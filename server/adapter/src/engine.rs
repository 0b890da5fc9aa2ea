//! Names of engines, and the callback that asks them to stop.

/// Names of devices that an experiment or a command may ask for.
pub const DEVICES: [&str; 5] = ["auto", "cpu", "wgpu", "vulkan", "cuda"];

/// Names of devices that are GPUs.
const CARDS: [&str; 3] = ["wgpu", "vulkan", "cuda"];

/// Whether repeated executions by engines of this fingerprint give the same bits. All engines but
/// GPUs do.
pub fn repeats_bits(fingerprint: &str) -> bool {
    let device = fingerprint.split(' ').nth(1).unwrap_or_default();
    !CARDS.contains(&device)
}

/// Returns whether to stop; called between passes of a model, from any thread.
pub type Halt<'a> = &'a (dyn Fn() -> bool + Sync);

//! Names of engines, and how they are asked to stop.

/// Names of devices that an experiment or a command may ask for.
pub const DEVICES: [&str; 5] = ["auto", "cpu", "wgpu", "vulkan", "cuda"];

/// Names of devices that are graphics cards.
const CARDS: [&str; 3] = ["wgpu", "vulkan", "cuda"];

/// Whether two executions by engines of this fingerprint give the same bits: all do but GPUs.
pub fn repeats_bits(fingerprint: &str) -> bool {
    let device = fingerprint.split(' ').nth(1).unwrap_or_default();
    !CARDS.contains(&device)
}

/// Says whether to stop; asked between passes of a model, from any thread.
pub type Halt<'a> = &'a (dyn Fn() -> bool + Sync);
